"""One call: train, evaluate, store; or find what is stored."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from filelock import Timeout

from lookahead.contracts import Model, Objective, Split, Task
from lookahead.errors import LookaheadError, shown
from lookahead.evaluation.measures import Measures, evaluate, evaluate_each
from lookahead.files import note, sweep
from lookahead.kinds import Count, fit
from lookahead.machine import manifest, numbered, resolve_device
from lookahead.runs import examples
from lookahead.runs.result import (
    Result,
    has_weights,
    load_weights,
    locked_to_write,
    read_result,
    read_result_of,
    refuse_odd_weights,
    run_folder,
    write_result,
)
from lookahead.runs.run import Run, checked
from lookahead.runs.staleness import Replay, is_current, replay, stamp
from lookahead.stack import load_member
from lookahead.training.checkpoints import Checkpoints, Resume
from lookahead.training.loop import train
from lookahead.training.member import Member, Trained, check_alike
from lookahead.training.stacked import StackedStep
from lookahead.training.step import Engine, Step

Probe = Callable[[Objective, Task], dict[str, Any]]
"""More to measure at every evaluation; it does not change the run."""

Follow = Callable[[Run, dict[str, Any]], None]
"""Called after every evaluation with a run that is trained and the row that its curve has got, to show or log it."""


class Busy(LookaheadError):
    """Another process is doing this run."""


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
    follow: Follow | None = None,
    processes: int = 1,
    **fields: Any,
) -> Result:
    """Trains, evaluates and stores one run. What is stored and current is not done again.

        lookahead.run(task=PathStar(2, 4, 10), objective="reversed", steps=1000, seed=1)

    A run draws its examples itself, by its seed. `OwnData` and `PathStarFile` draw them from a file; the task that
    `PathStar.read` gives stands for its kind and sizes, and draws graphs of its own.

    Args:
        config: a run; or its fields by keyword.
        device: "auto" (the GPU where there is one), "cpu", "cuda".
        probe: more to measure at every evaluation. A stored result without it is kept as it is.
        again: do it anew whatever is stored.
        checkpoint_every: in steps; at least once a minute, too.
        resume: what to go on from if the run was interrupted.
        deadline: on the clock of `time.monotonic`; raises `OutOfTime` before, and the same call goes on from there.
        engine: how a step is computed: as it is written ("eager"), "compiled", or "captured" in a CUDA graph.
        follow: called as the training goes, such as a `TensorBoard`. If it fails the training stops, with a checkpoint.
        processes: how many train it together on this machine, a GPU each; see `training.distributed`. With several,
            `probe` and `follow` are functions of a module, and are called in the first of them.

    Raises:
        LookaheadError: bad configuration, or a stored file that is corrupt or another run's.
        Busy: another process is still doing it at the deadline.
        Interrupted: Ctrl-C, SIGTERM or SIGHUP; the same call goes on from there.
    """
    if config is None:
        config = Run.of(fields)
    elif fields:
        raise TypeError(f"a run and also its fields were given: {', '.join(fields)}")
    (outcome,) = run_all(
        [config],
        device=device,
        probe=probe,
        again=again,
        checkpoint_every=checkpoint_every,
        resume=resume,
        deadline=deadline,
        engine=engine,
        follow=follow,
        processes=processes,
        wait=True,
    )
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def run_all(
    configs: Sequence[Run],
    *,
    device: str = "auto",
    probe: Probe | None = None,
    again: bool = False,
    checkpoint_every: int | None = None,
    resume: Resume = "latest",
    deadline: float | None = None,
    engine: Engine = "auto",
    follow: Follow | None = None,
    processes: int = 1,
    wait: bool = False,
    make_step: Callable[..., Step] = Step,
) -> list[Result | Exception]:
    """As `run`, for runs that differ in their seed alone, trained as one where their model can be stacked.

    Each result is stored as soon as its member has finished. Its manifest says how many were trained with it
    (`stacked`); its `seconds` are its share of their time.

    Args:
        configs: the runs.
        probe: as in `run`; of several runs it measures one after the other, on the CPU.
        checkpoint_every: in steps; if None once a minute.
        processes: as in `run`; of one run alone.
        wait: for runs that another process is doing, until the deadline.
        make_step: as in `training.loop.train`.

    Returns:
        for each run its result, or the LookaheadError that ended it: `Busy` where another process is doing it.

    Raises:
        LookaheadError: runs that cannot be trained as one, or an argument of another kind.
        Interrupted, OutOfTime: as `run`; what has finished by then is stored.
    """
    configs = [checked(config) for config in configs]
    for name, given in (("probe", probe), ("follow", follow)):
        if given is not None and not callable(given):
            raise LookaheadError(f"{name} must be a function, not {shown(given)}")
    checkpoint_every = fit("checkpoint_every", checkpoint_every, Count | None)
    resume, deadline = fit("resume", resume, Resume), fit("deadline", deadline, float | None)
    where, outcomes = resolve_device(device), dict[str, Any]()
    check_alike(configs)
    if fit("processes", processes, Count) > 1:
        from lookahead.runs.together import run_together

        how = {"probe": probe, "again": again, "checkpoint_every": checkpoint_every, "resume": resume}
        how |= {"deadline": deadline, "engine": engine, "follow": follow, "wait": wait}
        return [run_together(configs, processes, where, how)]
    with contextlib.ExitStack() as locks:
        to_do: list[Run] = []
        for config in {config.id: config for config in configs}.values():
            try:
                outcomes[config.id] = None if again else current_result(config)
                if outcomes[config.id] is None:
                    locks.enter_context(locked_to_write(run_folder(config.id) / ".lock", _patience(wait, deadline)))
                    outcomes[config.id] = None if again else current_result(config)  # another process may have done it
                if outcomes[config.id] is None:
                    to_do.append(config)
            except Timeout:
                outcomes[config.id] = Busy(f"run {config.id} is being done by another process")
            except LookaheadError as error:
                outcomes[config.id] = error
        prepared: list[_Prepared] = []
        for config, replayed in zip(to_do, replay(to_do, stacked=len(to_do) > 1), strict=True):
            try:
                prepared.append(_prepare(config, "never" if again else resume, replayed))
            except LookaheadError as error:
                outcomes[config.id] = error

        def measure(step: Step, rows: list[int]) -> list[dict[str, Any]]:
            found = measure_members(step, rows, "validation", examples.VALIDATION_EXAMPLES)
            if probe is None:
                return found
            return [{**one, **probe(*_alone(step, row))} for row, one in zip(rows, found, strict=True)]

        def measured(number: int, row: dict[str, Any]) -> None:
            if follow is not None:
                follow(prepared[number].config, row)

        def finished(numbers: list[int], done: list[Trained], step: Step, rows: list[int]) -> None:
            found = measure_members(step, rows, "test", examples.TEST_EXAMPLES)
            for number, trained, measures in zip(numbers, done, found, strict=True):
                one = prepared[number]
                try:
                    outcomes[one.config.id] = _store(one, trained, measures, where)
                except LookaheadError as error:
                    outcomes[one.config.id] = error

        members = [Member(p.objective, p.task, p.config, p.config.seed, p.checkpoints, p.resume) for p in prepared]
        trained = []
        if members:
            trained = train(
                members,
                measure,
                device=where,
                finished=finished,
                measured=measured,
                checkpoint_every=checkpoint_every,
                label=_label([p.config for p in prepared]),
                deadline=deadline,
                measures_after=examples.TEST_EXAMPLES / examples.VALIDATION_EXAMPLES,
                engine=engine,
                make_step=make_step,
            )
    for one, outcome in zip(prepared, trained, strict=True):
        if isinstance(outcome, Exception):
            outcomes[one.config.id] = outcome
    return [outcomes[config.id] for config in configs]


def measure_members(step: Step, rows: list[int], split: Split, count: int) -> list[Measures]:
    """The measures of some members of a step as they stand, each on the first `count` examples of its own task."""
    if isinstance(step, StackedStep):
        return evaluate_each(step.template, step.weights(rows), [step.tasks[row] for row in rows], split, count)
    return [evaluate(step.objective, step.tasks[0], split, count)]


def _alone(step: Step, row: int) -> tuple[Objective, Task]:
    """Objective and task of one member as they stand; of several members the objective is a copy on the CPU."""
    if not isinstance(step, StackedStep):
        return step.objective, step.tasks[0]
    objective = copy.deepcopy(step.template.objective).cpu()
    load_member(objective, step.weights([row]), 0)
    return objective, step.tasks[row]


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
    started_from: str | None
    """The checksum of the weights that it starts from, if they are another run's."""


