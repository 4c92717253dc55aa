"""Results that can be asked: by field, by measure, for shares and times with their intervals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from lookahead.errors import LookaheadError
from lookahead.evaluation.statistics import Interval, TimeToSuccess, across_seeds, proportion
from lookahead.experiments.catalogue import find_experiment
from lookahead.experiments.experiment import packed_name
from lookahead.experiments.fields import fields_of, matches
from lookahead.runs.parquet import read_packed
from lookahead.runs.result import Result, steps_to_success


def stored(name: str, profile: str = "census") -> Seeds:
    """The packed results of an experiment, in the order of its grid; what has not been run is left out.

    How many of its runs are there is in `lookahead status`, and in the results themselves (`by`).

    Raises:
        LookaheadError: no such experiment or profile, or nothing is packed of it.
    """
    experiment = find_experiment(name)
    wanted = [run.id for run in experiment.runs(profile)]
    found = {result.run.id: result for result in read_packed(packed_name(experiment, profile))}
    return Seeds([found[id] for id in wanted if id in found])


@dataclass(frozen=True)
class Provenance:
    """What stands behind numbers or a figure."""

    runs: int
    seeds: int
    devices: tuple[str, ...]
    hours: float
    """Of training, all runs together."""
    stale: int
    """Results that today's code would not give."""


