"""One style for all figures, one meaning for every colour, and what every figure says of itself."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lookahead.errors import LookaheadError
from lookahead.figures.narrow import can_be_narrowed, narrowed
from lookahead.files import replacing
from lookahead.names import counted, joined
from lookahead.runs.parquet import Packed
from lookahead.runs.result import Result

WIDTH = 7.2
"""Inches; every figure is as wide as the text."""
NARROW_KIND = "image/svg+xml;narrow"
"""Under this name a notebook's output holds a figure for small screens; no editor shows it, the site does."""

INK, FAINT, PALE = "#222222", "#6f6f6f", "#e8e8e8"
"""The right arm and what is drawn for all methods alike; axes, chance, what is aside; tokens that are only read."""
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW = (
    "#0072b2", "#d55e00", "#009e73", "#c0271f", "#8f5a9e", "#3f9fd6", "#b39200",
)  # fmt: skip
COLORS = (SKY, YELLOW, RED, BLUE, PURPLE, GREEN, ORANGE)
"""Okabe and Ito's colours, told apart by colour-blind readers (yellow, pink and sky darkened for thin lines).

For what has no meaning of its own in the book; the colours of methods come last.
"""
DASH = (0, (4, 3))
"""The line style of what is expected, not measured: chance, formulas."""
ORDERED = ("#8c8c8c", "#565656", INK)
"""Shades for what is ordered: a little, more, much."""
MEANING = {
    "teacher_forcing": ORANGE,
    "cheat": ORANGE,
    "reversed": GREEN,
    "teacherless": PURPLE,
    "multi_token": BLUE,
    "start hidden": SKY,  # of teacher forcing's hints; with both hidden it is teacherless
    "later hidden": YELLOW,
    "wrong": RED,
    "right arm": INK,
}
"""The same colour for the same thing through the whole book; what is not here is drawn in ink and its shades.

Models, optimisers and orders of the prompt differ by panel, line style or marker, never by colour.
"""


def colors_of(values: Iterable[Any]) -> dict[Any, str]:
    """A colour for every value: that of its meaning where it has one, else the next that has none."""
    values = list(values)
    taken = {MEANING[value] for value in values if value in MEANING}
    free = iter([color for color in COLORS if color not in taken] * len(values))
    return {value: MEANING[value] if value in MEANING else next(free) for value in values}


def use_style() -> None:
    """Sets the book's style; in a notebook figures become SVG that is the same text for the same numbers."""
    sns.set_theme(
        style="ticks",
        palette=COLORS,
        rc={
            "figure.facecolor": "none",
            "axes.facecolor": "none",
            "savefig.facecolor": "none",
            "figure.dpi": 100,
            "figure.constrained_layout.use": True,
            "font.family": "DejaVu Sans",
            "font.size": 10,
            "axes.titlesize": 10.5,
            "axes.titlelocation": "left",
            "axes.labelsize": 10,
            "axes.labelcolor": INK,
            "axes.edgecolor": FAINT,
            "axes.linewidth": 0.8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.grid.axis": "y",
            "grid.color": "#00000018",
            "grid.linewidth": 0.8,
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "xtick.labelsize": 10,
            "ytick.labelsize": 10,
            "xtick.major.size": 3,
            "ytick.major.size": 0,
            "legend.frameon": False,
            "legend.fontsize": 9,
            "lines.linewidth": 2,
            "lines.solid_capstyle": "round",
            "svg.fonttype": "path",  # the same with every browser's fonts
            "svg.hashsalt": "lookahead",
        },
    )
    try:
        from IPython.core.formatters import BaseFormatter
        from IPython.core.getipython import get_ipython
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:
        return
    shell: Any = get_ipython()
    if shell is not None:
        set_matplotlib_formats("svg")
        formatters = shell.display_formatter.formatters
        formatters["image/svg+xml"].for_type(Figure, svg)
        small = BaseFormatter(parent=shell.display_formatter, print_method="_repr_narrow_")  # which nothing has
        small.for_type(SignedFigure, narrow_svg)
        formatters[NARROW_KIND] = small


def svg(fig: Figure) -> str:
    """A figure as SVG, without a date and with lengths to a hundredth of a point.

    The last digits that the backend writes differ between processors; a hundredth of a point is not to be seen.
    """
    file = io.StringIO()
    fig.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = file.getvalue()
    return re.sub(r"-?\d+\.\d{3,}", lambda found: rounded(found[0]), text)


def narrow_svg(fig: SignedFigure) -> str | None:
    """The same for small screens; None where the wide one is to be shown there, too."""
    if not can_be_narrowed(fig):
        return None
    with narrowed(fig) as fits:
        return svg(fig) if fits else None


def rounded(number: str) -> str:
    """A number of an SVG to two decimals; small ones, which scale glyphs, are left as they are."""
    value = float(number)
    return f"{value:.2f}".rstrip("0").rstrip(".") if abs(value) >= 1 else f"{value:.6g}"


FORMATS = ("png", "svg", "pdf")


def form_of(path: Path) -> str:
    """The kind of file that a figure is written to, one of FORMATS.

    Raises:
        LookaheadError: another kind.
    """
    form = path.suffix.removeprefix(".")
    if form not in FORMATS:
        raise LookaheadError(f"a figure is a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file; not {str(path)!r}")
    return form


