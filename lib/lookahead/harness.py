"""One call: train, evaluate, store; or find what is stored."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal

import torch
from filelock import FileLock

from lookahead.contracts import Objective, Task, resolve_device
from lookahead.currency import is_current, replay, stamp
from lookahead.evaluation.measures import evaluate
from lookahead.files import sweep
from lookahead.journal import note
from lookahead.results import Result, load_weights, manifest, open_run_folder, read_result, run_folder, write_result
from lookahead.runs import Run
from lookahead.training.checkpoints import Checkpoints
from lookahead.training.loop import train
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
    resume: Literal["latest", "previous", "never"] = "latest",
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
        stored = None if again else read_result(config)
        if stored is not None and stored.current:
            note(found=config.id, seconds=stored.manifest["seconds"])
            return stored
        return _train(config, where, probe, checkpoint_every, "never" if again else resume, deadline, engine)


def _train(
    config: Run,
    device: torch.device,
    probe: Probe | None,
    checkpoint_every: int,
    resume: Literal["latest", "previous", "never"],
    deadline: float | None,
    engine: Engine,
) -> Result:
    task, objective = config.build()
    if config.start_from is not None:
        load_weights(objective.model, config.start_from)
    objective.to(device)

    def measure(objective: Objective) -> dict[str, Any]:
        more = {} if probe is None else probe(objective, task)
        return {**evaluate(objective, task, "validation", VALIDATION_EXAMPLES), **more}

    sweep(run_folder(config.id))
    code = {"stamp": stamp(config), "replay": replay(config)}
    checkpoints = Checkpoints(run_folder(config.id), config.id, code)
    found = checkpoints.code_found() if resume != "never" else None
    if found is not None and not is_current(config, found["stamp"], found["replay"]):
        warnings.warn(f"run {config.id} was interrupted under other code: it starts anew", stacklevel=3)
        resume = "never"
    name = f"{config.objective['name']} seed {config.seed}"  # type: ignore[index]
    done = train(
        objective,
        task,
        config,
        measure,
        seed=config.seed,
        checkpoints=checkpoints,
        checkpoint_every=checkpoint_every,
        resume=resume,
        label=name.replace("_", " "),
        deadline=deadline,
        measures_after=TEST_EXAMPLES / VALIDATION_EXAMPLES,
        engine=engine,
    )
    where = next(objective.parameters()).device  # with its number
    kernels = objective.model.kernels_used(where, getattr(torch, config.precision))
    result = Result(
        run=config,
        curve=done.curve,
        measures=evaluate(objective, task, "test", TEST_EXAMPLES),
        manifest=manifest(device, done.steps, done.seconds, kernels, done.engine),
        **code,
    )
    write_result(result, objective)
    checkpoints.remove()
    return result
