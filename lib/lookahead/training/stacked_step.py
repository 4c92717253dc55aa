"""One step of S members at once: `training.step` and `training.optimizers`, with a leading dimension.

All trained weights lie in one tensor [S, N], a row a member; so do gradients and AdamW's means. What a model reads are
views of it. A step is then few operations however many parameters there are, and a member is a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lookahead.contracts import Objective, Task
from lookahead.random import Key
from lookahead.stack import State, Template, each, named_tensors, stack
from lookahead.training.checkpoints import state_tensors
from lookahead.training.muon import Muon
from lookahead.training.optimizers import grouped
from lookahead.training.settings import Settings
from lookahead.training.step import Engine, Step

BETA1, EPSILON = 0.9, 1e-8

OptimizerState = dict[str, Tensor]
"""As `Optimizers.tensors` gives it."""


@dataclass(frozen=True)
class Place:
    """Where a parameter lies in a row, and what a member's own optimisers call its state."""

    name: str
    shape: torch.Size
    columns: slice
    mean: str
    """AdamW's mean of the gradients, or Muon's momentum."""
    square: str | None
    """AdamW's mean of their squares."""
    step: str | None


class StackedOptimizers:
    """The weights of S members, and AdamW, with Muon for the hidden matrices, each member at its own rates.

    Args:
        objectives: one a member, built alike; they are only read.
        settings: one a member; they agree in everything but the rates.
        states: of the optimisers, one a member, of members that have done `steps` steps; None: they begin.
        device: where it all is to lie.
    """

    def __init__(
        self,
        objectives: Sequence[Objective],
        settings: Sequence[Settings],
        device: torch.device,
        states: Sequence[OptimizerState] | None = None,
        steps: int = 0,
    ) -> None:
        self.settings, self.adamw, state = settings[0], adamw, stack(objectives)
        matrices, vectors, hidden = grouped(objectives[0], settings[0].optimizer)
        self.places: list[Place] = []
        end = 0
        for i, name in enumerate([*matrices, *vectors, *hidden]):
            shape, place = state[name].shape[1:], i - len(matrices) - len(vectors)
            keys = (f"0.{i}.exp_avg", f"0.{i}.exp_avg_sq", f"0.{i}.step")
            keys = keys if place < 0 else (f"1.{place}.momentum_buffer", None, None)
            self.places.append(Place(name, shape, slice(end, end := end + shape.numel()), *keys))
        self.count = sum(state[name][0].numel() for name in [*matrices, *vectors])
        """How many columns are AdamW's; they come first."""
        weights = torch.cat([state.pop(place.name).flatten(1) for place in self.places], dim=1)
        self.others = {name: tensor.to(device) for name, tensor in state.items()}
        means, squares = torch.zeros_like(weights), torch.zeros_like(weights[:, : self.count])
        for row, known in enumerate(states or []):
            for place in self.places:
                if place.mean in known:
                    means[row, place.columns] = known[place.mean].flatten()
                if place.square in known:
                    squares[row, place.columns] = known[place.square].flatten()
        self.decay = weights.new_zeros(self.count, device=device)
        for place in self.places[: len(matrices)]:
            self.decay[place.columns] = self.settings.weight_decay
        self.taken = torch.tensor(float(steps), dtype=torch.float64, device=device)
        rates = torch.tensor([[one.learning_rate, one.matrix_rate] for one in settings], dtype=weights.dtype)
        self._hold(*(tensor.to(device) for tensor in (weights, means, squares, rates)))

    def _hold(self, weights: Tensor, means: Tensor, squares: Tensor, full_rates: Tensor) -> None:
        """Takes these rows, and cuts them into parameters."""
        self.weights, self.means, self.squares = weights, means, squares
        self.full_rates, self.rates = full_rates, full_rates.clone()
        self.leaves = [self._cut(weights, place).detach().requires_grad_() for place in self.places]
        self.muon = None
        if self.hidden:
            rate = self.rates[:, 1, None, None]  # a view: it follows `set_rate`
            self.muon = Muon([leaf for leaf, _ in self.hidden], rate, self.settings.weight_decay)  # type: ignore[arg-type]
            for leaf, place in self.hidden:
                self.muon.state[leaf]["momentum_buffer"] = self._cut(means, place)

    @staticmethod
    def _cut(rows: Tensor, place: Place) -> Tensor:
        return rows[:, place.columns].unflatten(1, place.shape)

    @property
    def hidden(self) -> list[tuple[Tensor, Place]]:
        """Muon's."""
        both = zip(self.leaves, self.places, strict=True)
        return [(leaf, place) for leaf, place in both if place.columns.start >= self.count]

    @property
    def state(self) -> State:
        """What a model reads: weights, and buffers that differ."""
        return {**{place.name: leaf for leaf, place in zip(self.leaves, self.places, strict=True)}, **self.others}

    def keep(self, rows: list[int]) -> None:
        """Lets go of all members but these."""
        self.others = {name: tensor[rows] for name, tensor in self.others.items()}
        self._hold(*(tensor[rows] for tensor in (self.weights, self.means, self.squares, self.full_rates)))

    def set_rate(self, rate: float) -> None:
        """The next step is at a share `rate` of each member's full learning rates."""
        torch.mul(self.full_rates, rate, out=self.rates)

    def clear(self) -> None:
        """Forgets the gradients."""
        for leaf in self.leaves:
            leaf.grad = None

    @torch.no_grad()
    def step(self, clip: float | None) -> None:
        """One step, with each member's gradient no longer than `clip`; then the gradients are gone."""
        for leaf, place in zip(self.leaves, self.places, strict=True):
            if leaf.grad is None and place.columns.start < self.count:
                self.decay[place.columns] = 0  # nobody's gradient reaches it: it stays, as in torch
        found = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in self.leaves]
        gradients = torch.cat([gradient.flatten(1) for gradient in found], dim=1)
        if clip is not None:
            norms = gradients.norm(dim=1, keepdim=True)
            gradients *= (clip / (norms + 1e-6)).clamp(max=1)
        self.taken += 1
        weights, mine, means = (rows[:, : self.count] for rows in (self.weights, gradients, self.means))
        beta2 = self.settings.beta2
        self.adamw(weights, mine, means, self.squares, self.rates[:, :1], self.decay, self.taken, beta2)
        if self.muon is not None:
            for leaf, place in self.hidden:
                leaf.grad = None if leaf.grad is None else self._cut(gradients, place)
            self.muon.step()
        self.clear()

    def members(self, rows: list[int]) -> list[tuple[State, OptimizerState]]:
        """Weights and optimisers' states of some members on the CPU, under the names that `stack` and
        `Optimizers.tensors` use."""
        weights, means, squares = (held.detach()[rows].cpu() for held in (self.weights, self.means, self.squares))
        others, taken = {name: tensor[rows].cpu() for name, tensor in self.others.items()}, self.taken.float().cpu()
        found = []
        for row in range(len(rows)):
            state = {name: tensor[row] for name, tensor in others.items()}
            optimizer: OptimizerState = {}
            for place in self.places:
                state[place.name] = weights[row, place.columns].view(place.shape)
                optimizer[place.mean] = means[row, place.columns].view(place.shape)
                if place.square is not None and place.step is not None:
                    optimizer[place.square] = squares[row, place.columns].view(place.shape)
                    optimizer[place.step] = taken.clone()
            found.append((state, optimizer))
        return found


