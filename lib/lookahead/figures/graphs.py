"""Path-star graphs and rows of tokens, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from lookahead.contracts import Task
from lookahead.figures.style import FAINT, INK, ORANGE
from lookahead.tasks import PathStar


def token_name(task: Task, position: int) -> str:
    """What an answer token of a path is called in figures."""
    last = task.answer_length - 1
    if position == task.decision:
        return "first step"
    return "start" if position == 0 else "goal" if position == last else f"step {position}"


def draw_graph(ax: Axes, task: PathStar, prompt: Any, answer: Any | None = None) -> None:
    """A path-star graph: the start to the left, an arm a row, the answer's path in colour, the goal ringed.

    Args:
        prompt: tokens [P].
        answer: tokens [A]; nothing is coloured if None.
    """
    arms = task.arms(prompt[None])[0].tolist()
    start, goal = task.question(prompt[None])[0].tolist()
    order = np.random.default_rng(start).permutation(len(arms))
    path = set() if answer is None else set(answer.tolist())
    middle = (len(arms) - 1) / 2
    spots = {start: (0.0, 0.0)}
    for row, arm in enumerate(order):
        for column, node in enumerate(arms[arm], 1):
            spots[node] = (float(column), middle - row)
    for arm in arms:
        for u, v in zip([start, *arm], arm, strict=False):
            on = u in path and v in path
            ax.annotate(
                "", spots[v], spots[u],
                arrowprops={
                    "arrowstyle": "-|>", "color": ORANGE if on else FAINT, "lw": 2 if on else 1.2,
                    "shrinkA": 13, "shrinkB": 13,
                },
            )  # fmt: skip
    for node, (x, y) in spots.items():
        on = node in path
        ring = node in (start, goal)
        ax.scatter(
            x,
            y,
            s=520,
            color=ORANGE if on else "#e8e8e8",
            edgecolor=INK if ring else "none",
            linewidth=1.6,
            zorder=3,
        )
        ax.text(
            x,
            y,
            str(node),
            ha="center",
            va="center",
            fontsize=11,
            color="white" if on else INK,
            zorder=4,
        )
    for name, node in (("start", start), ("goal", goal)):
        ax.annotate(name, spots[node], xytext=(0, -15), textcoords="offset points", ha="center", va="top", fontsize=9)
    ax.set_xlim(-0.5, task.path_length - 0.5)
    ax.set_ylim(-middle - 0.75, middle + 0.5)
    ax.axis("off")


def draw_tokens(ax: Axes, symbols: Sequence[str], colors: Sequence[str], y: float = 0) -> None:
    """A row of tokens as cells, one unit wide, from x = 0."""
    for x, (symbol, color) in enumerate(zip(symbols, colors, strict=True)):
        ax.add_patch(Rectangle((x + 0.04, y - 0.42), 0.92, 0.84, color=color, linewidth=0))
        dark = to_rgb(color)
        ink = "white" if 0.3 * dark[0] + 0.6 * dark[1] + 0.1 * dark[2] < 0.55 else INK
        ax.text(x + 0.5, y, symbol, ha="center", va="center", fontsize=9, color=ink)
