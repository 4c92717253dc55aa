"""One style for all figures, and what every figure says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lookahead.runs.result import Result

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
