"""One step of S members at once: the weights of all are stacked, and a leading dimension goes through everything.

On a GPU a step of a tiny network costs hardly more for many members than for one.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from lookahead.contracts import Objective, Task
from lookahead.random import Key
from lookahead.stack import State, Template, each, load_member, stack
from lookahead.training.checkpoints import joined, state_tensors
from lookahead.training.optimizers import Optimizers, grouped
from lookahead.training.settings import Settings
from lookahead.training.step import Engine, Step


class StackedStep(Step):
    """`step(k)` does step k of all members: it gives their losses [S].

    AdamW and Muon step on parameters [S, ...]; both work element by element or matrix by matrix, so that a member goes
    where it would go alone, up to rounding.

    Args:
        objectives: one a member, built alike; they are only read until a member is handed over.
        tasks, seeds: one a member.
        settings: of all members.
        device: where they are trained.

    Raises:
        LookaheadError: a model that cannot be stacked, or members that are not built alike.
    """

    def __init__(
        self,
        objectives: Sequence[Objective],
        tasks: Sequence[Task],
        settings: Settings,
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
        engine: Engine = "auto",
    ) -> None:
        state = {name: tensor.to(device) for name, tensor in stack(objectives).items()}
        self.template = Template(copy.deepcopy(objectives[0])).to(device)
        self.set_up(self.template.objective, tasks, settings, engine, teach_each)
        self.objectives, self.seed = list(objectives), list(seeds)
        self.groups = grouped(self.objective, settings.optimizer)
        self.hold(state, {})

    def hold(self, state: State, optimizer: dict[str, Tensor]) -> None:
        """Takes over these weights, and the state of their optimisers."""
        trained = list(itertools.chain(*self.groups))
        self.state = {n: tensor.detach().clone().requires_grad_(n in trained) for n, tensor in state.items()}
        self.trained = [self.state[name] for name in trained]
        self.optimizers = Optimizers(self.state, self.groups, self.settings, on_device=self.engine == "captured")
        if optimizer:
            self.optimizers.load_tensors(optimizer.items())
        if self.engine == "captured":
            self.run.forget()

    def resume(self, optimizers: Sequence[dict[str, Tensor]]) -> None:
        """Takes up the states of the members' optimisers, as their checkpoints hold them."""
        shared = {name: values for name, values in optimizers[0].items() if is_count(name)}
        rows = {n: torch.stack([one[n] for one in optimizers]) for n in optimizers[0] if n not in shared}
        self.optimizers.load_tensors({**shared, **rows}.items())

    def keep(self, rows: list[int]) -> None:
        """Drops all members but these."""
        optimizer = {
            name: value if is_count(name) else value[rows] for name, value in self.optimizers.tensors().items()
        }
        self.objectives = [self.objectives[row] for row in rows]
        self.tasks, self.seed = [self.tasks[row] for row in rows], [self.seed[row] for row in rows]
        self.hold(self.weights(rows), optimizer)

    def weights(self, rows: list[int]) -> State:
        """The state of some members, to be read."""
        return {name: tensor.detach()[rows] for name, tensor in self.state.items()}

    def update(self, indices: Tensor, places: Tensor, progress: Tensor) -> Tensor:
        """One step on the training examples `indices` [S, B] or [1, B], their places in the training [B]; gives [S].

        The gradient of a sum of losses is, for each member, that of its own.
        """
        losses = torch.zeros(len(self.tasks), device=self.device)
        keys: list[Key] = [("training", seed) for seed in self.seed]
        for part, where in zip(indices.chunk(self.parts, dim=1), places.chunk(self.parts), strict=True):
            prompts, answers = type(self.tasks[0]).sample_each(self.tasks, "train", part)
            noise = self.objective.noise(keys, where[None])
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bfloat16"):
                totals = self.teach(self.template, self.state, prompts, answers, noise, progress)
            share = totals * (part.shape[1] / indices.shape[1]) if self.parts > 1 else totals
            share.sum().backward()
            losses = losses + share.detach()
        if self.settings.clip is not None:
            clip_each(self.trained, self.settings.clip)
        self.optimizers.step()
        return losses

    def clear(self) -> None:
        for leaf in self.trained:
            leaf.grad = None

    def finite(self) -> Tensor:
        return torch.stack([leaf.isfinite().reshape(len(leaf), -1).all(dim=1) for leaf in self.trained]).all(dim=0)

    def checkpoints(self, rows: list[int]) -> list[dict[str, Tensor]]:
        weights = {name: tensor.cpu() for name, tensor in self.weights(rows).items()}
        optimizer = {name: value.detach().cpu() for name, value in self.optimizers.tensors().items()}
        return [
            joined(
                {n: weights[n][i] if n in weights else own for n, own in state_tensors(self.objectives[row]).items()},
                {n: value if is_count(n) else value[row] for n, value in optimizer.items()},
            )
            for i, row in enumerate(rows)
        ]

    def hand_over(self, rows: list[int]) -> None:
        weights = {name: tensor.cpu() for name, tensor in self.weights(rows).items()}
        for i, row in enumerate(rows):
            load_member(self.objectives[row], weights, i)


def is_count(name: str) -> bool:
    """Whether a tensor of an optimiser's state counts steps: one number for all members."""
    return name.endswith(".step")


def clip_each(leaves: Sequence[Tensor], limit: float) -> None:
    """Scales each member's gradient, over all leaves [S, ...], to a norm of at most `limit`."""
    gradients = [leaf.grad for leaf in leaves if leaf.grad is not None]
    norms = torch.stack([gradient.reshape(len(gradient), -1).norm(dim=1) for gradient in gradients]).norm(dim=0)  # [S]
    share = (limit / (norms + 1e-6)).clamp(max=1)
    for gradient in gradients:
        gradient.mul_(share.view(-1, *[1] * (gradient.dim() - 1)))


def teach_each(
    template: Template, state: State, prompts: Tensor, answers: Tensor, noise: Tensor | None, progress: Tensor
) -> Tensor:
    """The members' losses [S]."""

    def loss(objective: Objective, prompts: Tensor, answers: Tensor, noise: Tensor | None) -> Tensor:
        return objective(prompts, answers, noise=noise, progress=progress).total

    return each(loss, template, state, prompts, answers, noise)
