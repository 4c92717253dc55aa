"""What a grid has shown so far, in a table; and how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lookahead.evaluation.statistics import Interval, TimeToSuccess, across_seeds, proportion
from lookahead.experiments.experiment import Experiment
from lookahead.experiments.grid import STATES, GridRun, counts, seconds_left
from lookahead.runs.result import Result, steps_to_success
from lookahead.tables import columns


@dataclass(frozen=True)
class Cell:
    """All seeds of one cell on one graph."""

    title: str
    results: list[Result]

    @property
    def judged_by(self) -> str:
        """The measure that decides about success."""
        return self.results[0].run.judged_by

    @property
    def success(self) -> Interval:
        """The share of seeds that succeed, with its binomial interval."""
        return proportion(sum(r.success for r in self.results) / len(self.results), len(self.results))

    @property
    def accuracy(self) -> Interval:
        """The mean of the judging measure, with its across-seed interval."""
        return across_seeds([r.measures[self.judged_by] for r in self.results])

    @property
    def time(self) -> TimeToSuccess:
        """Steps to success; a run that never got there is censored."""
        return steps_to_success(self.results)


def cells(grid: Sequence[GridRun]) -> list[Cell]:
    """The results of a grid by graph and cell, in the grid's order."""
    found: dict[str, list[Result]] = {}
    for place in grid:
        if place.result is not None:
            found.setdefault(place.title.rsplit(", seed ", 1)[0], []).append(place.result)
    return [Cell(title, results) for title, results in found.items()]


def table(grid: Sequence[GridRun]) -> str:
    """One line a cell: seeds, success, accuracy, time to success; then what stands behind it."""
    head = ["", "seeds", "succeed", "95 %", "accuracy", "95 % of the mean", "steps to success", "95 %"]
    rows = []
    for cell in cells(grid):
        share, mean, time = cell.success, cell.accuracy, cell.time
        spread = "not known" if len(cell.results) == 1 else f"{mean.low:.3f} to {mean.high:.3f}"
        count = sum(r.success for r in cell.results)
        rows.append(
            [
                cell.title,
                str(len(cell.results)),
                f"{count}",
                f"{share.low:.2f} to {share.high:.2f}",
                f"{mean.value:.3f}",
                spread,
                str(time),
                time.reach,
            ]
        )
    return columns(head, rows)


def behind(grid: Sequence[GridRun]) -> str:
    """Seeds, devices, hours and states behind a grid's results, in a line."""
    results = [place.result for place in grid if place.result is not None]
    if not results:
        return "nothing yet"
    devices = sorted({r.manifest["device"] for r in results})
    hours = sum(r.manifest["seconds"] for r in results) / 3600
    stale = sum(place.state == "stale" for place in grid)
    mark = f"; {stale} STALE: today's code would give others" if stale else ""
    seeds = len({r.run.seed for r in results})
    return f"{len(results)} of {len(grid)} runs, {seeds} seeds, {' / '.join(devices)}, {hours:.1f} hours{mark}"


READ = (
    "succeed: seeds at an accuracy of 0.95 or more on test data. steps to success: half of the seeds had succeeded by "
    "then;\nbeyond: later than they were watched; not known: a single seed.\n"
)
"""How to read `table`."""


def status_row(experiment: Experiment, profile: str, grid: Sequence[GridRun]) -> list[str]:
    """How far a grid is: name, profile, a number for each state, the time left on this kind of machine."""
    found = counts(grid)
    left = seconds_left(grid)
    undone = len(grid) - found["done"] - found["failed"]
    time = "" if not undone else "not known" if left is None else duration(left)
    return [experiment.name, profile, *(str(found[state]) for state in STATES), time]


STATUS_HEAD = ["experiment", "profile", *STATES, "time left"]


def duration(seconds: float) -> str:
    """In words, to two digits."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
