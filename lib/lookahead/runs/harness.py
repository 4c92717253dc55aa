"""One call: train, evaluate, store; or find what is stored."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from filelock import FileLock, Timeout

from lookahead.contracts import Objective, Task
from lookahead.errors import LookaheadError
from lookahead.evaluation.measures import evaluate, evaluate_each
from lookahead.files import note, sweep
from lookahead.machine import manifest, numbered, resolve_device
from lookahead.runs.result import Result, load_weights, open_run_folder, read_result, run_folder, write_result
from lookahead.runs.run import Run
from lookahead.runs.staleness import is_current, replay, stamp
from lookahead.stack import State, Template, take_up
from lookahead.training.checkpoints import Checkpoints, Resume
from lookahead.training.loop import Trained, train
from lookahead.training.stacked import Member, check_alike, train_stacked
from lookahead.training.step import Engine

VALIDATION_EXAMPLES, TEST_EXAMPLES = 512, 4096

Probe = Callable[[Objective, Task], dict[str, Any]]
"""More to measure at every evaluation; it does not change the run."""


def run(
    config: Run | None = None,
    /,
    *,
    device: str = "auto",
    probe: Probe | None = None,
    again: bool = False,
    checkpoint_every: int = 500,
    resume: Resume = "latest",
    deadline: float | None = None,
    engine: Engine = "auto",
    **fields: Any,
) -> Result:
    """Trains, evaluates and stores one run. What is stored and current is not done again.

        lookahead.run(task=PathStar(2, 4, 10), objective="reversed", steps=1000, seed=1)

    Args:
        config: a run; or its fields by keyword.
        device: "auto" (the GPU where there is one), "cpu", "cuda".
        probe: more to measure at every evaluation. A stored result without it is kept as it is.
        again: do it anew whatever is stored.
        resume: what to go on from if the run was interrupted.
        deadline: on the clock of `time.monotonic`; raises `OutOfTime` before, and the same call goes on from there.
        engine: how a step is computed: as it is written ("eager"), "compiled", or "captured" in a CUDA graph.

    Raises:
        LookaheadError: bad configuration, or a stored file that is corrupt or another run's.
    """
    where = resolve_device(device)
    if config is None:
        config = Run.of(fields)
    elif fields:
        raise TypeError(f"a run and also its fields were given: {', '.join(fields)}")
    with FileLock(open_run_folder(config.id) / ".lock"):
        if not again and (stored := _stored(config)) is not None:
            return stored
        return _train(config, where, probe, checkpoint_every, "never" if again else resume, deadline, engine)


def run_stacked(
    configs: Sequence[Run],
    *,
    device: str = "auto",
    probe: Probe | None = None,
    deadline: float | None = None,
    engine: Engine = "auto",
    again: bool = False,
    checkpoint_every: int | None = None,
) -> list[Result | Exception]:
    """As `run`, for runs that differ in seed and learning rates alone, all trained as one (see `training.stacked`).

    What is stored and current is not done again; each result is stored as soon as its member has finished. Its
    manifest says how many were trained with it (`stacked`); its `seconds` are its share of their time.

    Args:
        configs: the runs.
        device, deadline, engine: as in `run`.
        probe: as in `run`; it measures one member after the other, on the CPU.
        again: do all anew whatever is stored.
        checkpoint_every: in steps; if None once a minute.

    Returns:
        for each run its result, or the LookaheadError that ended it; a run that another process is doing is left out
        with a `Busy`.

    Raises:
        LookaheadError: runs that cannot be trained as one.
        Interrupted, OutOfTime: as `run`; what has finished by then is stored.
    """
    where, outcomes = resolve_device(device), dict[str, Any]()
    check_alike(configs)
    with contextlib.ExitStack() as locks:
        to_do: list[Run] = []
        for config in {config.id: config for config in configs}.values():
            try:
                lock = FileLock(open_run_folder(config.id) / ".lock", timeout=0)
                locks.enter_context(lock)
                outcomes[config.id] = None if again else _stored(config)
                if outcomes[config.id] is None:
                    to_do.append(config)
            except Timeout:
                outcomes[config.id] = Busy(f"run {config.id} is being done by another process")
            except LookaheadError as error:
                outcomes[config.id] = error
        prepared: list[_Prepared] = []
        for config, replayed in zip(to_do, replay(to_do), strict=True):
            try:
                prepared.append(_prepare(config, "never" if again else "latest", replayed))
            except LookaheadError as error:
                outcomes[config.id] = error

        def measure(template: Template, state: State, tasks: list[Task]) -> list[dict[str, Any]]:
            rows = evaluate_each(template, state, tasks, "validation", VALIDATION_EXAMPLES)
            if probe is None:
                return rows
            alone = copy.deepcopy(template.objective).cpu()
            for i, task in enumerate(tasks):
                take_up(alone, state, i)
                rows[i] |= probe(alone, task)
            return rows

        def finished(numbers: list[int], done: list[Trained], template: Template, state: State) -> None:
            tasks = [prepared[number].task for number in numbers]
            measured = evaluate_each(template, state, tasks, "test", TEST_EXAMPLES)
            for number, trained, measures in zip(numbers, done, measured, strict=True):
                one = prepared[number]
                try:
                    outcomes[one.config.id] = _store(one, trained, measures, where, {"stacked": trained.members})
                except LookaheadError as error:
                    outcomes[one.config.id] = error

        trained = train_stacked(
            [Member(p.objective, p.task, p.config, p.config.seed, p.checkpoints, p.resume) for p in prepared],
            measure,
            device=where,
            finished=finished,
            checkpoint_every=checkpoint_every,
            label=prepared[0].name if prepared else "",
            deadline=deadline,
            measures_after=TEST_EXAMPLES / VALIDATION_EXAMPLES,
            engine=engine,
        )
    for one, outcome in zip(prepared, trained, strict=True):
        if isinstance(outcome, Exception):
            outcomes[one.config.id] = outcome
    return [outcomes[config.id] for config in configs]


class Busy(LookaheadError):
    """Another process is doing this run."""


@dataclass
class _Prepared:
    """A run that is about to be trained."""

    config: Run
    task: Task
    objective: Objective
    checkpoints: Checkpoints
    resume: Resume
    code: dict[str, Any]
    """Its stamp and replay."""

    @property
    def name(self) -> str:
        return self.config.objective["name"].replace("_", " ")  # type: ignore[index]


def _stored(config: Run) -> Result | None:
    """The result that is stored, if it is current."""
    stored = read_result(config)
    if stored is None or not stored.current:
        return None
    note(found=config.id, seconds=stored.manifest["seconds"])
    return stored


def _prepare(config: Run, resume: Resume, replayed: list[float]) -> _Prepared:
    """Builds what a run trains, on the CPU; a checkpoint of other code is not gone on from."""
    task, objective = config.build()
    if config.start_from is not None:
        load_weights(objective.model, config.start_from)
    sweep(run_folder(config.id))
    code = {"stamp": stamp(config), "replay": replayed}
    checkpoints = Checkpoints(run_folder(config.id), config.id, code)
    found = checkpoints.code_found() if resume != "never" else None
    if found is not None and not is_current(config, found["stamp"], found["replay"]):
        warnings.warn(f"run {config.id} was interrupted under other code: it starts anew", stacklevel=4)
        resume = "never"
    return _Prepared(config, task, objective, checkpoints, resume, code)


def _train(
    config: Run,
    device: torch.device,
    probe: Probe | None,
    checkpoint_every: int,
    resume: Resume,
    deadline: float | None,
    engine: Engine,
) -> Result:
    one = _prepare(config, resume, *replay([config]))
    objective = one.objective.to(device)

    def measure(objective: Objective) -> dict[str, Any]:
        more = {} if probe is None else probe(objective, one.task)
        return {**evaluate(objective, one.task, "validation", VALIDATION_EXAMPLES), **more}

    done = train(
        objective,
        one.task,
        config,
        measure,
        seed=config.seed,
        checkpoints=one.checkpoints,
        checkpoint_every=checkpoint_every,
        resume=one.resume,
        label=f"{one.name} seed {config.seed}",
        deadline=deadline,
        measures_after=TEST_EXAMPLES / VALIDATION_EXAMPLES,
        engine=engine,
    )
    return _store(one, done, evaluate(objective, one.task, "test", TEST_EXAMPLES), device, {})


def _store(
    one: _Prepared, done: Trained, measures: dict[str, Any], device: torch.device, more: dict[str, Any]
) -> Result:
    """Writes the result of a run; `more` goes into its manifest."""
    kernels = one.objective.model.kernels_used(numbered(device), getattr(torch, one.config.precision))
    result = Result(
        run=one.config,
        curve=done.curve,
        measures=measures,
        manifest={**manifest(device, done.steps, done.seconds, kernels, done.engine), **more},
        **one.code,
    )
    write_result(result, one.objective)
    one.checkpoints.remove()
    return result
