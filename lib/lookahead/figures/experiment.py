"""The learning curves of a whole experiment in one figure: what `lookahead show --figure` draws."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes

import lookahead.figures as figures
from lookahead.experiments.seeds import Seeds
from lookahead.figures.style import save

COLUMNS = 3


def draw_experiment(path: Path, question: str, cells: Mapping[str, Seeds]) -> None:
    """A panel a cell: the measure that judges its runs, against steps; a thin line a seed. Written to a file.

    Args:
        path: ends in .png, .svg or .pdf.

    Raises:
        LookaheadError: another kind of file.
    """
    figures.use_style()
    columns = min(len(cells), COLUMNS)
    rows = math.ceil(len(cells) / columns)
    fig, axes = figures.figure(0.9 + 1.6 * rows, rows, columns, sharey=True, squeeze=False)
    for ax, (label, seeds) in zip(axes.flat, cells.items(), strict=False):
        panel(ax, label, seeds)
    for ax in axes.flat[len(cells) :]:
        ax.axis("off")
    fig.suptitle(question, x=0.01, ha="left", fontsize=11, parse_math=False)
    fig.supxlabel(repr(fig), x=0.995, ha="right", fontsize=9, color=figures.FAINT, parse_math=False)
    save(fig, path)


def panel(ax: Axes, label: str, seeds: Seeds) -> None:
    """One cell."""
    objective = str(seeds[0].run.objective["name"])  # type: ignore[index]
    color = figures.MEANING.get(objective, figures.INK)
    figures.curves(seeds, seeds.judged_by, color=color, ax=ax)
    figures.accuracy_axis(ax)
    figures.chance(ax, seeds[0].run.build_task().chance_accuracy)
    ax.set_title(f"{figures.named(label)}\n{seeds.won} of {len(seeds)} succeed", fontsize=9, parse_math=False)
    ax.set(xlabel="training step", ylabel=figures.named(seeds.judged_by))
