"""AdamW, and Muon for the hidden matrices."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import nn

from lookahead.training.muon import Muon
from lookahead.training.settings import Settings


class Grouped(NamedTuple):
    """Names of trained parameters, in the order of the optimisers' state."""

    matrices: list[str]
    """Matrices that AdamW steps on, with weight decay."""
    vectors: list[str]
    """Vectors that AdamW steps on, without weight decay."""
    hidden: list[str]
    """Matrices that Muon steps on."""


def grouped(module: nn.Module, optimizer: str) -> Grouped:
    """The trained parameters of a module, by the optimiser that takes them.

    Args:
        module: what is trained. Matrices inside a block are "hidden"; embeddings and vectors are not. A submodule
            names in `vectors` those of its parameters that are matrices by their shape only.
    """
    named = {name: p for name, p in module.named_parameters() if p.requires_grad}
    no_matrices = {f"{path}.{name}" for path, part in module.named_modules() for name in getattr(part, "vectors", ())}
    matrices = [name for name, p in named.items() if p.ndim >= 2 and name not in no_matrices]
    vectors = [name for name in named if name not in set(matrices)]
    hidden = [name for name in matrices if named[name].ndim == 2 and "embedding" not in name]
    if optimizer == "adamw":
        hidden = []
    return Grouped([name for name in matrices if name not in set(hidden)], vectors, hidden)


class Optimizers:
    """One or two optimisers that step together.

    Args:
        named: parameters by name; those of members that are trained as one have a leading dimension.
        groups: which optimiser takes which.
        on_device: keep the learning rates as tensors on the device, so that a captured step can be replayed at another.
    """

    def __init__(
        self, named: Mapping[str, torch.Tensor], groups: Grouped, settings: Settings, on_device: bool = False
    ) -> None:
        matrices, vectors, hidden = ([named[name] for name in group] for group in groups)
        self.parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(
                [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
                lr=settings.learning_rate,
                betas=(0.9, settings.beta2),
                fused=True,
                capturable=on_device,
            )
        ]
        if hidden:
            self.parts.append(Muon(hidden, lr=settings.matrix_rate, weight_decay=settings.weight_decay))
        self.rates = [[group["lr"] for group in part.param_groups] for part in self.parts]
        if on_device:
            for group in (group for part in self.parts for group in part.param_groups):
                group["lr"] = torch.tensor(group["lr"], device=group["params"][0].device)

    def set_rate(self, rate: float) -> None:
        """The next step is at a share `rate` of the full learning rate."""
        for part, rates in zip(self.parts, self.rates, strict=True):
            for group, full in zip(part.param_groups, rates, strict=True):
                if isinstance(group["lr"], torch.Tensor):
                    group["lr"].fill_(full * rate)
                else:
                    group["lr"] = full * rate

    def step(self) -> None:
        """One step; then the gradients are gone."""
        for part in self.parts:
            part.step()
            part.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, torch.Tensor]:
        """The state as named tensors."""
        return {
            f"{i}.{index}.{key}": value
            for i, part in enumerate(self.parts)
            for index, state in part.state_dict()["state"].items()
            for key, value in state.items()
        }

    def load_tensors(self, tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Takes up a state that `tensors` gave."""
        states: list[dict[int, dict[str, torch.Tensor]]] = [{} for _ in self.parts]
        for name, value in tensors:
            i, index, key = name.split(".", 2)
            states[int(i)].setdefault(int(index), {})[key] = value
        for part, state in zip(self.parts, states, strict=True):
            groups = [dict(group) for group in part.param_groups]  # the rates among them, which are not the state's
            part.load_state_dict({**part.state_dict(), "state": state})
            for group, before in zip(part.param_groups, groups, strict=True):
                group["lr"] = before["lr"]
