"""The book's figures: one style, the same functions for the quick run and for stored results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lookahead.contracts import Task
from lookahead.results import Result
from lookahead.tasks import PathStar

WIDTH = 7.2
"""Inches; every figure is as wide as the text."""

INK, FAINT = "#222222", "#8a8a8a"
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW = (
    "#0072b2", "#d55e00", "#009e73", "#b3123d", "#8f5a9e", "#56b4e9", "#c9a400",
)  # fmt: skip
COLORS = (BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW, RED)
"""Okabe and Ito's colours, told apart by colour-blind readers (yellow and pink darkened for thin lines)."""


def use_style() -> None:
    """Sets the book's style; in a notebook also crisp figures (2x)."""
    mpl.rcParams.update(
        {
            "figure.facecolor": "none",
            "axes.facecolor": "none",
            "savefig.facecolor": "none",
            "figure.dpi": 100,
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "axes.titlesize": 10.5,
            "axes.titlelocation": "left",
            "axes.labelcolor": INK,
            "axes.edgecolor": FAINT,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": cycler(color=COLORS),
            "axes.grid": True,
            "axes.grid.axis": "y",
            "grid.color": "#00000018",
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "xtick.major.size": 3,
            "ytick.major.size": 0,
            "legend.frameon": False,
            "lines.linewidth": 2,
            "lines.solid_capstyle": "round",
        }
    )
    try:
        from matplotlib_inline import backend_inline
    except ImportError:
        return
    backend_inline.set_matplotlib_formats("retina", bbox_inches=None)


def figure(height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """A figure of the text's width, `height` inches high."""
    return plt.subplots(rows, columns, figsize=(WIDTH, height), **options)


def provenance(results: Sequence[Result], kind: str) -> str:
    """What stands behind a figure, in a line: `kind`, seeds, graphs, device, time.

    Args:
        kind: "live, quick profile", "stored, census" ...
    """
    seeds = len({r.run.seed for r in results})
    hours = sum(r.manifest["seconds"] for r in results) / 3600
    time = f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.0f} minutes"
    devices = sorted({r.manifest["device"] for r in results})
    stale = sum(not r.current for r in results)
    mark = f"; {stale} OUT OF DATE" if stale else ""
    counts = f"{len(results)} run{'s' * (len(results) > 1)}, {seeds} seed{'s' * (seeds > 1)}"
    return f"{kind}: {counts}, {' / '.join(devices)}, {time}{mark}"


def sign(fig: Figure, text: str) -> None:
    """Writes what stands behind a figure under it."""
    fig.supxlabel(text, x=0.995, ha="right", fontsize=7.5, color=FAINT)


def chance(ax: Axes, level: float, text: str) -> None:
    """A dashed line at chance."""
    ax.axhline(level, color=FAINT, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    ax.annotate(
        text, (1, level), xycoords=("axes fraction", "data"), xytext=(0, 3), textcoords="offset points",
        ha="right", fontsize=8, color=FAINT,
    )  # fmt: skip


def accuracy_axis(ax: Axes) -> None:
    """0 to 1, with room for a line at 1."""
    ax.set_ylim(-0.03, 1.05)
    ax.set_yticks([0, 0.5, 1])


def curves(
    ax: Axes,
    results: Sequence[Result],
    measure: str,
    position: int | None = None,
    *,
    color: str,
    label: str | None = None,
) -> None:
    """One measure against steps: a thin line a seed, a thick one for their mean.

    A run that stopped early keeps its last value in the mean.
    """
    longest = max((r.series(measure, position)[0] for r in results), key=len)
    rows = []
    for result in results:
        steps, values = result.series(measure, position)
        ax.plot(
            steps,
            values,
            color=color,
            linewidth=0.8,
            alpha=0.35 if len(results) > 1 else 0,
        )
        rows.append([*values, *[values[-1]] * (len(longest) - len(values))])
    ax.plot(longest, np.mean(rows, axis=0), color=color, label=label)


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
