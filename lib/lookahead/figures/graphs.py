"""Path-star graphs, drawn: the right arm in ink, all else pale, the goal ringed."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from lookahead.contracts import Task
from lookahead.figures.style import FAINT, INK, PALE
from lookahead.tasks import PathStar

EDGE = "#c4c4c4"
"""An edge that is not on the right arm."""


ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")


def token_name(task: Task, position: int) -> str:
    """What an answer token of a path is called in figures."""
    if position in (0, task.answer_length - 1):
        return "goal" if position else "start"
    step = position - task.decision
    return f"{ORDINALS[step]} step" if 0 <= step < len(ORDINALS) else f"token {position + 1}"


def draw_graph(ax: Axes, task: PathStar, prompt: Any, answer: Any | None = None) -> None:
    """A path-star graph: the start to the left, an arm a row, the answer's path in ink, start and goal named.

    Args:
        prompt: tokens [P].
        answer: tokens [A]; no path is marked if None.
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
                    "arrowstyle": "-|>", "color": INK if on else EDGE, "lw": 2 if on else 1.2,
                    "shrinkA": 13, "shrinkB": 13,
                },
            )  # fmt: skip
    for node, spot in spots.items():
        _node(ax, spot, node, node in path, 520, 11)
    for name, node, right in (("start", start, 6), ("goal", goal, 11)):  # to the left of the arrow down from the start
        below = {"xytext": (right, -15), "textcoords": "offset points", "ha": "right", "va": "top"}
        ax.annotate(name, spots[node], **below, fontsize=9)
    ax.set_xlim(-0.5, task.path_length - 0.5)
    ax.set_ylim(-middle - 0.75, middle + 0.5)
    ax.axis("off")


def draw_star(ax: Axes, task: PathStar, prompt: Any, answer: Any) -> None:
    """A path-star graph around its start; the arms clockwise, as the prompt first leaves the start for them.

    Args:
        prompt: tokens [P].
        answer: tokens [A].
    """
    first = {int(v): i for i, (u, v) in enumerate(zip(prompt[:-3:3], prompt[1:-3:3], strict=True)) if u == prompt[-3]}
    arms = sorted(task.arms(prompt[None])[0].tolist(), key=lambda arm: first[arm[0]])
    start, *right = answer.tolist()
    for row, arm in enumerate(arms):
        angle = np.pi / 2 - 2 * np.pi * row / len(arms)
        spots = np.outer(range(len(arm) + 1), [np.cos(angle), np.sin(angle)])
        on = arm == right
        ax.plot(spots[:, 0], spots[:, 1], color=INK if on else EDGE, linewidth=2.4 if on else 1.2, zorder=1 + on)
        for node, spot in zip(arm, spots[1:], strict=True):
            _node(ax, spot, node, on, 250, 9)
    _node(ax, (0, 0), start, True, 280, 9)
    ax.plot(0, 0, "o", color="none", markeredgecolor=INK, markersize=21, markeredgewidth=1)
    reach = task.path_length - 0.55
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    ax.axis("off")


def _node(ax: Axes, spot: Any, node: int, on: bool, size: float, font: float) -> None:
    """A disc with its label."""
    x, y = spot
    ax.scatter(x, y, s=size, color=INK if on else PALE, edgecolor="none", zorder=3)
    ax.text(
        x, y, str(node), ha="center", va="center_baseline", fontsize=font, color="white" if on else INK, zorder=4
    )  # fmt: skip


def draw_reading(ax: Axes, length: int, forward: bool) -> None:
    """The edges that have to be looked up before each token of an arm can be said.

    Rows are the tokens in the order in which they are said, columns the places on the arm.
    """
    places = list(range(length)) if forward else list(range(length))[::-1]
    for row, place in enumerate(places):
        edges = [] if row == 0 else [min(place, places[row - 1])]
        if forward and row == 1:
            edges = list(range(length - 1))
        for x in range(length):
            face = INK if x == place else "#a8a8a8" if x in places[:row] else PALE
            ax.scatter(x, -row, s=130 * min(1, (7 / length) ** 2), color=face, edgecolor="none", zorder=3)
        for x in edges:
            ax.plot([x, x + 1], [-row, -row], color=INK, linewidth=3, zorder=2)
        ax.text(
            1.23 * length - 1, -row, str(len(edges)), va="center", ha="center", fontsize=13,
            color=INK if edges else FAINT, fontweight="bold" if len(edges) > 1 else "normal",
        )  # fmt: skip
    for x, name in ((0, "start"), (length - 1, "goal")):
        ax.text(x, 0.55, name, ha="center", fontsize=10)
    ax.text(1.23 * length - 1, 0.55, "look-ups", ha="center", fontsize=10)
    ax.set_title("said from start to goal" if forward else "said from goal to start", pad=8)
    ax.set(xlim=(-0.1 * length, 1.36 * length - 1), ylim=(-length + 0.5, 1.0))
    ax.axis("off")