def adamw(
    weights: Tensor,
    gradients: Tensor,
    means: Tensor,
    squares: Tensor,
    rates: Tensor,
    decay: Tensor,
    taken: Tensor,
    beta2: float,
) -> None:
    """torch.optim.AdamW's step, in its order, in place.

    Args:
        weights, gradients, means, squares: [S, N].
        rates: [S, 1].
        decay: [N], the weight decay.
        taken: steps done, this one counted.
    """
    first, second = ((1 - beta**taken).to(weights.dtype) for beta in (BETA1, beta2))
    weights.mul_(1 - rates * decay)
    means.lerp_(gradients, 1 - BETA1)
    squares.mul_(beta2).addcmul_(gradients, gradients, value=1 - beta2)
    deviations = (squares.sqrt() / second.sqrt()).add_(EPSILON)
    weights.addcmul_(means / deviations, -rates / first)


def solo_tensors(objective: Objective, state: State, optimizer: OptimizerState) -> dict[str, Tensor]:
    """A member's checkpoint, as `training.loop` writes it; what is not in `state` is the objective's own."""
    names = {id(tensor): name for name, tensor in named_tensors(objective).items()}
    kept = {name: state.get(names[id(own)], own) for name, own in state_tensors(objective).items()}
    return {**{f"objective.{k}": v for k, v in kept.items()}, **{f"optimizer.{k}": v for k, v in optimizer.items()}}


class StackedStep(Step):
    """`step(k)` does step k of all members: it gives their losses [S].

    Args:
        tasks, seeds: one a member.
    """

    def __init__(
        self,
        template: Template,
        tasks: Sequence[Task],
        settings: Settings,
        seeds: Sequence[int],
        optimizers: StackedOptimizers,
        engine: Engine = "auto",
    ) -> None:
        self.set_up(template.objective, settings, engine, teach_each)
        self.template, self.optimizers = template, optimizers
        if self.engine != "eager":
            optimizers.adamw = torch.compile(adamw, dynamic=False)
        self.tasks, self.seed = list(tasks), list(seeds)

    def keep(self, rows: list[int]) -> None:
        """Lets go of all members but these."""
        self.optimizers.keep(rows)
        self.tasks, self.seed = [self.tasks[row] for row in rows], [self.seed[row] for row in rows]
        if self.engine == "captured":
            self.run.forget()

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
                totals = self.teach(self.template, self.optimizers.state, prompts, answers, noise, progress)
            share = totals * (part.shape[1] / indices.shape[1]) if self.parts > 1 else totals
            share.sum().backward()
            losses = losses + share.detach()
        self.optimizers.step(self.settings.clip)
        return losses

    def split(self, error: Exception) -> None:
        self.optimizers.clear()
        super().split(error)


def teach_each(
    template: Template, state: State, prompts: Tensor, answers: Tensor, noise: Tensor | None, progress: Tensor
) -> Tensor:
    """The members' losses [S]."""

    def loss(objective: Objective, prompts: Tensor, answers: Tensor, noise: Tensor | None) -> Tensor:
        return objective(prompts, answers, noise=noise, progress=progress).total

    return each(loss, template, state, prompts, answers, noise)
