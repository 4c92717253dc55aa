"""The run that a chapter starts from: a cell of an experiment at a profile, or what the profile alone says."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from lookahead.contracts import Task
from lookahead.errors import LookaheadError
from lookahead.experiments import find_experiment
from lookahead.experiments.fields import SETTINGS, fields_of
from lookahead.experiments.profiles import find_profile
from lookahead.runs.run import Run

RUN_FIELDS = frozenset(item.name for item in dataclasses.fields(Run) if item.init)


class Cell:
    """The fields of a run, to be changed by a chapter's parameters.

    Args:
        experiment: whose cell it is; None: the profile's fields alone.
        fields: which cell, as in `Experiment.cell`.
        task: the name of the task where there is no experiment.

    Raises:
        LookaheadError: no such profile, experiment, cell or task.
    """

    def __init__(self, profile: str, experiment: str | None, fields: Mapping[str, Any], task: str | None) -> None:
        run = None if experiment is None else find_experiment(experiment).cell(profile, fields)
        self.fields: dict[str, Any] = dict(find_profile(profile).run) if run is None else run.config
        if run is None and task is not None:
            self.fields["task"] = {"name": task}
        self.task = Task.named(self.fields["task"]["name"]) if "task" in self.fields else None
        settable = {*(self.task.options() if self.task else ()), "model", *SETTINGS} - {"seed", "start_from"}
        flat = {} if run is None else fields_of(run)
        self.parameters = {name: value for name, value in flat.items() if name in settable}
        """Options of the task, model and settings, with the values that they have in the cell."""

    def run(self, parameters: Mapping[str, Any], changes: Mapping[str, Any]) -> Run:
        """The cell's run with parameters on top (those that are no field of a run are left out), and changes on top of
        them.

        Raises:
            LookaheadError: a change that is no field of a run and no option of its task, or a run that cannot be.
        """
        options = self.task.options() if self.task else {}
        known = {*RUN_FIELDS, *options}
        chosen = {
            name: value
            for name, value in parameters.items()
            if name in known and (name not in self.parameters or self.parameters[name] != value)
        }
        if "task" in changes:
            chosen = {name: value for name, value in chosen.items() if name not in options}
            return Run.of({**self.fields, **chosen, **changes})
        chosen |= changes
        task = {name: chosen.pop(name) for name in list(chosen) if name in options}
        if not self.task:
            raise LookaheadError("a run needs a task: name the chapter's experiment or task in begin, or give a task")
        return Run.of({**self.fields, **chosen, "task": {**self.fields["task"], **task}})

    def fitted(self, values: dict[str, Any]) -> dict[str, Any]:
        """Values of parameters, the task's sizes raised to what the others need."""
        if self.task is None:
            return values
        options = {name: value for name, value in values.items() if name in self.task.options()}
        return {**values, **self.task.fitted(options)}
