"""Measures against steps, shares with their intervals, heat maps: drawn by seaborn, signed by their results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from lookahead.evaluation.statistics import Interval
from lookahead.figures.style import INK, accuracy_axis, chance, colors_of, figure, sign
from lookahead.names import named
from lookahead.runs.result import Result

PANEL = 1.6
"""Inches that a row of panels is high."""
FEW = 3
"""Seeds below which no mean is drawn."""


def curves(
    seeds: Sequence[Result],
    measure: str,
    *,
    rows: str | None = None,
    columns: str | None = None,
    color: str | None = None,
    position: int | None = None,
    ax: Axes | None = None,
    label: str | None = None,
    linestyle: str = "-",
    ylabel: str | None = None,
) -> Any:
    """One measure against steps: a thin line a seed, a thick one for their mean where there are three or more.

    A run that stopped early keeps its last value in the mean. Every figure made by `figure` signs itself with them.

    Args:
        rows, columns: fields; a panel for each of their values. The results are then a `Seeds`, which can be asked.
        color: a colour, such as "#222222", or a field: a colour for each of its values, with a legend.
        position: of the answer, for a measure that has several.
        ax: drawn into, if given; rows and columns are then not asked for.
        label: of the thick line in a legend that the caller asks for.

    Returns:
        the figure if one was made, else `ax`.
    """
    if ax is not None:
        _panel(ax, seeds, measure, color, position, label, linestyle)
        return ax
    down, across = split(seeds, rows), split(seeds, columns)
    height = 1.0 + PANEL * len(down) if rows or columns else 2.9
    fig, axes = figure(height, len(down), len(across), sharex=True, sharey=True, squeeze=False)
    for i, (row, those) in enumerate(down.items()):
        for j, column in enumerate(across):
            place, inside = axes[i, j], split(those, columns).get(column, [])
            if not inside:
                place.axis("off")
                continue
            _panel(place, inside, measure, color, position, label, linestyle)
            if measure.endswith("accuracy"):
                accuracy_axis(place)
                task = inside[0].run.build_task()
                level = "1/d" if task.decision_known else "commonest answer"
                chance(place, task.chance_accuracy, level if i == j == 0 else "")
            if columns is not None and i == 0:
                place.set_title(named(column))
            if i < len(down) - 1:
                place.set_xlabel("")
            if rows is None or j == 0:
                place.set_ylabel(ylabel or named(measure) if rows is None else named(row))
    if rows is not None:
        fig.supylabel(ylabel or named(measure), fontsize=10)
    if color is not None and not _is_color(color) and color not in (rows, columns):
        axes[0, 0].legend(loc="center right", bbox_to_anchor=(1, 0.72))
    return fig


def split(seeds: Any, field: str | None) -> dict[Any, Any]:
    """Results by the value of a field, where one is given."""
    return {None: seeds} if field is None else seeds.by(field)


def _is_color(color: str) -> bool:
    return color.startswith("#")


def _panel(
    ax: Axes,
    seeds: Sequence[Result],
    measure: str,
    color: str | None,
    position: int | None,
    label: str | None,
    linestyle: str,
) -> None:
    """The lines of one panel."""
    if color is None or _is_color(color):
        _lines(ax, seeds, measure, color or INK, position, label, linestyle)
        return
    groups = split(seeds, color)
    for value, tone in colors_of(groups).items():
        _lines(ax, groups[value], measure, tone, position, named(value), linestyle)


def _lines(
    ax: Axes,
    seeds: Sequence[Result],
    measure: str,
    color: str,
    position: int | None,
    label: str | None,
    linestyle: str,
) -> None:
    """A thin line a seed, a thick one for their mean; thick ones for fewer than three, whose mean is no summary."""
    series = {}
    for result in seeds:
        steps, values = result.series(measure, position)
        series[result.run.id] = pd.Series(values, index=steps)
    each = pd.DataFrame(series).rename_axis(index="step", columns="run")
    look = {"x": "step", "y": "value", "color": color, "ax": ax, "estimator": None, "errorbar": None, "legend": False}
    single = each.melt(ignore_index=False).dropna().reset_index()
    if len(series) < FEW:
        sns.lineplot(single, **look, units="run", linestyle=linestyle)
        ax.lines[-1].set_label(label)
    else:
        sns.lineplot(single, **look, units="run", linewidth=0.7, alpha=0.35, linestyle=linestyle)
        mean = each.ffill().mean(axis=1).rename("value").reset_index()
        sns.lineplot(mean, **look, linestyle=linestyle, label=label)
    ax.set(xlabel="training step", ylabel="")
    for axis in (ax.xaxis, ax.yaxis):
        axis.label.set_visible(True)  # seaborn hides those of inner panels
    if hasattr(ax.figure, "results"):
        sign(ax.figure, seeds)


def points(
    places: Sequence[float],
    shares: Sequence[Interval],
    *,
    color: str,
    ax: Axes,
    label: str | None = None,
    marker: str = "o",
    shift: float = 0.0,
    line: str = "",
) -> None:
    """Measured shares with the intervals that come with them.

    Args:
        places: along the x axis, one a share.
        shift: added to the places, so that what lies at the same height does not hide.
        line: the style of the line that joins the points; none if it is empty.
    """
    values = np.array([share.value for share in shares])
    reach = [values - [share.low for share in shares], [share.high for share in shares] - values]
    ax.errorbar(
        np.asarray(places, dtype=float) + shift, values, np.maximum(reach, 0), color=color, label=label,
        fmt=marker + line, markersize=4.5, elinewidth=1.2, capsize=0, linewidth=1,
    )  # fmt: skip


def heat(
    values: Any,
    *,
    ax: Axes,
    color: str,
    rows: Iterable[Any] | None = None,
    columns: Iterable[Any] | None = None,
    text: Any | None = None,
    low: float = 0.0,
    high: float = 1.0,
) -> None:
    """A heat map with its numbers in it.

    Args:
        values: [rows, columns], or a data frame with its own names.
        color: of the highest value; the lowest has none.
        rows, columns: names at the axes.
        text: [rows, columns], written instead of the values to two decimals.
    """
    table = values if isinstance(values, pd.DataFrame) else pd.DataFrame(np.asarray(values))
    if rows is not None:
        table = table.set_axis([named(name) for name in rows], axis=0)
    if columns is not None:
        table = table.set_axis([named(name) for name in columns], axis=1)
    written: Mapping[str, Any] = {"annot": True, "fmt": ".2f"} if text is None else {"annot": np.array(text), "fmt": ""}
    shade = LinearSegmentedColormap.from_list("shade", ["#f4f4f4", color])
    sns.heatmap(
        table, ax=ax, cmap=shade, vmin=low, vmax=high, cbar=False, linewidths=2, linecolor="none",
        annot_kws={"fontsize": 10}, **written,
    )  # fmt: skip
    ax.set(xlabel="", ylabel="")
    ax.tick_params(length=0, rotation=0)
    ax.grid(visible=False)
