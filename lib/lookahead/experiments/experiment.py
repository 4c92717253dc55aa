"""What an experiment is: a grid of runs, at one of three profiles."""

from __future__ import annotations

import dataclasses
import os
import re
import runpy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lookahead.contracts import Task
from lookahead.errors import LookaheadError
from lookahead.experiments.fields import labels, matches
from lookahead.experiments.profiles import Profile, find_profile
from lookahead.kinds import Count, fit
from lookahead.runs.harness import Probe
from lookahead.runs.run import Run, find_preset

OWN = "LOOKAHEAD_EXPERIMENTS"
"""Environment variable: a Python file with further experiments, `EXPERIMENTS = {name: Experiment(...)}`."""


@dataclass(frozen=True)
class Experiment:
    """A grid: cells x seeds.

    Experiment(
        name="direction",
        question="Forward or backward?",
        cells=[{"objective": "teacher_forcing"}, {"objective": "reversed"}],
        fields={"task": {"name": "path_star", "degree": 2, "path_length": 4}, "steps": 600},
    )
    """

    name: str
    question: str
    cells: Sequence[Mapping[str, Any]]
    """Each the fields of a run that tell it apart. Its task is a mapping, to which the profile adds sizes, or the name
    of a preset. `seeds` in it, where there are any, is the largest number of seeds of that cell. `start_from` may be a
    cell itself: the run of the same seed from whose weights it starts, which is to be done before, by the experiment
    that it is a cell of."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Fields of all runs; the profile's come first, a cell's before those."""
    probe: Probe | None = None
    """Measured at every evaluation, too."""
    seeds: Mapping[str, int] = field(default_factory=dict)
    """Profile -> number of seeds, where it is not the profile's."""
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Profile -> attributes of the experiment that are others there."""

    def __post_init__(self) -> None:
        """Refuses what is no experiment.

        Raises:
            LookaheadError: the message names the experiment, what is wrong, and what would be right.
        """
        if not isinstance(self.name, str) or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*", self.name):
            raise LookaheadError(f"the name of an experiment is letters, digits, - and _, not {self.name!r}")
        try:
            self._check()
        except LookaheadError as error:
            raise LookaheadError(f"experiment {self.name}: {error}") from error

    def _check(self) -> None:
        if not isinstance(self.cells, list | tuple) or not all(isinstance(cell, Mapping) for cell in self.cells):
            raise LookaheadError(f"cells is a list of mappings, each the fields of a run, not {self.cells!r}")
        for name in ("fields", "seeds", "overrides"):
            if not isinstance(getattr(self, name), Mapping):
                raise LookaheadError(f"{name} is a mapping, not {getattr(self, name)!r}")
        for profile in (*self.seeds, *self.overrides):
            find_profile(profile)
        for count in (*self.seeds.values(), *(cell["seeds"] for cell in self.cells if "seeds" in cell)):
            fit("seeds", count, Count)
        known = ("question", "cells", "fields", "probe", "seeds")
        for others in self.overrides.values():
            if not isinstance(others, Mapping) or set(others) - set(known):
                raise LookaheadError(f"an override is a mapping of some of {', '.join(known)}, not {others!r}")

    def runs(self, profile: str) -> Iterator[Run]:
        """Every run, all cells of a seed before the next seed.

        Raises:
            LookaheadError: no such profile, or a cell that is no run.
        """
        size, here = find_profile(profile), dataclasses.replace(self, **self.overrides.get(profile, {}))
        for seed in range(here.seeds.get(profile, size.seeds)):
            for cell in here.cells:
                if seed < cell.get("seeds", seed + 1):
                    yield here._run(cell, seed, size)

    def _run(self, cell: Mapping[str, Any], seed: int, size: Profile) -> Run:
        """The run of a cell."""
        fields = {"seed": seed, **self.fields, **size.run, **cell}
        fields.pop("seeds", None)
        if isinstance(start := fields.get("start_from"), Mapping):
            try:
                fields["start_from"] = self._run({"start_from": None, **start}, seed, size).id
            except RecursionError as error:
                raise LookaheadError(f"experiment {self.name}: a cell starts from itself") from error
        try:
            return Run.of({**fields, "task": sized(fields["task"], size)} if "task" in fields else fields)
        except Exception as error:  # a cell may hold anything
            raise LookaheadError(f"experiment {self.name}, cell {dict(cell)}: {_said(error)}") from error

    def cell(self, profile: str, fields: Mapping[str, Any]) -> Run:
        """The first run whose fields are the given ones (asked as in `Seeds.where`, a list being any of its values).

        Raises:
            LookaheadError: no such profile or run; the message lists the cells.
        """
        grid = list(self.runs(profile))
        for run in grid:
            if all(matches(run, name, value) for name, value in fields.items()):
                return run
        there = "; ".join(dict.fromkeys(labels(grid)))
        raise LookaheadError(f"no cell of {self.name} at profile {profile} has {dict(fields)}; there are {there}")


def sized(task: Any, size: Profile) -> Any:
    """A task of a cell with the sizes of a profile: above those of a preset, below what a mapping says itself."""
    if isinstance(task, str):
        preset = find_preset(Task, task)
        return {**preset, **size.tasks.get(preset["name"], {})}
    if isinstance(task, Mapping) and "name" in task:
        return {**size.tasks.get(task["name"], {}), **task}
    return task


def packed_name(experiment: Experiment, profile: str) -> str:
    """Name under which the results of an experiment at a profile are packed."""
    return f"{experiment.name}-{profile}"


def own_experiments() -> dict[str, Experiment]:
    """The experiments of the file that `LOOKAHEAD_EXPERIMENTS` names; none without it.

    Raises:
        LookaheadError: the file cannot be run, or holds none.
    """
    if not (named := os.environ.get(OWN)):
        return {}
    path = Path(os.path.expanduser(named))
    try:
        found = runpy.run_path(str(path)).get("EXPERIMENTS")
    except (Exception, SystemExit) as error:  # it is anybody's code
        raise LookaheadError(f"{path}, which {OWN} names, cannot be run: {_said(error)}") from error
    if not isinstance(found, Mapping):
        raise LookaheadError(f"{path} defines no EXPERIMENTS = {{name: Experiment(...)}}")
    for name, experiment in found.items():
        if not isinstance(experiment, Experiment) or experiment.name != name:
            raise LookaheadError(f"{path}: EXPERIMENTS[{name!r}] is no Experiment of that name")
    return dict(found)


def _said(error: BaseException) -> str:
    """An error in words; of one that was not meant for the user its kind, too."""
    return str(error) if isinstance(error, LookaheadError) else f"{type(error).__name__}: {error}"
