"""Mamba-2's state space duality (Dao and Gu, 2024): the selective scan with one rate of decay per head.

    h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t'       the state of a head: P by N numbers
    y_t = h_t C_t + D x_t

Because the decay is one number, a stretch of the recurrence is also attention without a softmax:
y_i = sum over j <= i of exp(dt_{j+1} A + ... + dt_i A) (C_i . B_j) dt_j x_j. Matrix products do the work.

Shapes: b examples, T steps, H heads of P channels, G groups of heads that share B and C, N states a channel.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from lookahead.models.ops.dispatch import Operation, Outcome, at_least_float32

CHUNK = 64
"""Most steps in a chunk: attention's share grows with it, the recurrence's shrinks."""


def ssd(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    state: Tensor | None = None,
    kernels: str = "auto",
) -> Outcome:
    """y [b, T, H, P], in the precision of x, and the state after the last step [b, H, P, N].

    Args:
        x: what goes in, [b, T, H, P].
        dt: step sizes, positive, [b, T, H].
        A: rates of decay, negative, [H].
        B, C: what is written to the state and read from it, [b, T, G, N]; G divides H.
        D: how much of x is passed by, [H]; nothing if not given.
        state: to start from, [b, H, P, N]; zero if not given.
        kernels: "auto", "reference" (the two lines above, a loop), "torch", or "mamba_ssm".
    """
    y, last = SSD(kernels, (x, dt, A, B, C), state)
    return (y if D is None else y + D.to(x.dtype)[:, None] * x), last


def ssd_reference(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor | None) -> Outcome:
    """The scan as it is written above, step by step; in float32 at least."""
    dtype, (x, dt, A, B, C) = x.dtype, at_least_float32(x, dt, A, B, C)
    heads = A.shape[0]
    B, C = (v.repeat_interleave(heads // v.shape[2], dim=2) for v in (B, C))
    h = x.new_zeros(x.shape[0], *x.shape[2:], B.shape[3]) if state is None else state.to(x.dtype)
    y = []
    for t in range(x.shape[1]):
        decay = torch.exp(dt[:, t] * A)
        h = decay[:, :, None, None] * h + (dt[:, t, :, None] * x[:, t])[..., None] * B[:, t, :, None]
        y.append((h * C[:, t, :, None]).sum(dim=-1))
    return torch.stack(y, dim=1).to(dtype), h


def ssd_torch(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor | None) -> Outcome:
    """Attention inside a chunk, the recurrence from chunk to chunk; in float32 at least.

    Every exponent is a sum of dt A over some steps, so at most 0. The sums are differences of running sums, taken
    in float64: after a few large steps, float32 would have no digits left for the small ones.
    """
    dtype, (x, dt, A, B, C) = x.dtype, at_least_float32(x, dt, A, B, C)
    groups, length = B.shape[2], x.shape[1]
    count = -(-length // CHUNK)
    size = -(-length // count)
    x = in_chunks(dt[..., None] * x, count, size).unflatten(2, (groups, -1))  # [b, count, G, H/G, size, P]
    B, C = (in_chunks(v, count, size)[:, :, :, None] for v in (B, C))  # [b, count, G, 1, size, N]
    log_decay = in_chunks((dt.double() * A.double())[..., None], count, size)[..., 0].unflatten(2, (groups, -1))

    y = (C @ B.transpose(-1, -2) * DecayBetween.apply(log_decay, x.dtype)) @ x

    until = log_decay.cumsum(dim=-1)  # [b, count, G, H/G, size]
    left = (until[..., -1:] - until).to(x.dtype).exp()
    written = (left[..., None] * x).transpose(-1, -2) @ B  # [b, count, G, H/G, P, N]
    h = torch.zeros_like(written[:, 0]) if state is None else state.to(x.dtype).unflatten(1, (groups, -1))
    starts = []
    for kept, new in zip(until[..., -1].to(x.dtype).exp().unbind(1), written.unbind(1), strict=True):
        starts.append(h)
        h = kept[..., None, None] * h + new
    if count > 1 or state is not None:
        before = torch.stack(starts, dim=1) if count > 1 else starts[0][:, None]
        y = y + until.to(x.dtype).exp()[..., None] * (C @ before.transpose(-1, -2))
    y = y.flatten(2, 3).permute(0, 1, 3, 2, 4).flatten(1, 2)[:, :length]
    return y.to(dtype), h.flatten(1, 2)


class DecayBetween(torch.autograd.Function):
    """exp(a_{j+1} + ... + a_i) for j <= i, else 0: [..., Q] in float64 -> [..., Q, Q] in another precision."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, kind: torch.dtype) -> Tensor:
        until = a.cumsum(dim=-1)
        between = (until[..., :, None] - until[..., None, :]).to(kind)
        decay = between.clamp_(max=0).exp_().tril_()  # above the diagonal, exp would overflow
        ctx.save_for_backward(decay)
        return decay

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """a_k counts wherever j < k <= i: rows from k on, less columns from k on. What cancels there is larger."""
        (decay,) = ctx.saved_tensors
        gradient = (gradient * decay).tril_(-1)
        ends = gradient.sum(dim=-1).double() - gradient.sum(dim=-2).double()
        return ends.flip(-1).cumsum(dim=-1).flip(-1), None


