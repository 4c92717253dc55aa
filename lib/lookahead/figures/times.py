"""What training costs until something is learnt, drawn: steps by setting, seconds by batch size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lookahead.figures.style import FAINT, MEANING, figure, legend
from lookahead.names import named

LOOKS: dict[str, dict[str, Any]] = {
    "adamw": {"linestyle": "--", "marker": "s"},
    "muon": {"linestyle": "-", "marker": "o"},
}
"""Of an optimiser; the colour is the objective's."""


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
            _dots(ax, np.where(np.isnan(times), 1.06 * limit, times), rows, np.isnan(times), objective, optimizer)
        ax.axvline(limit, color=FAINT, linewidth=1)
        ax.set(title=named(objective), xlabel="training steps until learnt", xlim=(0, 1.12 * limit))
    axes[0].set_yticks(range(len(settings)), [f"{named(optimizer)} {rate:g}" for optimizer, rate in settings])
    axes[0].set_ylabel("optimiser, learning rate")
    axes[0].invert_yaxis()
    return fig


def draw_seconds(seconds: Mapping[tuple[str, str, float, int], Sequence[float]], roof: float) -> Any:
    """A panel an objective: seconds of one core against the batch size; a dot a seed, lines join medians. The figure.

    Args:
        seconds: (objective, optimiser, rate, batch size) -> seconds until learnt of each seed, nan if never.
        roof: where the axis ends; a seed that never learnt is an open dot there.
    """
    objectives, settings, sizes = (distinct(key[part] for key in seconds) for part in (0, slice(1, 3), 3))
    fig, axes = figure(3.2, columns=len(objectives), sharey=True)
    for ax, objective in zip(axes, objectives, strict=True):
        for (optimizer, rate), aside in zip(settings, (0.9, 1.1), strict=True):
            places, medians = np.multiply(sizes, aside), []
            for size, place in zip(sizes, places, strict=True):
                times = np.nan_to_num(seconds[objective, optimizer, rate, size], nan=np.inf)
                medians.append(np.median(times))
                spread = place * np.linspace(0.94, 1.06, len(times))
                _dots(ax, spread, np.minimum(times, roof), np.isinf(times), objective, optimizer)
            line = LOOKS[optimizer]["linestyle"]
            ax.plot(places, medians, color=MEANING[objective], linestyle=line, linewidth=1.3)
        ax.set_xscale("log", base=2)
        ax.set_xticks(sizes, [str(size) for size in sizes])
        ax.set(title=named(objective), xlabel="graphs per training step", ylabel="seconds until learnt", ylim=(0, roof))
    legend(fig, {f"{named(optimizer)} {rate:g}": LOOKS[optimizer] for optimizer, rate in settings})
    return fig


def distinct(values: Iterable[Any]) -> list[Any]:
    """Each once, in order."""
    return list(dict.fromkeys(values))


def _dots(ax: Any, x: Any, y: Any, never: Any, objective: str, optimizer: str) -> None:
    """A dot a seed, open for those that never learnt."""
    color, marker = MEANING[objective], LOOKS[optimizer]["marker"]
    for place, height, open_ in zip(x, y, never, strict=True):
        filled = "none" if open_ else color
        ax.plot(place, height, marker, color=color, markersize=5, markerfacecolor=filled, clip_on=False)
