"""One step of S members at once: `training.step` and `training.optimizers`, with a leading dimension.

All trained weights lie in one tensor [S, N], a row a member; so do gradients and AdamW's means. What a model reads are
views of it. A step is then few operations however many parameters there are, and a member is a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from lookahead.contracts import Objective, Task
from lookahead.counter import Key
from lookahead.members import State, Template, each, named_tensors, stack
from lookahead.training.checkpoints import state_tensors
from lookahead.training.muon import Muon
from lookahead.training.optimizers import grouped
from lookahead.training.settings import Settings
from lookahead.training.step import Engine, Step

BETA1, EPSILON = 0.9, 1e-8

OptimizerState = dict[str, Tensor]
"""As `Optimizers.tensors` gives it."""


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
        matrices, vectors, hidden = grouped(objectives[0], settings[0].optimizer)
        self.settings = settings[0]
        self.names = [matrices + vectors, hidden]
        state = stack(objectives)
        names = [name for part in self.names for name in part]
        self.shapes = [state[name].shape[1:] for name in names]
        ends = list(accumulate((shape.numel() for shape in self.shapes), initial=0))
        self.slices = [slice(*ends) for ends in pairwise(ends)]
        self.count = ends[len(self.names[0])]  # AdamW's
        self.others = {name: tensor.to(device) for name, tensor in state.items() if name not in set(names)}
        weights = torch.cat([state[name].flatten(1) for name in names], dim=1)
        moments = [torch.zeros_like(weights[:, : self.count]) for _ in range(2)] + [
            torch.zeros_like(weights[:, self.count :])
        ]
        for row, known in enumerate(states or []):
            self._fill([tensor[row] for tensor in moments], known)
        self.decay = weights.new_zeros(self.count, device=device)
        self.decay[: ends[len(matrices)]] = self.settings.weight_decay
        self.taken = torch.tensor(float(steps), dtype=torch.float64, device=device)
        rates = [[one.learning_rate, one.matrix_rate] for one in settings]
        full = torch.tensor(rates, dtype=weights.dtype)
        self._hold(*(tensor.to(device) for tensor in (weights, *moments, full)))

    def _hold(self, weights: Tensor, means: Tensor, squares: Tensor, momenta: Tensor, full_rates: Tensor) -> None:
        """Takes these rows, and cuts them into parameters."""
        self.weights, self.means, self.squares, self.momenta = weights, means, squares, momenta
        self.full_rates, self.rates = full_rates, full_rates.clone()
        self.leaves = [
            weights[:, part].unflatten(1, shape).detach().requires_grad_()
            for part, shape in zip(self.slices, self.shapes, strict=True)
        ]
        self.muon = None
        first = len(self.names[0])
        if self.names[1]:
            rate = self.rates[:, 1, None, None]  # a view: it follows `set_rate`
            self.muon = Muon(self.leaves[first:], lr=rate, weight_decay=self.settings.weight_decay)  # type: ignore[arg-type]
            for leaf, part, shape in zip(self.leaves, self.slices, self.shapes, strict=True):
                if part.start >= self.count:
                    own = momenta[:, part.start - self.count : part.stop - self.count]
                    self.muon.state[leaf]["momentum_buffer"] = own.unflatten(1, shape)

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def state(self) -> State:
        """What a model reads: weights, and buffers that differ."""
        names = [name for part in self.names for name in part]
        return {**dict(zip(names, self.leaves, strict=True)), **self.others}

    def keep(self, rows: list[int]) -> None:
        """Lets go of all members but these."""
        self.others = {name: tensor[rows] for name, tensor in self.others.items()}
        self._hold(*(t[rows] for t in (self.weights, self.means, self.squares, self.momenta, self.full_rates)))

    def set_rate(self, rate: float) -> None:
        """The next step is at a share `rate` of each member's full learning rates."""
        torch.mul(self.full_rates, rate, out=self.rates)

    def clear(self) -> None:
        """Forgets the gradients."""
        for leaf in self.leaves:
            leaf.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Clips each member's gradient, steps, and forgets the gradients."""
        for leaf, part in zip(self.leaves, self.slices, strict=True):
            if leaf.grad is None and part.start < self.count:
                self.decay[part] = 0  # nobody's gradient reaches it: it stays, as in torch
        gradients = torch.cat(
            [(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad).flatten(1) for leaf in self.leaves], dim=1
        )
        if self.settings.clip is not None:
            norms = gradients.norm(dim=1, keepdim=True)
            gradients *= (self.settings.clip / (norms + 1e-6)).clamp(max=1)
        self._adamw(gradients[:, : self.count])
        if self.muon is not None:
            for leaf, part, shape in zip(self.leaves, self.slices, self.shapes, strict=True):
                if part.start >= self.count and leaf.grad is not None:
                    leaf.grad = gradients[:, part].unflatten(1, shape)
            self.muon.step()
        self.clear()

    def _adamw(self, gradients: Tensor) -> None:
        """torch.optim.AdamW's step, in its order."""
        beta2, rate, weights = self.settings.beta2, self.rates[:, :1], self.weights[:, : self.count]
        self.taken += 1
        corrections = [(1 - beta**self.taken).to(weights.dtype) for beta in (BETA1, beta2)]
        weights.mul_(1 - rate * self.decay)
        self.means.lerp_(gradients, 1 - BETA1)
        self.squares.mul_(beta2).addcmul_(gradients, gradients, value=1 - beta2)
        deviation = (self.squares.sqrt() / corrections[1].sqrt()).add_(EPSILON)
        weights.addcmul_(self.means / deviation, -rate / corrections[0])

    # -- one member, as `training.loop` keeps it ------------------------------------------------------------

    def members(self, rows: list[int]) -> list[tuple[State, OptimizerState]]:
        """Weights and optimisers' states of some members on the CPU, under the names that `stack` and
        `Optimizers.tensors` use."""
        held = (self.weights, self.means, self.squares, self.momenta)
        weights, means, squares, momenta = (tensor.detach()[rows].cpu() for tensor in held)
        others = {name: tensor[rows].cpu() for name, tensor in self.others.items()}
        names = [name for part in self.names for name in part]
        found = []
        for row in range(len(rows)):
            state = {name: tensor[row] for name, tensor in others.items()}
            optimizer: OptimizerState = {}
            for name, part, shape, target in zip(names, self.slices, self.shapes, self._targets(), strict=True):
                state[name] = weights[row, part].view(shape)
                for key, moments in zip(target, (means, squares, momenta), strict=True):
                    if key is not None:
                        here = (
                            part if moments is not momenta else slice(part.start - self.count, part.stop - self.count)
                        )
                        optimizer[key] = moments[row, here].view(shape)
                if target[0] is not None:
                    optimizer[target[0].replace("exp_avg", "step")] = self.taken.float().cpu()
            found.append((state, optimizer))
        return found

    def _targets(self) -> list[tuple[str | None, str | None, str | None]]:
        """For each parameter the names of its mean, mean square and momentum, None where it has none."""
        adamw = [(f"0.{i}.exp_avg", f"0.{i}.exp_avg_sq", None) for i in range(len(self.names[0]))]
        return [*adamw, *((None, None, f"1.{i}.momentum_buffer") for i in range(len(self.names[1])))]

    def _fill(self, moments: Sequence[Tensor], known: OptimizerState) -> None:
        """Writes a state into one member's means, mean squares and momenta."""
        for part, target in zip(self.slices, self._targets(), strict=True):
            for key, row, first in zip(target, moments, (0, 0, self.count), strict=True):
                if key in known:
                    row[part.start - first : part.stop - first] = known[key].flatten()


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
        self.optimizers.step()
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
