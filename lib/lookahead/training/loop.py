"""The training loop."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from math import gcd
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lookahead.contracts import Loss, Objective, Task
from lookahead.counter import words
from lookahead.errors import LookaheadError
from lookahead.training.checkpoints import Checkpoints, state_tensors
from lookahead.training.optimizers import Optimizers
from lookahead.training.progress import Progress
from lookahead.training.settings import Settings

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


class NonFiniteLoss(LookaheadError):
    """The loss, or a weight, left the numbers; the last good checkpoint stands."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, after the state was saved."""


def training_indices(step: int, batch_size: int, examples: int | None, seed: int) -> Tensor:
    """Which training examples a step uses, [B].

    Fresh ones if `examples` is None. Otherwise the first `examples`, each once an epoch, in an order
    that changes every epoch (an affine walk, so that the state of the data stays one integer).
    """
    position = torch.arange(step * batch_size, (step + 1) * batch_size)
    if examples is None:
        return position
    indices = torch.empty_like(position)
    for epoch in (position // examples).unique().tolist():
        here = position // examples == epoch
        stride, offset = (word % examples for word in words("epoch", seed, epoch, count=2))
        while gcd(stride, examples) != 1:
            stride += 1
        indices[here] = (stride * (position[here] % examples) + offset) % examples
    return indices


@contextlib.contextmanager
def postponed_interrupt() -> Iterator[Callable[[], bool]]:
    """Ctrl-C waits for the end of a step; a second one does not wait."""
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)


def train(
    objective: Objective,
    task: Task,
    settings: Settings,
    measure: Measure,
    *,
    seed: int = 0,
    checkpoints: Checkpoints | None = None,
    checkpoint_every: int = 500,
    resume: Literal["latest", "previous", "never"] = "latest",
    label: str = "",
) -> Trained:
    """Trains an objective in place, on the device where it lies.

    Args:
        task: gives the training examples.
        measure: called before the first step, every `settings.evaluate_every` steps and at the end.
        seed: of the order of a fixed training set.
        checkpoints: where to save and resume; nothing is saved if None.
        checkpoint_every: in steps; Ctrl-C saves as well.
        resume: what to start from where a checkpoint is found.

    Raises:
        NonFiniteLoss: the loss of a step, or a weight after it, was not a number; names the step, keeps the
            last checkpoint.
        Interrupted: Ctrl-C.
        LookaheadError: a checkpoint that cannot be used.
    """
    if resume not in ("latest", "previous", "never"):
        raise LookaheadError(f"resume is 'latest', 'previous' or 'never', not {resume!r}")
    device = next(objective.parameters()).device
    objective.zero_grad(set_to_none=True)
    optimizers = Optimizers(objective, settings)
    state = Trained()
    if checkpoints is not None and resume != "never":
        found = checkpoints.load(previous=resume == "previous")
        if found is not None:
            state = _restore(objective, optimizers, *found)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bfloat16")
    trained = [p for p in objective.parameters() if p.requires_grad]
    progress = Progress(settings.steps, state.steps, label)
    begun = time.monotonic() - state.seconds
    losses: list[Tensor] = []
    accuracy = state.curve[-1][settings.judged_by] if state.curve else None
    if accuracy is not None and settings.stop_at is not None and len(state.curve) > 1:
        state.stopped_early = accuracy >= settings.stop_at  # interrupted after its last step

    def save() -> None:
        state.seconds = time.monotonic() - begun
        if checkpoints is not None:
            _check_weights(trained, state.steps)
            tensors = {f"objective.{k}": v for k, v in state_tensors(objective).items()}
            tensors |= {f"optimizer.{k}": v for k, v in optimizers.tensors().items()}
            pending = [loss.item() for loss in losses]
            checkpoints.save(
                tensors, {"steps": state.steps, "curve": state.curve, "seconds": state.seconds, "losses": pending}
            )

    if checkpoints is not None and state.steps:
        losses = [torch.tensor(loss, device=device) for loss in found[1]["losses"]]  # type: ignore[index]

    if not state.curve:
        state.curve.append({"step": 0, "training_loss": None, **measure(objective)})
    with postponed_interrupt() as interrupted:
        try:
            while state.steps < settings.steps and not state.stopped_early:
                step = state.steps
                indices = training_indices(step, settings.batch_size, settings.train_examples, seed)
                prompts, answers = task.sample("train", indices.to(device))
                with autocast:
                    loss = teach(objective, prompts, answers, step, settings.steps, seed).total
                loss.backward()
                losses.append(loss.detach())
                if device.type == "cpu" or step % 10 == 0:
                    _check_finite(losses, step)
                if settings.clip is not None:
                    torch.nn.utils.clip_grad_norm_(trained, settings.clip)
                optimizers.step(settings.rate(step))
                state.steps += 1
                if device.type == "cpu" or step % 10 == 0:
                    progress.update(state.steps, losses[-1].item(), accuracy)
                if state.steps % settings.evaluate_every == 0 or state.steps == settings.steps:
                    _check_finite(losses, step)
                    row = {
                        "step": state.steps,
                        "training_loss": torch.stack(losses).mean().item(),
                        **measure(objective),
                    }
                    losses.clear()
                    accuracy = row[settings.judged_by]
                    state.curve.append(row)
                    state.stopped_early = settings.stop_at is not None and accuracy >= settings.stop_at
                if interrupted():
                    _check_finite(losses, step)
                    save()
                    raise Interrupted(
                        f"stopped after step {state.steps} of {settings.steps}; the same call goes on from there"
                    )
                if state.steps % checkpoint_every == 0:
                    _check_finite(losses, step)
                    save()
        finally:
            progress.close()
    _check_weights(trained, state.steps)
    state.seconds = time.monotonic() - begun
    return state


def teach(objective: Objective, prompts: Tensor, answers: Tensor, step: int, steps: int, seed: int) -> Loss:
    """The objective's forward pass at a step, with what it may want to know: noise, and how far the training is."""
    places = torch.arange(step * len(prompts), (step + 1) * len(prompts), device=prompts.device)
    noise = objective.noise(("training", seed), places)
    return objective(prompts, answers, noise=noise, progress=torch.tensor(step / steps, device=prompts.device))


def _check_finite(losses: list[Tensor], step: int) -> None:
    """Raises NonFiniteLoss for the first loss of the pending ones that is no number."""
    if not losses or torch.isfinite(torch.stack(losses)).all():
        return
    bad = next(i for i, loss in enumerate(losses) if not torch.isfinite(loss))
    at = step - len(losses) + 1 + bad
    raise NonFiniteLoss(
        f"the loss of step {at} is {losses[bad].item()}: lower the learning rate or lengthen the warm-up. "
        "The last checkpoint before it is kept"
    )


def _check_weights(trained: Iterable[Tensor], steps: int) -> None:
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


def load_state(module: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Loads what `state_tensors` gave.

    Raises:
        LookaheadError: the tensors are another model's.
    """
    own = state_tensors(module)
    wrong = [k for k in own if k not in tensors or tensors[k].shape != own[k].shape]
    if wrong or len(tensors) != len(own):
        raise LookaheadError(
            f"these weights belong to another model: {(wrong or sorted(set(tensors) - set(own)))[0]} does not fit"
        )
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)