def _label(configs: Sequence[Run]) -> str:
    """What the progress bar calls runs that are trained as one."""
    if not configs:
        return ""
    name = configs[0].objective["name"].replace("_", " ")  # type: ignore[index]
    return name if configs[1:] else f"{name} seed {configs[0].seed}"


def _patience(wait: bool, deadline: float | None) -> float:
    """Seconds to wait for a lock; negative: as long as it takes."""
    return 0 if not wait else -1 if deadline is None else max(0, deadline - time.monotonic())


def current_result(config: Run) -> Result | None:
    """The result that is stored, if it is current and its weights are here, too."""
    stored = read_result(config)
    if stored is None or not stored.current or not has_weights(config.id):
        return None
    note(found=config.id, seconds=stored.manifest["seconds"])
    return stored


def _prepare(config: Run, resume: Resume, replayed: Replay) -> _Prepared:
    """Builds what a run trains, on the CPU; a checkpoint of other code, or of another start, is not gone on from."""
    refuse_odd_weights(config.id)
    task, objective = config.build()
    started_from = None if config.start_from is None else _start(objective.model, config.start_from)
    sweep(run_folder(config.id))
    code = {"stamp": stamp(config), "replay": replayed}

    def refuses(found: dict[str, Any]) -> str | None:
        if found.get("started_from") != started_from:
            return f"began with other weights of run {config.start_from}"
        return None if is_current(config, found["stamp"], found["replay"]) else "was written by other code"

    checkpoints = Checkpoints(run_folder(config.id), config.id, {**code, "started_from": started_from}, refuses)
    return _Prepared(config, task, objective, checkpoints, resume, code, started_from)


def _start(model: Model, run_id: str) -> str:
    """Gives a model the weights of another run, unless those are stale; their checksum."""
    before = read_result_of(run_id)
    if before is not None and not before.current:
        raise LookaheadError(
            f"run {run_id}, whose weights are to be started from, is stale: do it again first, with lookahead.run or "
            f"lookahead run ({before.run.to_json()})"
        )
    return load_weights(model, run_id)


def _store(one: _Prepared, done: Trained, measures: dict[str, Any], device: torch.device) -> Result:
    """The result of a run, written."""
    kernels = one.objective.model.kernels_used(numbered(device), getattr(torch, one.config.precision))
    more: dict[str, Any] = {"stacked": done.members} if done.members > 1 else {}
    if one.started_from is not None:
        more["started_from"] = one.started_from
    if len(done.machines) > 1:
        more["begun_with"] = done.machines[:-1]
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
