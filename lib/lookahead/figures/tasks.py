"""Several tasks below one another: what the networks get right, and what the cheat of each task would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from lookahead.experiments.seeds import Seeds
from lookahead.figures.style import FAINT, INK, MEANING, figure, sign
from lookahead.names import named

LANES = 0.3
"""How far from the middle of its row a method is drawn at most."""


def draw_tasks(tasks: Mapping[str, Seeds]) -> Any:
    """The share of answers that are right: a row per task, a dot per network, a stroke for the cheat. The figure.

    A method lies at about the same height in every row, its networks moved apart.

    Args:
        tasks: title -> its results, with one or more methods each.
    """
    methods = list(
        dict.fromkeys(result.run.config["objective"]["name"] for seeds in tasks.values() for result in seeds)
    )
    lanes = dict(zip(methods, np.linspace(-LANES, LANES, len(methods)) if len(methods) > 1 else [0.0], strict=True))
    colors = {method: MEANING.get(method, INK) for method in methods}
    fig, ax = figure(1.2 + (0.3 + 0.07 * len(methods)) * len(tasks))
    for row, seeds in enumerate(tasks.values()):
        task = seeds[0].run.build_task()
        ax.plot([task.chance_accuracy] * 2, [row - 0.4, row + 0.4], color=FAINT, linewidth=1.4)
        for method, those in seeds.by("objective").items():
            aside = np.linspace(-LANES, LANES, len(those) + 2)[1:-1] / len(methods)
            for result, height in zip(those, row + lanes[method] + aside, strict=True):
                right = result.measures[result.run.judged_by]
                ax.plot(right, height, "o", color=colors[method], markersize=5.5, clip_on=False)
        sign(fig, seeds)
    ax.set_yticks(range(len(tasks)), list(tasks))
    ax.set(xlabel="answers right", xlim=(0, 1), ylim=(len(tasks) - 0.5, -0.5))
    for row in range(1, len(tasks)):
        ax.axhline(row - 0.5, color=FAINT, linewidth=0.4)
    ax.tick_params(axis="y", length=0)
    marks = [Line2D([], [], linestyle="", marker="o", color=colors[method]) for method in methods]
    cheat = Line2D([], [], linestyle="", marker="|", markersize=12, markeredgewidth=1.4, color=FAINT)
    names = [*map(named, methods), "the cheat would have"]
    fig.legend([*marks, cheat], names, loc="outside upper left", ncols=3, handletextpad=0.3)
    return fig
