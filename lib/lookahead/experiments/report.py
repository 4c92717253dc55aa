"""What a grid has shown so far, in a table; and how far it is."""

from __future__ import annotations

from collections.abc import Sequence

from lookahead.experiments.experiment import Experiment
from lookahead.experiments.grid import STATES, GridRun, counts, seconds_left
from lookahead.experiments.seeds import Seeds
from lookahead.runs.result import Result
from lookahead.tables import columns


def cells(grid: Sequence[GridRun]) -> dict[str, Seeds]:
    """Label of a cell -> its results, in the grid's order."""
    found: dict[str, list[Result]] = {}
    for entry in grid:
        if entry.result is not None:
            found.setdefault(entry.label, []).append(entry.result)
    return {label: Seeds(results) for label, results in found.items()}


def table(grid: Sequence[GridRun]) -> str:
    """A line for each cell: seeds, success, chance, accuracy, time to success."""
    head = ["", "seeds", "succeed", "95%", "left chance", "accuracy", "95% of the mean", "steps to success", "95%"]
    rows = []
    for label, seeds in cells(grid).items():
        share, mean, time = seeds.success, seeds.accuracy, seeds.time
        spread = "not known" if len(seeds) == 1 else f"{mean.low:.3f} to {mean.high:.3f}"
        rows.append(
            [
                label,
                str(len(seeds)),
                str(seeds.won),
                f"{share.low:.2f} to {share.high:.2f}",
                str(seeds.left_chance().sum()),
                f"{mean.value:.3f}",
                spread,
                str(time),
                time.reach,
            ]
        )
    return columns(head, rows)


def summary_line(grid: Sequence[GridRun]) -> str:
    """Runs, seeds, devices, hours and stale results of a grid, in a line."""
    facts = Seeds([entry.result for entry in grid if entry.result is not None]).provenance
    if not facts.runs:
        return "nothing yet"
    mark = f"; {facts.stale} STALE: today's code would give others" if facts.stale else ""
    devices = " / ".join(facts.devices)
    return f"{facts.runs} of {len(grid)} runs, {facts.seeds} seeds, {devices}, {facts.hours:.1f} hours{mark}"


TABLE_LEGEND = (
    "succeed: seeds at an accuracy of 0.95 or more on test data. left chance: seeds clearly above chance (4 standard\n"
    "errors). steps to success: half of the seeds had succeeded by then; never: fewer than half did; beyond: later\n"
    "than they were watched; not known: a single seed.\n"
)
"""Explanation of the columns of `table`."""


def status_row(experiment: Experiment, profile: str, grid: Sequence[GridRun]) -> list[str]:
    """State of a grid: name, profile, a number for each state, the time left on this kind of machine."""
    found = counts(grid)
    left = seconds_left(grid)
    undone = len(grid) - found["done"] - found["failed"]
    time = "" if not undone else "not known" if left is None else duration(left)
    return [experiment.name, profile, *(str(found[state]) for state in STATES), time]


STATUS_HEAD = ["experiment", "profile", *STATES, "time left"]


def duration(seconds: float) -> str:
    """Seconds in words, to two digits."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
