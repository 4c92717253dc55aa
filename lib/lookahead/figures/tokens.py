"""Rows of tokens, drawn: what a predictor reads and says, a prompt, a list of edges, the splits of a task."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from lookahead.figures.style import FAINT, INK, ORANGE, ORDERED, PALE, RED, figure
from lookahead.tasks import PathStar

MIDDLE = "#c8c8c8"
"""The colour of a cell that is neither aside nor what it is about."""


def draw_tokens(ax: Axes, symbols: Sequence[str], colors: Sequence[str], y: float = 0, fontsize: float = 9.5) -> None:
    """A row of tokens as cells, one unit wide, from x = 0."""
    for x, (symbol, color) in enumerate(zip(symbols, colors, strict=True)):
        draw_token(ax, symbol, color, x, y, fontsize)


def draw_token(ax: Axes, symbol: str, color: str, x: float, y: float = 0, fontsize: float = 9.5) -> None:
    """A token as a cell, one unit wide, from x on."""
    ax.add_patch(Rectangle((x + 0.04, y - 0.42), 0.92, 0.84, color=color, linewidth=0))
    dark = to_rgb(color)
    ink = "white" if 0.3 * dark[0] + 0.6 * dark[1] + 0.1 * dark[2] < 0.55 else INK
    ax.text(x + 0.5, y, symbol, ha="center", va="center", fontsize=fontsize, color=ink)


def arrow(ax: Axes, begin: Any, end: Any, color: str = FAINT, bend: float = 0.0, width: float = 1.4) -> None:
    """An arrow between two points of the axes."""
    style = {"arrowstyle": "-|>", "color": color, "lw": width, "connectionstyle": f"arc3,rad={bend}"}
    ax.annotate("", end, begin, arrowprops={**style, "shrinkA": 1, "shrinkB": 1})


def draw_teaching(
    ax: Axes, reads: Sequence[str], predicts: Sequence[str], hard: Collection[int] = (), color: str = ORANGE
) -> None:
    """What is read above, what is to be predicted from it below; `hard` places, which need a look ahead, in colour."""
    draw_tokens(ax, reads, [PALE] * len(reads), y=1.4)
    draw_tokens(ax, predicts, [color if x in hard else MIDDLE for x in range(len(predicts))])
    for x in range(len(reads)):
        arrow(ax, (x + 0.5, 0.95), (x + 0.5, 0.45))
    ax.set(xlim=(-0.1, len(reads) + 0.1), ylim=(-0.55, 1.95))
    ax.axis("off")


def draw_mode(
    ax: Axes, inputs: Sequence[str], outputs: Sequence[str], wrong: Collection[str] = (), own: bool = False
) -> None:
    """A predictor with its inputs below and its outputs above.

    Args:
        wrong: tokens drawn as mistakes.
        own: whether every output is the next input.
    """
    count = len(inputs)
    ax.add_patch(Rectangle((0.04, 0.86), count - 0.08, 0.5, color=MIDDLE, linewidth=0))
    ax.text(2.72 if own else count / 2, 1.11, "predictor", ha="center", va="center", fontsize=10.5)
    for x in range(count):
        arrow(ax, (x + 0.5, 0.43), (x + 0.5, 0.86))
        arrow(ax, (x + 0.5, 1.36), (x + 0.5, 1.79))
        if own and x + 1 < count:
            arrow(ax, (x + 0.9, 2.0), (x + 1.12, 0.4), RED if outputs[x] in wrong else INK, bend=-0.32)
    for y, row in ((0, inputs), (2.2, outputs)):
        draw_tokens(ax, row, [RED if token in wrong else PALE for token in row], y, fontsize=10.5)
    ax.text(count / 2, -0.6, f"inputs: {'its own' if own else 'the true'} tokens", ha="center", va="top")
    ax.set(xlim=(-0.05, count + 0.05), ylim=(-0.95, 2.7))
    ax.axis("off")


def draw_chain(ax: Axes, count: int = 4) -> None:
    """A row of tokens (at most four), an arc to each from all before it, under each its factor of the chain rule."""
    symbols = [f"a_{i}" for i in range(count)]
    for end in range(1, count):
        for begin in range(end):
            bend = -0.48 + 0.06 * (end - begin)  # a longer arc is flatter
            arrow(ax, (begin + 0.5, 0.42), (end + 0.5, 0.42), ORDERED[end - 1], bend, 1.6)
    draw_tokens(ax, [f"${symbol}$" for symbol in symbols], [PALE] * count, fontsize=11)
    for x, symbol in enumerate(symbols):
        factor = rf"$p({symbol} \mid {', '.join(symbols[:x])})$" if x else f"$p({symbol})$"
        color = ORDERED[x - 1] if x else INK
        ax.text(x + 0.5, -0.62, factor, ha="center", va="top", fontsize=9.5, color=color)
    ax.set(xlim=(-0.05, count + 0.05), ylim=(-1.05, 1.6))
    ax.axis("off")


def draw_edges(task: PathStar, prompt: torch.Tensor, across: int = 4) -> Any:
    """A prompt as its reader gets it: the edges in the prompt's order, then start and goal. The figure is returned.

    Args:
        prompt: tokens [P].
    """
    pairs = prompt[:-3].reshape(-1, 3)[:, :2].tolist()
    start, goal = task.question(prompt[None])[0].tolist()
    rows = -(-len(pairs) // across)
    fig, ax = figure(0.42 * (rows + 1.3))
    for i, (u, v) in enumerate(pairs):
        x, y = 2 * (i % across), -(i // across)
        ax.add_patch(Rectangle((x - 0.82, y - 0.38), 1.64, 0.76, color=PALE, linewidth=0))
        ax.text(x, y, rf"{u} $\rightarrow$ {v}", ha="center", va="center", fontsize=12)
    ax.text(-0.82, -rows - 0.25, f"start {start},  goal {goal}", va="center", fontsize=12, fontweight="bold")
    ax.set(xlim=(-0.9, 2 * across - 1.1), ylim=(-rows - 0.7, 0.5))
    ax.axis("off")
    return fig


def draw_example(task: PathStar, prompt: torch.Tensor, answer: torch.Tensor, wide: int = 12, most: int = 5) -> Any:
    """The tokens of an example in rows: edges, start and goal, answer with its first step framed.

    Args:
        prompt: tokens [P].
        answer: tokens [A].
        wide: tokens in a row.
        most: rows of edges; what is left out is told by dots.

    Returns:
        the figure.
    """
    symbols = [task.symbol(token) for token in prompt.tolist()]
    said = [task.symbol(token) for token in answer.tolist()]
    edges = symbols[:-3]
    if len(edges) > wide * most:
        edges = [*edges[: wide * most - 1], "..."]
    rows = [edges[i : i + wide] for i in range(0, len(edges), wide)]
    fig, ax = figure(0.44 * (len(rows) + 2.4))
    font = 11 if task.num_nodes <= 100 and len(said) < 12 else 9
    for row, part in enumerate(rows):
        draw_tokens(ax, part, ["#e6e6e6" if s.isdigit() else "#f4f4f4" for s in part], -1.1 * row, font)
    bottom = -1.1 * len(rows)
    draw_tokens(ax, symbols[-3:], [MIDDLE, MIDDLE, "#f4f4f4"], bottom, font)
    shades = [PALE if place == task.decision else INK for place in range(len(said))]
    draw_tokens(ax, said, shades, bottom - 1.1, font)
    for y, name in ((0, "edges"), (bottom, "start, goal"), (bottom - 1.1, "answer")):
        ax.text(-0.25, y, name, ha="right", va="center", fontsize=11)
    frame = Rectangle((task.decision - 0.03, bottom - 1.59), 1.06, 0.98, fill=False, edgecolor=INK, linewidth=2.5)
    ax.add_patch(frame)
    ax.text(len(said) + 0.25, bottom - 1.1, "framed: first step", va="center", fontsize=11)
    ax.set(xlim=(-2.9, max(wide, len(said) + 5) + 0.1), ylim=(bottom - 1.7, 0.6))
    ax.axis("off")
    return fig


def draw_splits(task: PathStar, prompts: torch.Tensor) -> Any:
    """The split of every graph that comes from one by adding a number to its labels; a row a prompt. The figure.

    Args:
        prompts: tokens [B, P].
    """
    paint = {"train": PALE, "validation": "#9a9a9a", "test": INK}
    fig, ax = figure(0.3 * len(prompts) + 0.5)
    shifts = torch.arange(task.num_nodes)[:, None]
    for row, prompt in enumerate(prompts):
        turned = torch.where(prompt < task.num_nodes, (prompt + shifts) % task.num_nodes, prompt)
        for shift, split in enumerate(task.split_of(turned)):
            ax.add_patch(Rectangle((shift + 0.06, -row - 0.4), 0.88, 0.8, color=paint[split], linewidth=0))
    handles = [Rectangle((0, 0), 1, 1, color=color) for color in paint.values()]
    ax.legend(handles, paint, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, handlelength=1)
    ax.set(xlim=(0, task.num_nodes), ylim=(0.4 - len(prompts), 0.6), yticks=[])
    ax.set(xlabel="number added to every label, modulo N", ylabel=f"{len(prompts)} graphs")
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    return fig
