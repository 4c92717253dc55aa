"""One training, looked into at chosen steps: nothing is stored, and nothing is trained twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from lookahead.contracts import Objective, Task
from lookahead.errors import LookaheadError
from lookahead.kinds import fit
from lookahead.machine import resolve_device
from lookahead.runs.result import load_weights
from lookahead.runs.run import Run
from lookahead.training.member import NonFiniteLoss
from lookahead.training.progress import Progress
from lookahead.training.step import Step


class Moment(NamedTuple):
    """A network where its training stands."""

    step: int
    """Training steps done."""
    objective: Objective
    """With the weights of this step, until the next moment is asked for: the training goes on in place."""
    task: Task


def watch(config: Run | None = None, /, *, at: Sequence[int], device: str = "auto", **fields: Any) -> Iterator[Moment]:
    """Trains one run and gives the network at the training steps `at`, in their order.

        for step, objective, task in watch(run, at=[0, 100, 200]):
            print(step, lookahead.evaluate(objective, task, "validation", 512)["decision_accuracy"])

    At a step the weights are those that `lookahead.run` has there. It trains as far as the last of `at`, whatever the
    run's `stop_at`, and only as far as moments are asked for.

    Args:
        config: a run; or its fields by keyword.
        at: training steps, each from 0, before any, to the run's `steps`; one that stands twice counts once.
        device: "auto" (the GPU where there is one), "cpu", "cuda".

    Raises:
        LookaheadError: bad configuration, no step to look at or one that the run has not; from the iterator
            `NonFiniteLoss` if a weight is no number any more.
    """
    if config is None:
        config = Run.of(fields)
    elif fields:
        raise TypeError(f"a run and also its fields were given: {', '.join(fields)}")
    steps = sorted(set(fit("at", at, Sequence[int])))
    if not steps or steps[0] < 0 or steps[-1] > config.steps:
        raise LookaheadError(f"at must hold training steps from 0 to {config.steps}, the last of the run; not {at}")
    return _moments(config, steps, resolve_device(device))


def _moments(config: Run, at: list[int], device: Any) -> Iterator[Moment]:
    """As `watch`, for steps that are in order and there."""
    task, objective = config.build()
    if config.start_from is not None:
        load_weights(objective.model, config.start_from)
    take = Step(objective.to(device), task, config, config.seed)
    progress = Progress(at[-1], 0, f"{config.objective['name']} seed {config.seed}")  # type: ignore[index]
    done = 0
    try:
        for step in at:
            while done < step:
                loss = take(done)
                done += 1
                if device.type == "cpu" or done % 10 == 0:  # to ask a GPU is to wait
                    progress.update(done, loss.item(), None)
            if not take.finite().all():
                raise NonFiniteLoss(
                    f"by step {step} a weight is no number: lower the learning rate or lengthen the warm-up"
                )
            yield Moment(step, objective, task)
    finally:
        progress.close()
