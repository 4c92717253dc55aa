"""One step of a training: data, loss, gradient, update.

`Step.update` does it. What changes from step to step comes in as tensors, nothing in it waits for the device or asks
for a number, so that it runs as it is written, compiled, or captured in a CUDA graph.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Sequence
from math import gcd
from typing import Any, Literal

import torch
from torch import Tensor

from lookahead.contracts import Loss, Objective, Task
from lookahead.errors import LookaheadError
from lookahead.machine import device_of
from lookahead.random import words
from lookahead.training.checkpoints import joined, state_tensors
from lookahead.training.optimizers import Optimizers, grouped
from lookahead.training.settings import Settings

Engine = Literal["auto", "eager", "compiled", "captured"]
"""How a step is computed: as it is written; with the objective compiled; compiled and replayed as one CUDA graph.
"auto" is the last on a GPU, the first on a CPU, where short runs do not earn back the compilation."""


class Step:
    """One member's step: `step(k)` does step k and gives the loss, [1], on the device.

    `StackedStep` does the same for S members; a *row* is a member's place in it, here always 0.

    A GPU that runs out of memory makes it split the batch; the gradient stays that of the whole.

    Raises:
        LookaheadError: an unknown engine, or one that this device has not.
    """

    def __init__(
        self,
        objective: Objective,
        task: Task,
        settings: Settings,
        seed: int,
        engine: Engine = "auto",
    ) -> None:
        self.set_up(objective, [task], settings, engine, teach)
        self.seed: Any = seed
        self.trained = [p for p in objective.parameters() if p.requires_grad]
        named, groups = dict(objective.named_parameters()), grouped(objective, settings.optimizer)
        self.optimizers = Optimizers(named, groups, settings, on_device=self.engine == "captured")

    def set_up(
        self, objective: Objective, tasks: Sequence[Task], settings: Settings, engine: Engine, teach: Callable[..., Any]
    ) -> None:
        """Sets what a step of one and of many have in common; `teach` is what gets compiled."""
        self.device = device_of(objective)
        self.engine = resolve_engine(engine, self.device)
        self.objective, self.tasks, self.settings = objective, list(tasks), settings
        self.teach: Any = teach
        if self.engine != "eager":
            objective.model.kernels_used(self.device, getattr(torch, settings.precision))  # tried before, not compiled
            torch.compiler.reset()  # every new module is another variant, and after eight nothing is compiled any more
            self.teach = torch.compile(teach, dynamic=False)
        self.parts = 1
        self.run: Any = self.update
        if self.engine == "captured":
            from lookahead.training.captured import Captured

            self.run = Captured(self.update)

    def __call__(self, step: int) -> Tensor:
        settings, size = self.settings, self.settings.batch_size
        indices = training_indices(step, settings, self.seed)
        places = torch.arange(step * size, (step + 1) * size)
        progress = torch.tensor(step / settings.steps)
        inputs = [value.to(self.device, non_blocking=True) for value in (indices, places, progress)]
        self.optimizers.set_rate(settings.rate(step))
        while True:
            try:
                return self.run(*inputs).view(-1)
            except torch.OutOfMemoryError as error:
                self.split(error)

    def update(self, indices: Tensor, places: Tensor, progress: Tensor) -> Tensor:
        """One step on the training examples `indices` [B], their places in the training [B]; gives the loss."""
        loss = self.gradient(indices, places, progress, len(indices))
        if self.settings.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.trained, self.settings.clip)
        self.optimizers.step()
        return loss

    def gradient(self, indices: Tensor, places: Tensor, progress: Tensor, batch: int) -> Tensor:
        """Adds these examples' share of the gradient of a batch of so many; gives their share of its loss.

        The gradient of a batch in parts is the sum of theirs, since a loss is a mean over examples.
        """
        loss = torch.zeros((), device=self.device)
        for part, where in zip(indices.chunk(self.parts), places.chunk(self.parts), strict=True):
            prompts, answers = self.tasks[0].sample("train", part)
            noise = self.objective.noise(("training", self.seed), where)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bfloat16"):
                total = self.teach(self.objective, prompts, answers, noise, progress).total
            share = total * (len(part) / batch) if len(part) < batch else total
            share.backward()
            loss = loss + share.detach()
        return loss

    def clear(self) -> None:
        """Forgets the gradients."""
        self.objective.zero_grad(set_to_none=True)

    def resume(self, optimizers: Sequence[dict[str, Tensor]]) -> None:
        """Takes up the state of each member's optimisers, as its checkpoint holds it."""
        self.optimizers.load_tensors(optimizers[0].items())

    def keep(self, rows: list[int]) -> None:
        """Drops all members but these."""

    def finite(self) -> Tensor:
        """Whether all weights of a member are numbers, [S]."""
        return torch.stack([weight.isfinite().all() for weight in self.trained]).all()[None]

    def checkpoints(self, rows: list[int]) -> list[dict[str, Tensor]]:
        """The state of some members, named as in a checkpoint, whoever trains them."""
        return [joined(state_tensors(self.objective), self.optimizers.tensors()) for _ in rows]

    def hand_over(self, rows: list[int]) -> None:
        """Gives some members' objectives their weights; here the objective is trained in place."""

    def split(self, error: Exception) -> None:
        """Half as many examples at once from now on.

        Raises:
            LookaheadError: there was only one.
        """
        size = self.settings.batch_size
        if self.parts >= size:
            raise LookaheadError(
                f"the GPU has no memory for one example: a smaller model or shorter sequences ({error})"
            ) from error
        self.clear()
        with contextlib.suppress(RuntimeError, AssertionError):
            torch.cuda.empty_cache()
        self.parts = min(size, 2 * self.parts)
        if self.engine == "captured":
            self.run.forget()
        warnings.warn(
            f"the GPU ran out of memory: of the batch of {size}, {-(-size // self.parts)} are computed at a time from "
            "now on; the gradient is the same",
            stacklevel=4,
        )