def in_chunks(v: Tensor, count: int, size: int) -> Tensor:
    """[b, T, S, ...] -> [b, count, S, size, ...]; zeros fill the last chunk, and a step of size 0 changes nothing."""
    v = F.pad(v, (0, 0, 0, 0, 0, count * size - v.shape[1]))
    return v.unflatten(1, (count, size)).transpose(2, 3)


def ssd_fused(
    mamba_chunk_scan_combined: Callable[..., Any],
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    state: Tensor | None,
) -> Outcome:
    """The scan by mamba-ssm."""
    return mamba_chunk_scan_combined(
        x=x,
        dt=dt.float(),
        A=A.float(),
        B=B.to(x.dtype),
        C=C.to(x.dtype),
        chunk_size=fused_chunk(x.shape[1]),
        initial_states=state,
        return_final_states=True,
    )


def fused_chunk(steps: int) -> int:
    """Steps in a chunk of mamba-ssm: a power of two."""
    return max(64, min(256, 2 ** math.ceil(math.log2(steps))))


def elements(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> int:
    """Of the largest tensor of `ssd_fused`, for one example: an input, read where it lies, or the states of all chunks,
    or the products of B and C in them."""
    size = fused_chunk(x.shape[1])
    chunk = max(x.shape[2] * x.shape[3] * B.shape[3], B.shape[2] * size**2)
    return max(-(-x.shape[1] // size) * chunk, *(v.stride(0) for v in (x, B, C)))


def probe_inputs(steps: int) -> tuple[Tensor, ...]:
    """Small inputs, the same everywhere: 2 examples, 4 heads of 16 channels in 2 groups, 16 states, and a state."""
    chance = torch.Generator().manual_seed(0)
    x, B, C = (torch.randn(2, steps, *n, generator=chance) for n in ((4, 16), (2, 16), (2, 16)))
    dt = torch.rand(2, steps, 4, generator=chance).square()
    A = -torch.rand(4, generator=chance).add(0.1)
    return x, dt, A, B, C, torch.randn(2, 4, 16, 16, generator=chance)


SSD = Operation(
    name="ssd",
    reference=ssd_reference,
    plain=ssd_torch,
    fused=ssd_fused,
    function="mamba_ssm.ops.triton.ssd_combined:mamba_chunk_scan_combined",
    arguments=("x", "dt", "A", "B", "C", "chunk_size", "initial_states", "return_final_states"),
    needs_extension=False,
    elements=elements,
    resumes=True,
    probe_inputs=probe_inputs,
    probe_steps=(300,),
)
