"""A figure for small screens: the same axes on a narrower sheet, in fewer columns, with type that stays legible."""

from __future__ import annotations

import math
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.gridspec import GridSpec, GridSpecBase
from matplotlib.legend import Legend
from matplotlib.text import Text

WIDTH = 4.2
"""Inches; on a telephone 355 pixels wide a letter of 9 points is 10.6 pixels high."""

GAP = 3
"""Pixels between two names of a drawing, at least."""


def can_be_narrowed(fig: Any) -> bool:
    """Whether there is anything to put below each other, or to be squeezed."""
    panels = [ax for ax in fig.axes if drawn(ax)]
    return fig.narrow is not None and bool(panels) and all(ax.get_subplotspec() for ax in panels)


def columns(fig: Any) -> int:
    """Columns of panels on the page."""
    return fig.axes[0].get_subplotspec().get_gridspec().ncols


def drawn(ax: Axes) -> bool:
    """Whether there is anything in a panel."""
    return bool(ax.lines or ax.patches or ax.collections or ax.texts or ax.images)


@contextmanager
def narrowed(fig: Any) -> Iterator[bool]:
    """Rearranges a figure made by `lookahead.figures.figure`, and puts it back as it was; whether all of it has room.

    Panels stand in `fig.narrow` columns. In a grid with headings, where only the first row has titles, the columns are
    cut into blocks that stand below each other, each with the names of the rows. Other panels keep the order in which
    they are read: row by row, or column by column where one is higher than a row. The names that only the first panel
    of a row had are given to the one that is first now.
    """
    with ExitStack() as undo:
        fig.draw_without_rendering()
        cramped = without_room(fig)
        width, height = fig.get_size_inches()
        undo.callback(fig.set_size_inches, width, height)
        if fig.narrow < columns(fig):
            height *= rearrange(fig, undo)
        fig.set_size_inches(WIDTH, height)
        with warnings.catch_warnings(record=True) as said:  # that there is no room
            warnings.simplefilter("always")
            fig.draw_without_rendering()
            for ax in fig.axes:
                for text in (ax.xaxis.label, ax.title, ax._left_title):  # type: ignore[attr-defined]
                    wrap(text, ax, undo)
                thin(ax, undo)
                break_names(ax, fig, undo)
            for legend in list(fig.legends):
                fit(legend, fig, undo)
        inside = [(legend, ax) for ax in fig.axes if (legend := ax.get_legend())]
        fits = all(legend.get_window_extent().width <= ax.get_window_extent().width for legend, ax in inside)
        fits = fits and without_room(fig) <= cramped
        yield fits and not any("constrained_layout" in str(warning.message) for warning in said)


def without_room(fig: Any) -> set[Any]:
    """What has no room in a figure's drawings, as it was drawn last.

    Names that overlap, stand out of the sheet or out of the box that they are in the middle of, discs that touch.
    """
    found: set[Any] = set()
    sheet = fig.bbox
    for ax in (ax for ax in fig.axes if not ax.axison):
        names = [text for text in ax.texts if text.get_visible() and text.get_text()]
        boxes = [Text.get_window_extent(text) for text in names]  # of an annotation, without its arrow
        found |= {name for name, box in zip(names, boxes, strict=True) if box.x0 < sheet.x0 or box.x1 > sheet.x1}
        for (one, box), (other, its) in combinations(zip(names, boxes, strict=True), 2):
            if box.padded(GAP).overlaps(its):
                found.add((one, other))
        for frame in (patch.get_window_extent() for patch in ax.patches):
            for name, box in zip(names, boxes, strict=True):
                middle = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
                if frame.contains(*middle) and box.width > frame.width:
                    found.add(name)
        discs = [
            (name, at, math.sqrt(points.get_sizes()[0]) / 2 * fig.dpi / 72)
            for points in ax.collections if isinstance(points, PathCollection)
            for name, at in enumerate(ax.transData.transform(np.asarray(points.get_offsets())))
        ]  # fmt: skip
        for i, (one, other) in enumerate(combinations(discs, 2)):
            if math.dist(one[1], other[1]) < one[2] + other[2]:
                found.add((ax, i))
    return found