def teach(objective: Objective, prompts: Tensor, answers: Tensor, noise: Tensor | None, progress: Tensor) -> Loss:
    """The loss of a batch: the objective's forward pass."""
    return objective(prompts, answers, noise=noise, progress=progress)


def resolve_engine(engine: Engine, device: torch.device) -> Literal["eager", "compiled", "captured"]:
    """The engine that is meant.

    Raises:
        LookaheadError: no such engine, CUDA graphs without CUDA, or no compiler that works.
    """
    if engine == "auto":
        engine = "captured" if device.type == "cuda" else "eager"
    if engine not in ("eager", "compiled", "captured"):
        raise LookaheadError(f"unknown engine {engine!r}; known: auto, eager, compiled, captured")
    if engine == "captured" and device.type != "cuda":
        raise LookaheadError(f"a {device.type} has no CUDA graphs: take engine 'compiled' or 'eager'")
    if engine != "eager" and (why := why_not_compiled(device.type)):
        compiler = "gcc or clang, or what CC names" if device.type == "cuda" else "g++, or what CXX names"
        raise LookaheadError(f"engine {engine!r} needs a compiler ({compiler}): install it, or take 'eager' ({why})")
    return engine


@functools.cache
def why_not_compiled(device: str) -> str | None:
    """What stops torch from compiling anything for a device; None if nothing does."""
    try:
        torch.compile(lambda x: x + 1)(torch.zeros(1, device=device))
    except Exception as error:  # torch has many, from its own and from the compiler's
        return str(error).strip().partition("\n")[0]
    return None


def training_indices(step: int, settings: Settings, seed: int | list[int]) -> Tensor:
    """Which training examples a step uses, [B]; for a list of S seeds [S, B], or [1, B] where they are the same.

    Fresh ones if `train_examples` is None. Otherwise the first `train_examples`, each once an epoch, in an order that
    changes every epoch (an affine walk, so that the state of the data stays one integer); with `repeated` below 1
    fresh ones that come after those make the batch full.
    """
    seeds = seed if isinstance(seed, list) else [seed]
    size, examples = settings.batch_size, settings.train_examples
    if examples is None:
        indices = torch.arange(step * size, (step + 1) * size)[None]
    else:
        again = settings.repeated_examples
        position = torch.arange(step * again, (step + 1) * again)
        indices = position.repeat(len(seeds), 1)
        for epoch in (position // examples).unique().tolist():
            here = position // examples == epoch
            stride, offset = torch.tensor([_walk(examples, one, epoch) for one in seeds]).T[:, :, None]
            indices[:, here] = (stride * (position[here] % examples) + offset) % examples
        fresh = examples + torch.arange(step * (size - again), (step + 1) * (size - again))
        indices = torch.cat([indices, fresh.expand(len(seeds), -1)], dim=1)
    return indices if isinstance(seed, list) else indices[0]


def _walk(examples: int, seed: int, epoch: int) -> tuple[int, int]:
    """Stride and offset of an epoch's order; the stride has no divisor in common with `examples`."""
    stride, offset = (word % examples for word in words("epoch", seed, epoch, count=2))
    while gcd(stride, examples) != 1:
        stride += 1
    return stride, offset
