"""Several objectives of one kind as one: their weights stacked, a single call for all members.

    state = stack(objectives)                                   names -> tensors [S, ...]
    losses = each(lambda o, p, a: o(p, a).total, Template(objectives[0]), state, prompts, answers)        [S]

S members; what each of them reads and gives has a leading dimension S.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from lookahead.contracts import Objective
from lookahead.errors import LookaheadError

State = dict[str, Tensor]
"""Names of parameters and buffers -> their values for all members [S, ...]."""


class Template(nn.Module):
    """An objective that lends its code to all members; `each` gives it their weights.

    It lies on the device of their state, and its own weights are never read.
    """

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.objective = objective

    def forward(self, function: Callable[..., Any], *inputs: Tensor | None) -> Any:
        """Any function of the objective, since `functional_call` calls nothing but `forward`."""
        return function(self.objective, *inputs)


def stack(objectives: Sequence[Objective]) -> State:
    """The state of S objectives that are built alike.

    A buffer that is the same for all is left out: `each` takes it from the template.

    Raises:
        LookaheadError: their model cannot be stacked, or they are not built alike.
    """
    model = objectives[0].model
    if not model.stackable:
        raise LookaheadError(
            f"a {model.name} cannot be trained many at once: its scan is no operation that torch.func.vmap knows. "
            "Train its seeds one after another, with lookahead.run"
        )
    parts = [named_tensors(objective) for objective in objectives]
    shapes = [{name: tensor.shape for name, tensor in part.items()} for part in parts]
    for i, other in enumerate(shapes):
        if other != shapes[0]:
            raise LookaheadError(f"member {i} has other weights than member 0: they cannot be trained as one")
    parameters = dict(objectives[0].named_parameters())
    return {
        name: torch.stack([part[name].detach() for part in parts])
        for name, first in parts[0].items()
        if name in parameters or not all(torch.equal(part[name], first) for part in parts)
    }


def named_tensors(module: nn.Module) -> State:
    """Parameters and buffers by name; what stands under two names under the first alone."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


@torch.no_grad()
def load_member(objective: Objective, state: State, member: int) -> None:
    """Gives an objective the weights of one member."""
    own = named_tensors(objective)
    for name, values in state.items():
        own[name].copy_(values[member])


def each(function: Callable[..., Any], template: Template, state: State, *inputs: Tensor | None) -> Any:
    """`function(objective, *inputs)` for every member at once, the objective with the member's weights.

    Args:
        function: what it gives are tensors (in tuples, lists or dicts), and get a leading dimension S.
        inputs: [S, ...] each, or None for all.
    """

    def of_one(weights: State, *own: Tensor | None) -> Any:
        return functional_call(template, {f"objective.{k}": v for k, v in weights.items()}, (function, *own))

    # Under vmap the fused kinds of attention take it that no gradient is wanted, and leave out what it needs.
    with sdpa_kernel(SDPBackend.MATH):
        return vmap(of_one, in_dims=(0, *(None if given is None else 0 for given in inputs)))(state, *inputs)
