"""What a state is asked for, drawn: several tokens at once, the rungs of a ladder, how long each way takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from lookahead.experiments.seeds import Seeds
from lookahead.figures.graphs import token_name
from lookahead.figures.style import BLUE, FAINT, INK, ORANGE, PALE, accuracy_axis, figure, sign
from lookahead.figures.tokens import arrow, draw_token, draw_tokens
from lookahead.tasks import PathStar

PALE_BLUE = "#9fc7e3"
"""What is asked for, but is no look ahead."""


def draw_asked(ax: Axes, task: PathStar, answer: Any, tokens: int) -> None:
    """What every state is asked for when each predicts several tokens: a column a state, a row a head.

    Marked is what must be found from the prompt alone, and is not copied from it.

    Args:
        answer: tokens [A].
        tokens: how many each state predicts.
    """
    names = [task.symbol(token) for token in answer.tolist()]
    draw_tokens(ax, ["=", *names[:-1]], [PALE] * len(names), y=0)
    ax.text(-0.2, 0, "reads", ha="right", va="center")
    for head in range(tokens):
        y = -1.5 - 1.05 * head
        ax.text(-0.2, y, "next token" if head == 0 else f"head {head + 1}", ha="right", va="center")
        for state in range(len(names) - head):
            target = state + head
            blind = state <= task.decision <= target < len(names) - 1
            color = ORANGE if blind and head == 0 else BLUE if blind else PALE_BLUE
            draw_token(ax, names[target], color, state, y)
    for state in range(len(names)):
        arrow(ax, (state + 0.5, -0.5), (state + 0.5, -1.0))
    ax.set(xlim=(-1.6, len(names) + 0.1), ylim=(-2.2 - 1.05 * (tokens - 1), 0.6))
    ax.axis("off")


def draw_ladder(ax: Axes, task: PathStar, answer: Any) -> None:
    """The arm from its goal to the first step, each node a rung that is one look-up above the one before.

    Args:
        answer: tokens [A].
    """
    names, top = [task.symbol(token) for token in answer.tolist()], task.answer_length - 2
    for rung in range(top + 1):
        position = task.answer_length - 1 - rung
        color = ORANGE if rung == top else BLUE if rung else PALE_BLUE
        draw_token(ax, names[position], color, rung * 1.9)
        ax.text(rung * 1.9 + 0.5, -0.62, f"rung {rung}", ha="center", va="top", fontsize=10)
        ax.text(rung * 1.9 + 0.5, -1.1, token_name(task, position), ha="center", va="top", fontsize=10, color=FAINT)
        if rung:
            arrow(ax, (rung * 1.9 - 0.9, 0), (rung * 1.9 - 0.03, 0), INK)
            ax.text(rung * 1.9 - 0.45, 0.25, "look-up", ha="center", va="bottom", fontsize=9, color=FAINT)
    ax.set(xlim=(-0.1, 1.9 * top + 1.1), ylim=(-1.6, 0.75))
    ax.axis("off")


def draw_climb(seeds: Seeds) -> Any:
    """Which rungs a blind state has right, and the first step, against steps: a panel for every seed. The figure.

    Args:
        seeds: taught by the objective `ladder`.
    """
    fig, axes = figure(2.4, columns=len(seeds))
    for ax, result in zip(np.atleast_1d(axes), seeds, strict=True):
        steps = [row["step"] for row in result.curve]
        rungs = sorted(set(result.run.objective["rungs"]))
        for rung, shade in zip(rungs, _shades(len(rungs)), strict=True):
            right = [row["parts"][f"rung {rung} right"] for row in result.curve]
            ax.plot(steps, right, color=shade, label=f"rung {rung}")
        ax.plot(*result.series("decision_accuracy"), color=ORANGE, label="first step")
        accuracy_axis(ax)
        ax.set(title=f"seed {result.run.seed}", xlabel="training step", ylim=(-0.03, 1.05))
        sign(fig, [result])
    fig.axes[0].set_ylabel("right, at the start")
    fig.axes[0].legend(loc="center left")
    return fig


def _shades(count: int) -> list[Any]:
    """Blues for the rungs, the lowest the palest."""
    return LinearSegmentedColormap.from_list("rungs", [PALE_BLUE, BLUE])(
        np.linspace(0, 1, count) if count > 1 else [1.0]
    )


def draw_waits(cells: Mapping[str, Seeds], color: str = BLUE) -> Any:
    """Training steps until the task is learnt: a row a setting, a dot a seed. The figure.

    A seed that did not learn it is an open dot where its training ended.
    """
    fig, ax = figure(0.9 + 0.42 * len(cells))
    for row, seeds in enumerate(cells.values()):
        for aside, result in zip(np.linspace(-0.2, 0.2, len(seeds)) if len(seeds) > 1 else [0.0], seeds, strict=True):
            learnt = result.step_of_success if result.success else None
            at, filled = (learnt, color) if learnt is not None else (result.manifest["steps"], "none")
            ax.plot(at, row + aside, "o", color=color, markersize=5.5, markerfacecolor=filled)
        sign(fig, seeds)
    ax.set_yticks(range(len(cells)), list(cells))
    ax.set(xscale="log", xlabel="training steps until learnt (open: not learnt by then)")
    ax.set_ylim(len(cells) - 0.5, -0.5)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.grid(axis="x")
    return fig
