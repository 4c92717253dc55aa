"""What training costs until something is learnt, drawn: steps by setting, seconds by batch size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lookahead.figures.style import BLUE, FAINT, RED, figure
from lookahead.names import named

COLORS = {"adamw": BLUE, "muon": RED}


def draw_steps(steps: Mapping[tuple[str, str, float], Sequence[float]], limit: int) -> Any:
    """A panel an objective, a row an optimiser and its rate, a dot a seed. The figure.

    Args:
        steps: (objective, optimiser, rate) -> steps until learnt of each seed, nan if never.
        limit: of training; a seed that never learnt is an open dot beyond it.
    """
    objectives, settings = (distinct(key[part] for key in steps) for part in (0, slice(1, 3)))
    fig, axes = figure(2.6, columns=len(objectives), sharey=True)
    for ax, objective in zip(axes, objectives, strict=True):
        for row, (optimizer, rate) in enumerate(settings):
            times = np.asarray(steps[objective, optimizer, rate])
            rows = row + np.linspace(-0.18, 0.18, len(times))
            _dots(ax, np.where(np.isnan(times), 1.06 * limit, times), rows, np.isnan(times), COLORS[optimizer])
        ax.axvline(limit, color=FAINT, linewidth=1)
        ax.set(title=named(objective), xlabel="steps until learnt", xlim=(0, 1.12 * limit))
    axes[0].set_yticks(range(len(settings)), [f"{named(optimizer)} {rate:g}" for optimizer, rate in settings])
    axes[0].invert_yaxis()
    return fig


def draw_seconds(seconds: Mapping[tuple[str, str, float, int], Sequence[float]], roof: float) -> Any:
    """A panel an objective: seconds against the batch size, a dot a seed, a line an optimiser's medians. The figure.

    Args:
        seconds: (objective, optimiser, rate, batch size) -> seconds until learnt of each seed, nan if never.
        roof: where the axis ends; a seed that never learnt is an open dot there.
    """
    objectives, settings, sizes = (distinct(key[part] for key in seconds) for part in (0, slice(1, 3), 3))
    fig, axes = figure(3.0, columns=len(objectives), sharey=True)
    for ax, objective in zip(axes, objectives, strict=True):
        for (optimizer, rate), aside in zip(settings, (0.9, 1.1), strict=True):
            color, places, medians = COLORS[optimizer], np.multiply(sizes, aside), []
            for size, place in zip(sizes, places, strict=True):
                times = np.nan_to_num(seconds[objective, optimizer, rate, size], nan=np.inf)
                medians.append(np.median(times))
                spread = place * np.linspace(0.94, 1.06, len(times))
                _dots(ax, spread, np.minimum(times, roof), np.isinf(times), color)
            ax.plot(places, medians, color=color, linewidth=1.3, label=f"{named(optimizer)} {rate:g}")
        ax.set_xscale("log", base=2)
        ax.set_xticks(sizes, [str(size) for size in sizes])
        ax.set(title=named(objective), xlabel="graphs a step", ylim=(0, roof))
    axes[0].set_ylabel("seconds of one core until learnt\n(open, at the top: not in time)")
    axes[1].legend(fontsize=8.5, loc="center left")
    return fig


def distinct(values: Iterable[Any]) -> list[Any]:
    """Each once, in order."""
    return list(dict.fromkeys(values))


def _dots(ax: Any, x: Any, y: Any, never: Any, color: str) -> None:
    """A dot a seed, open for those that never learnt."""
    for place, height, open_ in zip(x, y, never, strict=True):
        filled = "none" if open_ else color
        ax.plot(place, height, "o", color=color, markersize=5, markerfacecolor=filled, clip_on=False)
