"""How fast the library is, drawn: ratios of times, and what a training step is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lookahead.figures.style import FAINT, INK, PALE, figure

PARTS = (PALE, "#c4c4c4", "#9a9a9a", INK, "#6b6b6b")
"""From the data to the evaluation; the optimiser, which the figure is about, in ink."""


def draw_ratios(ratios: Mapping[str, float], xlabel: str) -> Any:
    """A row a piece of work, a dot at how many times this library's time another one takes. The figure.

    Args:
        ratios: what was compared -> ratio; in ink what begins with "tiny".
    """
    fig, ax = figure(0.29 * len(ratios) + 0.9)
    for row, (work, ratio) in enumerate(ratios.items()):
        color = INK if work.startswith("tiny") else FAINT
        ax.plot([1, ratio], [row, row], "-o", color=color, linewidth=1.4, markersize=6, markevery=[1])
        ax.text(ratio + 0.05, row, f"{ratio:.2f}", va="center", fontsize=9)
    ax.axvline(1, color=FAINT, linewidth=1)
    _rows(ax, ratios)
    ax.set(xlim=(0.95, None), xlabel=xlabel)
    return fig


def draw_parts(steps: Mapping[str, Mapping[str, float]]) -> Any:
    """A bar a training step, its parts one after the other, in milliseconds. The figure.

    Args:
        steps: label -> (part -> milliseconds), the same parts in all.
    """
    fig, ax = figure(2.6)
    for row, parts in enumerate(steps.values()):
        left = 0.0
        for (part, ms), color in zip(parts.items(), PARTS, strict=True):
            ax.barh(row, ms, left=left, color=color, height=0.62, linewidth=0, label=None if row else part)
            left += ms
        ax.text(left + 1, row, f"{left:.0f} ms", va="center", fontsize=9)
    _rows(ax, steps)
    ax.set_xlabel("milliseconds per training step")
    fig.legend(loc="outside upper left", ncols=len(PARTS), columnspacing=1, handlelength=1)
    return fig


def _rows(ax: Any, labels: Mapping[str, Any]) -> None:
    """Names at the rows, from the top."""
    ax.set_yticks(range(len(labels)), list(labels))
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
