"""What an experiment is: a grid of runs, at one of three profiles."""

from __future__ import annotations

import dataclasses
import os
import runpy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lookahead.contracts import Task
from lookahead.errors import LookaheadError
from lookahead.experiments.fields import labels, matches
from lookahead.experiments.profiles import Profile, find_profile
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
    of a preset. `seeds` in it, where there are any, is the largest number of seeds of that cell."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Fields of all runs; the profile's come first, a cell's before those."""
    probe: Probe | None = None
    """Measured at every evaluation, too."""
    seeds: Mapping[str, int] = field(default_factory=dict)
    """Profile -> number of seeds, where it is not the profile's."""
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Profile -> attributes of the experiment that are others there."""

    def runs(self, profile: str) -> Iterator[Run]:
        """Every run, all cells of a seed before the next seed.

        Raises:
            LookaheadError: no such profile, or a cell that is no run.
        """
        size, here = find_profile(profile), dataclasses.replace(self, **self.overrides.get(profile, {}))
        for seed in range(here.seeds.get(profile, size.seeds)):
            for cell in here.cells:
                if seed < cell.get("seeds", seed + 1):
                    fields = {"seed": seed, **here.fields, **size.run, **cell}
                    fields.pop("seeds", None)
                    yield Run.of({**fields, "task": sized(fields["task"], size)} if "task" in fields else fields)

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
    path = Path(named).expanduser()
    try:
        found = runpy.run_path(str(path))["EXPERIMENTS"]
    except KeyError:
        raise LookaheadError(f"{path} defines no EXPERIMENTS = {{name: Experiment(...)}}") from None
    except Exception as error:  # it is anybody's code
        raise LookaheadError(f"{path}, which {OWN} names, cannot be run: {type(error).__name__}: {error}") from error
    for name, experiment in found.items():
        if not isinstance(experiment, Experiment) or experiment.name != name:
            raise LookaheadError(f"{path}: EXPERIMENTS[{name!r}] is no Experiment of that name")
    return found