class Seeds(Sequence[Result]):
    """An immutable sequence of results, as a rule the seeds of one cell or of several.

        cells = stored("architecture")
        taught = cells.where(objective="teacher_forcing", path_length=5)
        for model, seeds in taught.by("model").items():
            print(model, seeds)  # mamba-tiny 0 of 10 [0.00, 0.28]

    Fields are those of a run (`optimizer`, `steps`, `seed`) and the options of its task, model and objective under
    their own names (`path_length`, `state`, `start`); see `fields.fields_of`.

    Args:
        results: in the order in which they are to be listed.
    """

    def __init__(self, results: Iterable[Result]) -> None:
        self._results = tuple(results)

    @overload
    def __getitem__(self, index: int) -> Result: ...
    @overload
    def __getitem__(self, index: slice) -> Seeds: ...
    def __getitem__(self, index: int | slice) -> Result | Seeds:
        found = self._results[index]
        return found if isinstance(found, Result) else Seeds(found)

    def __len__(self) -> int:
        return len(self._results)

    def __iter__(self) -> Iterator[Result]:
        return iter(self._results)

    def __add__(self, other: Seeds) -> Seeds:
        """Both, without what is in both twice."""
        known = {result.run.id for result in self}
        return Seeds([*self, *(result for result in other if result.run.id not in known)])

    def __str__(self) -> str:
        """The runs that succeeded with the 95% interval of their share: "0 of 20 [0.00, 0.16]"."""
        return f"{self.won} of {len(self)} [{self.success.low:.2f}, {self.success.high:.2f}]" if self else "none"

    def __repr__(self) -> str:
        return f"Seeds({self})"

    # -- which ---------------------------------------------------------------------------------------------------

    def where(self, **fields: Any) -> Seeds:
        """Those whose fields have the given values: `where(objective="reversed", path_length=5)`.

        Task, model and objective are given by preset, by name, as an object or by a mapping of options.
        A list or tuple stands for any of its values.

        Raises:
            LookaheadError: a field that no run has, or a value with which nothing is left; the message lists
                what there is.
        """
        found = self
        for field, wanted in fields.items():
            present = list(zip(found, found._each(field), strict=True))
            kept: set[int] = set()
            for value in wanted if isinstance(wanted, list | tuple) else [wanted]:
                having = {i for i, (result, have) in enumerate(present) if matches(result.run, field, value, have)}
                if not having:
                    there = ", ".join(dict.fromkeys(repr(have) for _, have in present))
                    raise LookaheadError(f"no run here has {field}={value!r}; there are {there}")
                kept |= having
            found = Seeds([found[i] for i in sorted(kept)])
        return found

    def by(self, *fields: str) -> dict[Any, Seeds]:
        """Value of a field (a tuple of values where there are several fields) -> the runs that have it, in order.

        Raises:
            LookaheadError: a field that no run has.
        """
        groups: dict[Any, list[Result]] = {}
        for result, *found in zip(self, *map(self._each, fields), strict=True):
            values = [tuple(value) if isinstance(value, list) else value for value in found]
            groups.setdefault(values[0] if len(values) == 1 else tuple(values), []).append(result)
        return {key: Seeds(results) for key, results in groups.items()}

    def _each(self, field: str) -> list[Any]:
        """The value of a field in every run, None where a run has no such field."""
        flat = [fields_of(result.run) for result in self]
        if not any(field in one for one in flat):
            known = ", ".join(sorted({name for one in flat for name in one}))
            raise LookaheadError(f"no run here has a field {field!r}; known: {known}")
        return [one.get(field) for one in flat]

    # -- what was measured ---------------------------------------------------------------------------------------

    def values(self, measure: str, position: int | None = None) -> np.ndarray:
        """A final measure of every run: [n], or [n, A] for a measure by position, unless one position is asked for.

        Raises:
            LookaheadError: no such measure, or no such position.
        """
        for result in self:
            if measure not in result.measures:
                raise LookaheadError(f"{measure!r} was not measured; measured: {', '.join(result.measures)}")
        found = [result.measures[measure] for result in self]
        if position is not None:
            if not all(isinstance(row, list) for row in found):
                raise LookaheadError(f"{measure!r} is one number per run: it has no position {position}")
            shortest = min(map(len, found), default=0)
            if not -shortest <= position < shortest:
                raise LookaheadError(f"{measure!r} has positions 0 to {shortest - 1}, not {position}")
            found = [row[position] for row in found]
        return np.array(found, dtype=float)

    def _numbers(self, measure: str, position: int | None) -> np.ndarray:
        """`values`, one per run.

        Raises:
            LookaheadError: no runs, or a measure that has a number for each position where no position is asked for.
        """
        found = self.values(measure, position)
        if not len(found):
            raise LookaheadError(f"{measure!r} of no runs")
        if found.ndim > 1:
            raise LookaheadError(f"{measure!r} has {found.shape[1]} positions: say which, as position=0")
        return found

    def mean(self, measure: str, position: int | None = None) -> Interval:
        """The mean of a final measure with its 95% interval across seeds."""
        return across_seeds(self._numbers(measure, position).tolist())

    def lowest(self, measure: str, position: int | None = None) -> float:
        """The smallest final value of a measure."""
        return float(self._numbers(measure, position).min())

    def highest(self, measure: str, position: int | None = None) -> float:
        """The largest final value of a measure."""
        return float(self._numbers(measure, position).max())

    def first_step(self, measure: str, level: float, position: int | None = None) -> list[int | None]:
        """The first evaluation of every run at which the curve of a measure is at `level` or above; None if at none."""
        return [result.first_step(measure, level, position) for result in self]

    # -- what came of it -----------------------------------------------------------------------------------------

    @property
    def judged_by(self) -> str:
        """The measure that decides about success.

        Raises:
            LookaheadError: the runs are judged by several, or there are none.
        """
        measures = {result.run.judged_by for result in self}
        if len(measures) != 1:
            raise LookaheadError(f"runs judged by one measure, not by {' and '.join(sorted(measures)) or 'none'}")
        return measures.pop()

    @property
    def won(self) -> int:
        """How many runs succeeded (`Result.success`)."""
        return sum(result.success for result in self)

    @property
    def success(self) -> Interval:
        """The share of runs that succeeded, with its 95% binomial interval."""
        if not self:
            raise LookaheadError("the share of no runs")
        return proportion(self.won / len(self), len(self))

    @property
    def accuracy(self) -> Interval:
        """The mean of the judging measure with its 95% interval across seeds."""
        return self.mean(self.judged_by)

    @property
    def time(self) -> TimeToSuccess:
        """Steps to success; a run that never got there counts for as long as it was trained."""
        return steps_to_success(self)

    def at_chance(self, measure: str | None = None) -> np.ndarray:
        """Which runs are at chance (`Result.at_chance`): [n], bool."""
        return np.array([result.at_chance(measure) for result in self], dtype=bool)

    def left_chance(self, measure: str | None = None) -> np.ndarray:
        """Which runs are better than chance (`Result.left_chance`): [n], bool."""
        return np.array([result.left_chance(measure) for result in self], dtype=bool)

    # -- where it comes from -------------------------------------------------------------------------------------

    @property
    def seeds(self) -> list[int]:
        """The seeds, each once, rising."""
        return sorted({result.run.seed for result in self})

    @property
    def provenance(self) -> Provenance:
        """On what, when and for how long these results were measured."""
        return Provenance(
            runs=len(self),
            seeds=len(self.seeds),
            devices=tuple(sorted({result.manifest["device"] for result in self})),
            hours=sum(result.manifest["seconds"] for result in self) / 3600,
            stale=sum(not result.current for result in self),
        )