def save(fig: Figure, path: Path) -> None:
    """Writes a figure to a file, whole or not at all, on white; it is closed then.

    Raises:
        LookaheadError: another kind of file than FORMATS.
    """
    try:
        form = form_of(path)
        with replacing(path) as temporary:
            fig.savefig(temporary, format=form, dpi=200, facecolor="white")
    finally:
        plt.close(fig)


class SignedFigure(Figure):
    """A figure that knows the results behind it; as plain text it is what stands behind it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.results: dict[str, Result] = {}
        self.note = ""
        self.narrow: int | None = None

    def __repr__(self) -> str:
        said = [signature(list(self.results.values()))] if self.results else []
        return "; ".join([*said, *([self.note] if self.note else [])]) or super().__repr__()


def figure(
    height: float, rows: int = 1, columns: int = 1, narrow: int | None = 0, mosaic: str = "", **options: Any
) -> tuple[Any, Any]:
    """A figure of the text's width, `height` inches high, and its axes, as `plt.subplots` gives them.

    Args:
        mosaic: panels by their letters, such as "AC;BC", in place of rows and columns; the axes are a dictionary then.
        narrow: columns on small screens, which get a picture of their own (`lookahead.figures.narrow`): half as many
            if 0, so that no panel is narrower than on the page; None where there is to be no such picture.
    """
    options |= {"figsize": (WIDTH, height), "FigureClass": SignedFigure}
    made: Any = plt.subplot_mosaic(mosaic, **options) if mosaic else plt.subplots(rows, columns, **options)
    fig, axes = made
    columns = len(mosaic.split(";")[0]) or columns
    fig.narrow = max(columns // 2, 1) if narrow == 0 else narrow
    return fig, axes


def sign(fig: Any, results: Iterable[Result] = (), note: str = "") -> None:
    """Adds results to those that stand behind a figure. `curves` does it by itself; this is for numbers made by hand.

    The page says them in a fold below the caption (book/_ext/figure_notes.py).

    Args:
        fig: made by `figure`.
        note: said besides, such as the number of simulated answers; nothing that the results say.
    """
    fig.results.update({result.run.id: result for result in results})
    fig.note = note or fig.note


def signature(results: Sequence[Result]) -> str:
    """What stands behind numbers, in a line: seeds, when they were measured, on what, how long, what is out of date.

    "20 seeds each, measured beforehand on Intel Xeon, 3.1 hours". Whether results were measured beforehand follows
    from where they were read (`lookahead.runs.parquet.Packed`); nobody types it.
    """
    parts = []
    for before in (False, True):
        those = [result for result in results if isinstance(result, Packed) == before]
        if those:
            parts.append(f"{seeds_of(those)}, {'measured beforehand on' if before else 'live on'} {machines(those)}")
            parts[-1] += f", {duration(sum(result.manifest['seconds'] for result in those))}"
    stale = sum(not result.current for result in results)
    return "; ".join(parts) + (f"; {stale} OUT OF DATE" if stale else "")


def seeds_of(results: Iterable[Result]) -> str:
    """How many seeds every setting has: "20 seeds", "10 to 20 seeds each"."""
    cells: dict[str, int] = {}
    for result in results:
        cell = json.dumps({**result.run.config, "seed": None}, sort_keys=True)
        cells[cell] = cells.get(cell, 0) + 1
    low, high = min(cells.values()), max(cells.values())
    number = f"{low} to {high} seeds" if low < high else counted(low, "seed")
    return number + (" each" if len(cells) > 1 else "")


def machines(results: Iterable[Result]) -> str:
    """The devices, each once, without what their makers add to the name: "AMD EPYC and Intel Xeon"."""
    added = r"\((?:R|TM)\)|, \d+ cores| Processor| CPU"
    return joined(sorted({re.sub(added, "", result.manifest["device"]) for result in results}))


def duration(seconds: float) -> str:
    """Seconds as a reader says them: "40 seconds", "1 minute", "3.1 hours"."""
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} hours"
    return counted(round(seconds / 60), "minute") if seconds >= 60 else counted(max(round(seconds), 1), "second")


def legend(fig: Any, looks: Mapping[str, Mapping[str, Any]]) -> None:
    """Names above a figure for line styles and markers that mean the same in all its panels, whatever their colour.

    Args:
        looks: name -> how its lines look, such as {"linestyle": "--", "marker": "s"}.
    """
    lines = [Line2D([], [], color=INK, linewidth=1.4, markersize=5, **look) for look in looks.values()]
    fig.legend(lines, list(looks), loc="outside upper left", ncols=len(looks), handlelength=3.2)


def chance(ax: Axes, level: float, text: str = "", *, below: float = 0) -> None:
    """A dashed line at chance. Its text stands above it, or `below` it by so many points, away from the curves."""
    ax.axhline(level, color=FAINT, linewidth=1, linestyle=DASH, zorder=0)
    ax.annotate(
        text, (1, level), xycoords=("axes fraction", "data"), xytext=(0, -below or 3),
        textcoords="offset points", ha="right", va="top" if below else "baseline", fontsize=9, color=FAINT,
    )  # fmt: skip


def accuracy_axis(ax: Axes) -> None:
    """0 to 1, with room for a line at 1."""
    ax.set_ylim(-0.03, 1.05)
    ax.set_yticks([0, 0.5, 1])
