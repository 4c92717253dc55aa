"""Extra heads: what predicts a later token from the state that predicts the next one.

    state       =      a_0    a_1    a_2
    next token  a_0    a_1    a_2    a_3
    head 2      a_1    a_2    a_3
    head 3      a_2    a_3
    head 4      a_3

Heads are there in training alone; a model answers without them.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookahead.contracts import Model
from lookahead.objectives.sequences import exact

Depth = Literal["linear", "mlp", "block"]
"""A matrix; a norm and a two-layer MLP; one more block of the model's own kind, which looks at the whole sequence."""

INITIAL_DEVIATION = 0.4
"""Of a head's weight, times sqrt(width): as in the Transformer."""


class Head(nn.Module):
    """Hidden states [B, T, D] -> hidden states [B, T, D] of the same model's output for a later token.

    What it computes is added to its input, so that a head begins near the prediction of the next token.
    """

    def __init__(self, width: int, depth: Literal["linear", "mlp"] = "mlp") -> None:
        super().__init__()
        layers = [nn.Linear(width, width)]
        if depth == "mlp":
            layers = [nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width)]
        self.layers = nn.Sequential(*layers)
        for layer in layers:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=INITIAL_DEVIATION / math.sqrt(width))
                nn.init.zeros_(layer.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.layers(hidden)


def width_of(model: Model) -> int:
    """D, the width of a model's hidden states."""
    return model.embed(torch.zeros(1, 1, dtype=torch.long)).shape[-1]


def extra_heads(model: Model, count: int, depth: Depth) -> nn.ModuleList:
    """`count` heads for a model, freshly initialised."""
    if depth == "block":
        return nn.ModuleList(model.fresh(1) for _ in range(count))
    return nn.ModuleList(Head(width_of(model), depth) for _ in range(count))


def linear(inputs: int, outputs: int) -> nn.Linear:
    """A matrix without bias, initialised as the Transformer's are."""
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.normal_(layer.weight, std=INITIAL_DEVIATION / math.sqrt(inputs))
    return layer


def token_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy in nats [B, T] of logits [B, T, V] with targets [B, T]."""
    return F.cross_entropy(exact(logits).flatten(0, 1), targets.flatten(), reduction="none").view_as(targets)


def counted_mean(values: Tensor, counts: Tensor | None = None) -> Tensor:
    """The mean over examples of the mean over what counts: of values [B, T], where counts [B, T] is true.

    All count if `counts` is not given. An example in which nothing counts gives 0.
    """
    weights = torch.ones_like(values) if counts is None else counts.to(values.dtype)
    return ((values * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)).mean()