def rearrange(fig: Any, undo: ExitStack) -> float:
    """Puts the panels into fewer columns; by how much higher the figure must be."""
    old = fig.axes[0].get_subplotspec().get_gridspec()
    panels: dict[tuple[int, int], Axes] = {}
    spans: dict[tuple[int, int], range] = {}
    for ax in fig.axes:
        place = ax.get_subplotspec()
        at = place.rowspan.start, place.colspan.start
        panels[at], spans[at] = ax, place.rowspan
    rows, across = old.nrows, fig.narrow
    titled = {row for (row, _), ax in panels.items() if ax.get_title(loc="left") or ax.get_title()}
    headed = titled == {0}
    high = any(len(span) > 1 for span in spans.values())
    order = sorted(panels, key=lambda at: (at[1] // across, *at) if headed else at[::-1] if high else at)
    shown = [at for at in order if drawn(panels[at])]
    places: dict[tuple[int, int], tuple[int, int]] = {}
    for at in shown:
        row, column = at
        if headed:
            places[at] = (column // across * rows + row, column % across)
        else:
            places[at] = divmod(len(places), across)
    heights = row_heights(old)
    lines = [0.0] * (1 + max(row for row, _ in places.values()))
    for at, (row, _) in places.items():
        lines[row] = max(lines[row], sum(heights[i] for i in spans[at]))
    new = GridSpec(len(lines), across, figure=fig, height_ratios=lines)
    for at, ax in panels.items():
        undo.callback(ax.set_subplotspec, ax.get_subplotspec())  # pyright: ignore[reportArgumentType]
        ax.set_subplotspec(new[places.get(at, (0, 0))])
        if at not in places:
            undo.callback(ax.set_in_layout, True)
            ax.set_in_layout(False)
        elif places[at][1] == 0 and at[1] > 0 and (at[0], 0) in panels:
            name_rows(ax, panels[at[0], 0], undo)
    return sum(lines) / sum(heights)


def row_heights(grid: GridSpecBase) -> list[float]:
    """How high the rows of a grid are, beside each other."""
    return np.asarray(grid.get_height_ratios(), dtype=float).tolist()


def name_rows(ax: Axes, first: Axes, undo: ExitStack) -> None:
    """Gives a panel the labels that only the first panel of its row had."""
    of_first, own = (axes.yaxis.get_tick_params().get("labelleft", True) for axes in (first, ax))
    if own or not of_first:
        return
    undo.callback(ax.tick_params, axis="y", labelleft=False)
    ax.tick_params(axis="y", labelleft=True)
    if first.get_ylabel() and not ax.get_ylabel():
        undo.callback(ax.set_ylabel, "")
        ax.set_ylabel(first.get_ylabel())


def wrap(text: Text, ax: Axes, undo: ExitStack) -> None:
    """Breaks a heading or the name of an axis where it is longer than its panel is wide."""
    said = text.get_text()
    lines = int(np.ceil(text.get_window_extent().width / ax.get_window_extent().width)) if said else 1
    if lines > 1 and "\n" not in said:
        undo.callback(text.set_text, said)
        text.set_text(textwrap.fill(said, int(np.ceil(1.15 * len(said) / lines))))


def break_names(ax: Axes, fig: Any, undo: ExitStack) -> None:
    """Breaks the longest names of a panel's own legend in two where it is wider than the panel."""
    legend = ax.get_legend()
    if not legend or legend.get_window_extent().width <= ax.get_window_extent().width:
        return
    names = {text: text.get_text() for text in legend.get_texts()}
    for text, said in names.items():
        if len(said) > 0.6 * max(map(len, names.values())):
            undo.callback(text.set_text, said)
            text.set_text(textwrap.fill(said, int(np.ceil(0.6 * len(said)))))
    fig.draw_without_rendering()


def fit(legend: Legend, fig: Any, undo: ExitStack) -> None:
    """Puts a legend above the figure into as many columns as there is room for."""
    names, shown = [text.get_text() for text in legend.get_texts()], legend
    undo.callback(fig.legends.__setitem__, slice(None), list(fig.legends))
    for ncols in range(len(names), 0, -1):
        if shown.get_window_extent().width <= 0.98 * fig.bbox.width:
            break
        fig.legends.remove(shown)
        shown = fig.legend(
            legend.legend_handles, names, loc="outside upper left", ncols=ncols, handlelength=legend.handlelength
        )
        fig.draw_without_rendering()


def thin(ax: Axes, undo: ExitStack) -> None:
    """Where the names of an axis run into each other: every other number is left out, words are turned."""
    low, high = sorted(ax.get_xlim())
    ticks = [(tick.get_loc(), text) for tick in ax.xaxis.get_major_ticks() for text in (tick.label1, tick.label2)]
    shown = [(at, text) for at, text in ticks if low <= at <= high and text.get_visible() and text.get_text()]
    boxes = [text.get_window_extent() for _, text in shown]
    if not any(one.x1 + 3 > other.x0 for one, other in pairwise(boxes)):
        return
    if any(letter.isalpha() for _, text in shown for letter in text.get_text()):
        undo.callback(ax.tick_params, axis="x", labelrotation=0)
        ax.tick_params(axis="x", labelrotation=90)
    else:
        undo.callback(ax.xaxis.set_major_formatter, ax.xaxis.get_major_formatter())
        undo.callback(ax.xaxis.set_major_locator, ax.xaxis.get_major_locator())
        ax.set_xticks([at for at, _ in shown[::2]], [text.get_text() for _, text in shown[::2]])
