"""Rules that solve the task by looking edges up, drawn: how often each is right, and what it pays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lookahead.evaluation.statistics import Interval
from lookahead.figures.plots import points
from lookahead.figures.style import DASH, INK, MEANING, accuracy_axis, figure
from lookahead.names import named

RULES = {
    "try_arms": (INK, -0.13, 0),
    "from_goal": (MEANING["reversed"], 0.13, 9),
    "cheat": (MEANING["cheat"], 0.0, -9),
}
"""Name in `lookahead.tasks.path_star.solvers` -> colour, places to the right, points upwards."""


def draw_shares(shares: Mapping[tuple[str, int], Interval]) -> Any:
    """The share of graphs that each rule gets right, against the degree; dashed: one over the degree. The figure.

    Args:
        shares: (name of the rule, degree) -> share.
    """
    degrees = sorted({degree for _, degree in shares})
    fig, ax = figure(3.4)
    for rule, (color, shift, _) in RULES.items():
        points(
            range(len(degrees)), [shares[rule, d] for d in degrees], color=color, ax=ax, label=named(rule), shift=shift
        )
    for place, degree in enumerate(degrees):
        ax.plot([place - 0.32, place + 0.32], [1 / degree] * 2, color=INK, zorder=1, linewidth=1, linestyle=DASH)
        ax.annotate(f"1/{degree}", (place + 0.35, 1 / degree), va="center", fontsize=9)
    accuracy_axis(ax)
    ax.set_xticks(range(len(degrees)), [str(degree) for degree in degrees])
    ax.set(xlabel="degree d", ylabel="share right", xlim=(-0.5, len(degrees) - 0.3))
    ax.legend(loc="center right", bbox_to_anchor=(1, 0.62))
    return fig


def draw_lookups(lookups: Mapping[tuple[str, int], np.ndarray], edges: int) -> Any:
    """Mean look-ups against the degree; bars from least to most, dashed what trying arms costs on average. The figure.

    Args:
        lookups: (name of the rule, degree) -> look-ups for each graph.
        edges: of an arm.
    """
    degrees = sorted({degree for _, degree in lookups})
    fig, ax = figure(3)
    dense = np.linspace(degrees[0], degrees[-1], 50)
    ax.plot(dense, (dense + 1) / 2 * edges, color=INK, linewidth=1, linestyle=DASH)
    tried = [lookups["try_arms", d] for d in degrees]
    ax.vlines(degrees, [t.min() for t in tried], [t.max() for t in tried], color=INK, alpha=0.2, linewidth=7)
    for rule, (color, shift, lift) in RULES.items():
        means = [lookups[rule, d].mean() for d in degrees]
        ax.plot(np.add(degrees, 0 if rule == "try_arms" else shift), means, "o", color=color, markersize=5.5)
        at = (degrees[-1], means[-1])
        ax.annotate(named(rule), at, (12, lift), textcoords="offset points", va="center", color=color)
    ax.set_xticks(degrees)
    ax.set(xlabel="degree d", ylabel="edges looked up", xlim=(degrees[0] - 0.5, 1.3 * degrees[-1]), ylim=(0, None))
    return fig
