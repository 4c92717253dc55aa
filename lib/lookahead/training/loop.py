"""The training loop."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lookahead.contracts import Objective, Task
from lookahead.errors import LookaheadError
from lookahead.machine import device_of
from lookahead.training.checkpoints import Checkpoints, Resume, load_state, state_tensors
from lookahead.training.optimizers import Optimizers
from lookahead.training.progress import Progress
from lookahead.training.settings import Settings
from lookahead.training.step import Engine, Step

Measure = Callable[[Objective], dict[str, Any]]
"""What is measured at every evaluation; it must hold the measure that `Settings.judged_by` names."""


@dataclass
class Trained:
    """What a training left behind, beside the weights in the objective."""

    steps: int = 0
    """Steps done."""
    curve: list[dict[str, Any]] = field(default_factory=list)
    """One row an evaluation, the first before any step: `step` (steps done by then), `training_loss` (mean since
    the last row), the measures."""
    stopped_early: bool = False
    seconds: float = 0.0
    """Time spent training and measuring, over all sittings."""
    engine: str = "eager"
    """How the steps were computed: what `Step.engine` says."""
    members: int = 1
    """How many were trained as one (see `training.stacked`); `seconds` is then this one's share."""


class NonFiniteLoss(LookaheadError):
    """The loss, or a weight, left the numbers; the last good checkpoint stands."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, SIGTERM or SIGHUP, after the state was saved."""


class OutOfTime(LookaheadError):
    """The deadline is near; the state was saved. `steps` were done in this sitting."""

    def __init__(self, message: str, steps: int) -> None:
        super().__init__(message)
        self.steps = steps


STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, a scheduler's or a container's notice, a closed terminal."""


@contextlib.contextmanager
def postponed_interrupt() -> Iterator[Callable[[], bool]]:
    """Delay of a stop signal to the end of a step; a second signal does not wait.

    A signal that the process ignores (SIGHUP under nohup) stays ignored, except SIGINT, which a shell lets its
    background jobs ignore.
    """
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    heard = [s for s in STOP_SIGNALS if s == signal.SIGINT or signal.getsignal(s) is not signal.SIG_IGN]
    before = {number: signal.signal(number, ask) for number in heard}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def train(
    objective: Objective,
    task: Task,
    settings: Settings,
    measure: Measure,
    *,
    seed: int = 0,
    checkpoints: Checkpoints | None = None,
    checkpoint_every: int = 500,
    resume: Resume = "latest",
    label: str = "",
    deadline: float | None = None,
    measures_after: float = 0.0,
    engine: Engine = "auto",
) -> Trained:
    """Trains an objective in place, on the device where it lies.

    Args:
        task: gives the training examples.
        measure: called before the first step, every `settings.evaluate_every` steps and at the end.
        seed: of the order of a fixed training set.
        checkpoints: where to save and resume; nothing is saved if None.
        checkpoint_every: in steps; at least once a minute, too. Ctrl-C saves as well.
        resume: what to start from where a checkpoint is found.
        deadline: on the clock of `time.monotonic`; stops before, with a checkpoint, if it would come too late.
        measures_after: how many times as long as one `measure` the caller needs before the deadline.
        engine: how a step is computed (see `training.step`); its results differ by rounding only.

    Raises:
        NonFiniteLoss: the loss of a step, or a weight after it, was not a number; names the step, keeps the
            last checkpoint.
        Interrupted: Ctrl-C, SIGTERM or SIGHUP.
        OutOfTime: the deadline; at least one step was done.
        LookaheadError: a checkpoint that cannot be used.
    """
    if resume not in ("latest", "previous", "never"):
        raise LookaheadError(f"resume is 'latest', 'previous' or 'never', not {resume!r}")
    device = device_of(objective)
    objective.zero_grad(set_to_none=True)
    take = Step(objective, task, settings, seed, engine)
    state = Trained()
    if checkpoints is not None and resume != "never":
        found = checkpoints.load(previous=resume == "previous")
        if found is not None:
            state = _restore(objective, take.optimizers, *found)
    trained = [p for p in objective.parameters() if p.requires_grad]
    progress = Progress(settings.steps, state.steps, label)
    begun = time.monotonic() - state.seconds
    clock = Clock(deadline, measures_after)
    first = state.steps
    losses: list[Tensor] = []
    accuracy = state.curve[-1][settings.judged_by] if state.curve else None
    if accuracy is not None and settings.stop_at is not None and len(state.curve) > 1:
        state.stopped_early = accuracy >= settings.stop_at  # interrupted after its last step

    def save() -> None:
        state.seconds = time.monotonic() - begun
        if checkpoints is not None:
            check_weights(trained, state.steps)
            tensors = {f"objective.{k}": v for k, v in state_tensors(objective).items()}
            tensors |= {f"optimizer.{k}": v for k, v in take.optimizers.tensors().items()}
            pending = [loss.item() for loss in losses]
            checkpoints.save(
                tensors, {"steps": state.steps, "curve": state.curve, "seconds": state.seconds, "losses": pending}
            )

    if checkpoints is not None and state.steps:
        losses = [torch.tensor(loss, device=device) for loss in found[1]["losses"]]  # type: ignore[index]

    def measured() -> dict[str, Any]:
        with clock.measuring():
            return measure(objective)

    if not state.curve:
        state.curve.append({"step": 0, "training_loss": None, **measured()})
    with postponed_interrupt() as interrupted:
        try:
            while state.steps < settings.steps and not state.stopped_early:
                step = state.steps
                losses.append(take(step))
                state.steps += 1
                if device.type == "cpu" or step % 10 == 0:
                    check_finite(losses, step)
                    progress.update(state.steps, losses[-1].item(), accuracy)
                if state.steps % settings.evaluate_every == 0 or state.steps == settings.steps:
                    check_finite(losses, step)
                    row = {"step": state.steps, "training_loss": torch.stack(losses).mean().item(), **measured()}
                    losses.clear()
                    accuracy = row[settings.judged_by]
                    state.curve.append(row)
                    state.stopped_early = settings.stop_at is not None and accuracy >= settings.stop_at
                late = clock.late() and state.steps < settings.steps and not state.stopped_early
                if interrupted() or late:
                    check_finite(losses, step)
                    save()
                    told = f"stopped after step {state.steps} of {settings.steps}; the same call goes on from there"
                    raise OutOfTime(told, state.steps - first) if late else Interrupted(told)
                if state.steps % checkpoint_every == 0 or (checkpoints is not None and clock.save_is_due()):
                    check_finite(losses, step)
                    with clock.saving():
                        save()
        finally:
            progress.close()
    check_weights(trained, state.steps)
    state.seconds, state.engine = time.monotonic() - begun, take.engine
    return state


SECONDS_BETWEEN_CHECKPOINTS = 60.0


class Clock:
    """When to save, and when to stop: before what comes next would end after the deadline."""

    def __init__(self, deadline: float | None, measures_after: float) -> None:
        self.deadline, self.measures_after = deadline, measures_after
        self.step = self.measure = self.save = 0.0
        self.seen = self.saved = time.monotonic()

    @contextlib.contextmanager
    def measuring(self) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self.measure = max(self.measure, time.monotonic() - begun)
        self.seen = time.monotonic()  # the next step is not blamed for it

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self.seen = self.saved = time.monotonic()
        self.save = max(self.save, self.saved - begun)

    def save_is_due(self) -> bool:
        """Whether the last checkpoint was long ago."""
        return time.monotonic() - self.saved > SECONDS_BETWEEN_CHECKPOINTS

    def late(self) -> bool:
        """After a step: whether another one, the measures and a save may end after the deadline."""
        now = time.monotonic()
        self.step, self.seen = max(0.9 * self.step, now - self.seen), now  # the first ones compile: they are forgotten
        needed = self.step + (1 + self.measures_after) * self.measure + 2 * self.save
        return self.deadline is not None and now + needed > self.deadline


def check_finite(losses: list[Tensor], step: int) -> None:
    """Raises NonFiniteLoss for the first loss of the pending ones that is no number."""
    if not losses or torch.isfinite(torch.stack(losses)).all():
        return
    bad = next(i for i, loss in enumerate(losses) if not torch.isfinite(loss))
    at = step - len(losses) + 1 + bad
    raise NonFiniteLoss(
        f"the loss of step {at} is {losses[bad].item()}: lower the learning rate or lengthen the warm-up. "
        "The last checkpoint before it is kept"
    )


def check_weights(trained: Iterable[Tensor], steps: int) -> None:
    """Raises NonFiniteLoss where a weight is no number: a finite loss may have had a gradient that was none."""
    if not torch.stack([weight.isfinite().all() for weight in trained]).all():
        raise NonFiniteLoss(
            f"after step {steps} a weight is no number: lower the learning rate or lengthen the warm-up. "
            "The last checkpoint before it is kept"
        )


def _restore(
    objective: Objective, optimizers: Optimizers, tensors: dict[str, Tensor], record: dict[str, Any]
) -> Trained:
    """Takes up the state of a checkpoint."""
    named = {name: {} for name in ("objective", "optimizer")}
    for name, tensor in tensors.items():
        kind, key = name.split(".", 1)
        named[kind][key] = tensor
    load_state(objective, named["objective"])
    optimizers.load_tensors(named["optimizer"].items())
    return Trained(steps=record["steps"], curve=record["curve"], seconds=record["seconds"])
