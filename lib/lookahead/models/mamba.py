"""Mamba (Gu and Dao, 2023) and Mamba-2 (Dao and Gu, 2024), with the names of the original code.

Both expand the width, mix each channel over a few steps, scan, gate the result and project it back. They
differ in the scan: Mamba's has a rate of decay for every channel and state, Mamba-2's one for every head.
"""

import math
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookahead.errors import LookaheadError
from lookahead.kinds import Count, Range
from lookahead.models.ops.selective_scan import SELECTIVE_SCAN, selective_scan
from lookahead.models.ops.ssd import SSD, ssd
from lookahead.models.recurrent import (
    EPSILON,
    CausalConvolution,
    Memory,
    Mixer,
    Recurrent,
    inverse_softplus_of_steps,
)

State = Annotated[int, Range(least=1, most=256)]
"""mamba-ssm's kernels go no further, and a model shall run everywhere."""

Convolution = Annotated[int, Range(least=2, most=4)]
"""What the original's convolution can compute."""


class MambaMixer(Mixer):
    """Input projection, convolution, selective scan, gate, output projection.

    Args:
        width: D.
        state: N, numbers that a channel remembers.
        convolution: K, steps that the convolution sees.
        expand: inner channels, in widths.
    """

    operation = SELECTIVE_SCAN
    vectors: ClassVar = ("A_log",)

    def __init__(self, width: int, *, state: State = 16, convolution: Convolution = 4, expand: Count = 2) -> None:
        super().__init__()
        inner, self.rank, self.state = expand * width, math.ceil(width / 16), state
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.conv1d = CausalConvolution(inner, convolution)
        self.x_proj = nn.Linear(inner, self.rank + 2 * state, bias=False)
        self.dt_proj = nn.Linear(self.rank, inner)
        self.A_log = nn.Parameter(torch.arange(1.0, state + 1).log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, width, bias=False)
        nn.init.uniform_(self.dt_proj.weight, -(self.rank**-0.5), self.rank**-0.5)
        with torch.no_grad():
            self.dt_proj.bias.copy_(inverse_softplus_of_steps(inner))

    def forward(self, x: Tensor, memory: Memory, last: int, kernels: str) -> tuple[Tensor, Memory]:
        to_scan, to_gate = self.in_proj.weight.chunk(2)
        u, inputs = self.conv1d(F.linear(x, to_scan), memory.inputs)
        low, B, C = self.x_proj(u).split([self.rank, self.state, self.state], dim=-1)
        dt = F.softplus(F.linear(low, self.dt_proj.weight) + self.dt_proj.bias)
        A = -self.A_log.exp()
        # u, dt: [b, T, inner]; A: [inner, N]; B, C: [b, T, N]
        y, state = selective_scan(u, dt, A, B, C, self.D, memory.state, kernels)
        gate = F.silu(F.linear(x[:, -last:], to_gate))
        return self.out_proj(y[:, -last:] * gate), Memory(state, inputs)


class Mamba(Recurrent, name="mamba"):
    """Mamba (Gu and Dao, 2023); its sizes are those of `Recurrent` and `MambaMixer`."""

    presets: ClassVar = {
        "mamba-tiny": {"layers": 4, "width": 64, "state": 8},  # about the Transformer's "tiny" in weights
        "mamba-mini": {"layers": 12, "width": 512},  # about GPT-Mini's 21 million (the published width is not known)
    }
    mixer = MambaMixer


class Mamba2Mixer(Mixer):
    """As `MambaMixer`, but one projection makes everything, the scan is SSD, and a norm follows the gate.

    Args:
        head_width: P, channels with a common rate of decay.
        groups: G, of heads with common B and C.
    """

    operation = SSD

    def __init__(
        self,
        width: int,
        *,
        state: State = 128,
        convolution: Convolution = 4,
        expand: Count = 2,
        head_width: Count = 64,
        groups: Count = 1,
    ) -> None:
        super().__init__()
        inner = expand * width
        if inner % head_width:
            raise LookaheadError(
                f"{inner} inner channels ({expand} times width {width}) do not split into heads of {head_width}: "
                "take a head_width that divides them"
            )
        if inner // head_width % groups:
            raise LookaheadError(
                f"{inner // head_width} heads do not split into {groups} groups: take a number that divides them"
            )
        self.heads, self.groups = inner // head_width, groups
        self.sizes = [inner, groups * state, groups * state]
        self.in_proj = nn.Linear(width, inner + sum(self.sizes) + self.heads, bias=False)
        self.conv1d = CausalConvolution(sum(self.sizes), convolution)
        self.dt_bias = nn.Parameter(inverse_softplus_of_steps(self.heads))
        self.A_log = nn.Parameter(torch.empty(self.heads).uniform_(1, 16).log())
        self.D = nn.Parameter(torch.ones(self.heads))
        self.norm = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor, memory: Memory, last: int, kernels: str) -> tuple[Tensor, Memory]:
        inner = self.sizes[0]
        to_gate, to_scan = self.in_proj.weight.split([inner, self.in_proj.out_features - inner])
        mixed, dt = F.linear(x, to_scan).split([sum(self.sizes), self.heads], dim=-1)
        mixed, inputs = self.conv1d(mixed, memory.inputs)
        u, B, C = mixed.split(self.sizes, dim=-1)
        u = u.unflatten(-1, (self.heads, -1))
        B, C = (v.unflatten(-1, (self.groups, -1)) for v in (B, C))
        dt = F.softplus(dt + self.dt_bias)
        A = -self.A_log.exp()
        # u: [b, T, H, P]; dt: [b, T, H]; A: [H]; B, C: [b, T, G, N]
        y, state = ssd(u, dt, A, B, C, self.D, memory.state, kernels)
        gated = y[:, -last:].flatten(2) * F.silu(F.linear(x[:, -last:], to_gate))
        grouped = gated.unflatten(-1, (self.groups, -1))  # [b, last, G, inner / G]
        normed = F.rms_norm(grouped, grouped.shape[-1:], eps=EPSILON).flatten(-2) * self.norm  # [b, last, inner]
        return self.out_proj(normed), Memory(state, inputs)


class Mamba2(Recurrent, name="mamba2"):
    """Mamba-2 (Dao and Gu, 2024); its sizes are those of `Recurrent` and `Mamba2Mixer`."""

    presets: ClassVar = {
        "mamba2-tiny": {"layers": 4, "width": 64, "state": 32, "head_width": 16},
        "mamba2-mini": {"layers": 12, "width": 512},
    }
    mixer = Mamba2Mixer
