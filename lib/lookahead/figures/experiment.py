"""The learning curves of a whole experiment in one figure: what `lookahead show --figure` draws."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

import lookahead.figures as figures
from lookahead.errors import LookaheadError
from lookahead.experiments.seeds import Seeds
from lookahead.files import replacing

FORMATS = ("png", "svg", "pdf")
COLUMNS = 3


def draw_experiment(path: Path, question: str, cells: Mapping[str, Seeds]) -> None:
    """A panel a cell: the measure that judges its runs, against steps; a thin line a seed. Written to a file.

    Args:
        path: ends in .png, .svg or .pdf.

    Raises:
        LookaheadError: another kind of file.
    """
    form = path.suffix.removeprefix(".")
    if form not in FORMATS:
        raise LookaheadError(f"a figure is a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file; not {str(path)!r}")
    figures.use_style()
    columns = min(len(cells), COLUMNS)
    rows = math.ceil(len(cells) / columns)
    fig, axes = figures.figure(0.9 + 1.6 * rows, rows, columns, sharey=True, squeeze=False)
    for ax, (label, seeds) in zip(axes.flat, cells.items(), strict=False):
        panel(ax, label, seeds)
    for ax in axes.flat[len(cells) :]:
        ax.axis("off")
    for row in axes:
        row[0].set_ylabel("accuracy")
    fig.suptitle(question, x=0.01, ha="left", fontsize=11, parse_math=False)
    with replacing(path) as temporary:
        fig.savefig(temporary, format=form, dpi=200, facecolor="white")
    plt.close(fig)


def panel(ax: Axes, label: str, seeds: Seeds) -> None:
    """One cell."""
    objective = str(seeds[0].run.objective["name"])  # type: ignore[index]
    color = figures.MEANING.get(objective, figures.INK)
    figures.curves(seeds, seeds.judged_by, color=color, ax=ax)
    figures.accuracy_axis(ax)
    figures.chance(ax, seeds[0].run.build_task().chance_accuracy)
    ax.set_title(f"{label.replace('_', ' ')}\n{seeds.won} of {len(seeds)} succeed", fontsize=8.5, parse_math=False)
    ax.set_xlabel("training step", fontsize=8.5)
