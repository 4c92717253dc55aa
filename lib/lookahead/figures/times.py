"""What training costs until something is learnt, drawn: steps by setting or network, seconds by batch size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from lookahead.experiments.seeds import Seeds
from lookahead.figures.style import BLUE, FAINT, INK, MEANING, figure, legend, sign
from lookahead.names import named
from lookahead.runs.result import Result

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


def draw_waits(cells: Mapping[str, Seeds], colors: Mapping[str, str] | None = None) -> Any:
    """Training steps until the task is learnt: a row a setting, a dot a seed. The figure.

    A seed that did not learn it is an open dot where its training ended.

    Args:
        colors: of the settings that are not blue.
    """
    fig, ax = figure(0.9 + 0.42 * len(cells))
    plot_waits(ax, cells, colors)
    for seeds in cells.values():
        sign(fig, seeds)
    return fig


def plot_waits(ax: Axes, cells: Mapping[str, Seeds], colors: Mapping[str, str] | None = None) -> None:
    """What `draw_waits` draws, on axes that are there."""
    for row, (name, seeds) in enumerate(cells.items()):
        color = (colors or {}).get(name, BLUE)
        for aside, result in zip(np.linspace(-0.2, 0.2, len(seeds)) if len(seeds) != 1 else [0.0], seeds, strict=True):
            learnt = result.step_of_success if result.success else None
            at, filled = (learnt, color) if learnt is not None else (result.manifest["steps"], "none")
            ax.plot(at, row + aside, "o", color=color, markersize=5.5, markerfacecolor=filled)
    ax.set_yticks(range(len(cells)), list(cells))
    ax.set(xlabel="training steps until learnt (open: not learnt by then)", ylim=(len(cells) - 0.5, -0.5))
    logarithmic_steps(ax)
    ax.grid(axis="x")


def logarithmic_steps(ax: Axes) -> None:
    """Training steps on a logarithmic axis, written out."""
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    ax.xaxis.set_minor_formatter(NullFormatter())


def draw_plateaus(cells: Mapping[str, Seeds], measure: str, level: float) -> Any:
    """How long each network stays on its plateau: a line per network against steps, in groups. The figure.

    A line is thin until the measure is first at `level`, thick from there on. It ends in a dot where the task is
    learnt, and in an open arrow where training ended before.

    Args:
        cells: title of a group -> its results, of one method or more; a method has its colour.
        level: of the measure, where the plateau ends.
    """
    methods = distinct(_method(result) for seeds in cells.values() for result in seeds)
    first = min(result.run.evaluate_every for seeds in cells.values() for result in seeds)
    rows: list[tuple[str, float]] = []
    top = 0.0
    fig, ax = figure(0.9 + 0.16 * sum(len(seeds) + 1.5 for seeds in cells.values()))
    for title, seeds in cells.items():
        ordered = sorted(seeds, key=lambda result: methods.index(_method(result)))
        rows.append((title, top + (len(ordered) - 1) / 2))
        for row, result in enumerate(ordered):
            _wait(ax, result, measure, level, first / 2, top + row)
        top += len(ordered) + 1.5
        ax.axhline(top - 1.25, color=FAINT, linewidth=0.4)
        sign(fig, seeds)
    ax.set_yticks([place for _, place in rows], [title for title, _ in rows])
    logarithmic_steps(ax)
    ax.set(xlim=(first / 2, None), ylim=(top - 1.25, -1.25), xlabel="training steps")
    ax.grid(visible=True, axis="x")
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)
    marks = [Line2D([], [], color=MEANING.get(method, INK), linewidth=2.4) for method in methods]
    ends = [
        Line2D([], [], linestyle="", marker=marker, color=INK, markerfacecolor=face, markersize=5)
        for marker, face in ((">", "none"), ("o", INK))
    ]
    names = [*map(named, methods), "not learnt when training ended", "learnt"]
    fig.legend([*marks, *ends], names, loc="outside upper left", ncols=len(names), handletextpad=0.5, handlelength=1.2)
    return fig


def _method(result: Result) -> str:
    """The name of what a run teaches by."""
    return result.run.config["objective"]["name"]


def _wait(ax: Any, result: Result, measure: str, level: float, begin: float, row: float) -> None:
    """One network's line of `draw_plateaus`."""
    color = MEANING.get(_method(result), INK)
    learnt = result.step_of_success
    end = learnt or result.manifest["steps"]
    rises = result.first_step(measure, level)
    ax.plot([begin, min(rises or end, end)], [row, row], color=color, linewidth=0.9)
    if rises is not None and rises < end:
        ax.plot([rises, end], [row, row], color=color, linewidth=2.6, solid_capstyle="butt")
    marker, face = ("o", color) if learnt else (">", "none")
    ax.plot(end, row, marker, color=color, markersize=5, markerfacecolor=face, clip_on=False)


def distinct(values: Iterable[Any]) -> list[Any]:
    """Each once, in order."""
    return list(dict.fromkeys(values))


def _dots(ax: Any, x: Any, y: Any, never: Any, objective: str, optimizer: str) -> None:
    """A dot a seed, open for those that never learnt."""
    color, marker = MEANING[objective], LOOKS[optimizer]["marker"]
    for place, height, open_ in zip(x, y, never, strict=True):
        filled = "none" if open_ else color
        ax.plot(place, height, marker, color=color, markersize=5, markerfacecolor=filled, clip_on=False)
