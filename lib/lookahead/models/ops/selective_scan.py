"""The selective scan of Mamba (Gu and Dao, 2023, equation 2 with the discretisation of section 3.2).

    h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t        the state of each of D channels: N numbers
    y_t = C_t h_t + D x_t

Shapes: b examples, T steps, D channels, N states a channel. dt is positive, A negative, so every factor
exp(dt A) lies in (0, 1): products of them may vanish, they cannot overflow.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lookahead.errors import LookaheadError
from lookahead.models.ops.dispatch import Operation, Outcome, at_least_float32


def selective_scan(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    state: Tensor | None = None,
    kernels: str = "auto",
) -> Outcome:
    """y [b, T, D], in the precision of x, and the state after the last step [b, D, N].

    mamba-ssm's kernel has no gradient for that state: a backward pass that asks for it raises.

    Args:
        x: what goes in, [b, T, D].
        dt: step sizes, positive, [b, T, D].
        A: rates of decay, negative, [D, N].
        B, C: what is written to the state and read from it, [b, T, N].
        D: how much of x is passed by, [D]; nothing if not given.
        state: to start from, [b, D, N]; zero if not given.
        kernels: "auto", "reference" (the two lines above, a loop), "torch", or "mamba_ssm".
    """
    y, last = SELECTIVE_SCAN(kernels, (x, dt, A, B, C), state)
    return (y if D is None else y + D.to(x.dtype) * x), last


def scan_reference(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor | None) -> Outcome:
    """The scan as it is written above, step by step; in float32 at least."""
    dtype, (x, dt, A, B, C) = x.dtype, at_least_float32(x, dt, A, B, C)
    h = x.new_zeros(x.shape[0], *A.shape) if state is None else state.to(x.dtype)
    y = []
    for t in range(x.shape[1]):
        decay = torch.exp(dt[:, t, :, None] * A)
        h = decay * h + dt[:, t, :, None] * B[:, t, None, :] * x[:, t, :, None]
        y.append((C[:, t, None, :] * h).sum(dim=-1))
    return torch.stack(y, dim=1).to(dtype), h


# -- plain PyTorch -------------------------------------------------------------------------------------------
#
# All b T D N numbers of h at once would be the largest tensor of the model by far. So the scan goes through the
# sequence in chunks, on a CPU for some examples at a time; what is kept for the backward pass is the state at each
# chunk's start, from where it computes the chunk once more. Time comes first and the channels last, so that a step is
# one contiguous piece of memory and the innermost loop is long.

FITTING = 2**19
"""Numbers of h of a piece that about fits a CPU's cache."""


def scan_torch(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor | None) -> Outcome:
    """The scan in chunks, with a backward pass of its own; in float32 at least."""
    dtype, (x, dt, A, B, C) = x.dtype, at_least_float32(x, dt, A, B, C)
    state = x.new_zeros(x.shape[0], *A.shape) if state is None else state.to(x.dtype)
    at_once, size, recur = chunking(x, A)
    parts = zip(*(v.split(at_once) for v in (x, dt, B, C, state)), strict=True)
    done = [ChunkedScan.apply(x, dt, A, B, C, h, size, recur) for x, dt, B, C, h in parts]  # type: ignore[misc]
    y, last = done[0] if len(done) == 1 else map(torch.cat, zip(*done, strict=True))
    return y.to(dtype), last


def chunking(x: Tensor, A: Tensor) -> tuple[int, int, Callable[..., None]]:
    """Examples at a time, steps in a chunk, and the function that computes a chunk's recurrence.

    On a CPU: pieces that about fit the cache, step by step. On a GPU a step is a call that keeps it busy for
    no time: longer chunks, by doubling, of all examples.
    """
    count, steps = x.shape[:2]
    if x.device.type != "cpu":
        return count, min(steps, 64), by_doubling
    size = min(steps, max(8, min(32, FITTING // (count * A.numel()))))
    return min(count, max(1, FITTING // (size * A.numel()))), size, step_by_step


def step_by_step(decay: Tensor, h: Tensor, reverse: bool = False) -> None:
    """h_t <- h_t + decay_t h_{t-1} for t = 1, 2, ... in place, [Q, ...]; reverse: h_t <- h_t + decay_{t+1} h_{t+1}."""
    decays, steps = decay.unbind(), h.unbind()
    if reverse:
        decays, steps = (decays[0], *decays[:0:-1]), steps[::-1]
    for factor, before, here in zip(decays[1:], steps, steps[1:], strict=False):
        here.addcmul_(factor, before)


def by_doubling(decay: Tensor, h: Tensor, reverse: bool = False) -> None:
    """As `step_by_step`, in log2 Q rounds (Hillis and Steele, 1986): after k of them h_t holds its last 2^k inputs."""
    if reverse:
        turned = h.flip(0)
        by_doubling(decay.flip(0).roll(1, 0), turned)
        h.copy_(turned.flip(0))
        return
    reach = 1
    while reach < len(h):
        h[reach:] = torch.addcmul(h[reach:], decay[reach:], h[:-reach])
        decay = torch.cat([decay[:reach], decay[reach:] * decay[:-reach]])
        reach *= 2


class ChunkedScan(torch.autograd.Function):
    """(x, dt, A, B, C, state, steps in a chunk, the recurrence's function) -> y, last state."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> tuple[Tensor, Tensor]:
        *tensors, h, size, recur = given
        x, dt, A, B, C = time_first(*tensors)
        h = h.transpose(1, 2).contiguous()
        y, starts = torch.empty_like(x), h.new_empty(-(-len(x) // size), *h.shape)
        decay, states = (h.new_empty(size, *h.shape) for _ in range(2))
        for start, now in zip(starts, chunks(len(x), size), strict=True):
            start.copy_(h)
            h = scan_chunk(x[now], dt[now], A, B[now], start, decay, states, recur)
            y[now] = weighted_sum(C[now], states)
        ctx.save_for_backward(*tensors, starts)
        ctx.chunking = size, recur
        return y.transpose(0, 1), h.transpose(1, 2).contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, dlast: Tensor) -> tuple[Tensor | None, ...]:
        """With g_t for the gradient of h_t:

        g_t = C_t dy_t + exp(dt_{t+1} A) g_{t+1}: the same recurrence from the end, and
        dC_t = dy_t h_t, d(dt_t x_t) = B_t g_t, dB_t = (dt_t x_t) g_t, d(dt_t A) = exp(dt_t A) h_{t-1} g_t.
        """
        *tensors, starts = ctx.saved_tensors
        size, recur = ctx.chunking
        x, dt, A, B, C = time_first(*tensors)
        dy, carry = dy.transpose(0, 1), dlast.transpose(1, 2).contiguous()
        dx, ddt, dB, dC = (torch.empty_like(v) for v in (x, dt, B, C))
        dA = torch.zeros_like(A)
        decay, states, grads = (carry.new_empty(size, *carry.shape) for _ in range(3))
        for start, now in reversed(list(zip(starts, chunks(len(x), size), strict=True))):
            scan_chunk(x[now], dt[now], A, B[now], start, decay, states, recur)
            q = len(x[now])
            a, h, g = decay[:q], states[:q], grads[:q]
            torch.mul(C[now, :, :, None], dy[now, :, None], out=g)
            g[-1] += carry
            recur(a, g, reverse=True)
            dC[now] = weighted_sum(dy[now], h.transpose(2, 3))
            dB[now] = weighted_sum(dt[now] * x[now], g.transpose(2, 3))
            written = weighted_sum(B[now], g)
            dx[now], ddt[now] = written * dt[now], written * x[now]
            carry = g.mul_(a)[0].clone()
            g[1:] *= h[:-1]
            g[0] *= start  # g is the gradient of dt A by now
            ddt[now] += torch.mul(g, A, out=h).sum(dim=2)
            dA += g.mul_(dt[now, :, None]).sum(dim=(0, 1))
        dx, ddt, dB, dC = (v.transpose(0, 1) for v in (dx, ddt, dB, dC))
        return dx, ddt, dA.T, dB, dC, carry.transpose(1, 2), None, None


def time_first(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> list[Tensor]:
    """The inputs with the time first: views [T, b, ...], and A as [N, D]."""
    x, dt, B, C = (v.transpose(0, 1) for v in (x, dt, B, C))
    return [x, dt, A.T.contiguous(), B, C]


def chunks(length: int, size: int) -> list[slice]:
    """The steps of each chunk."""
    return [slice(first, min(first + size, length)) for first in range(0, length, size)]


def scan_chunk(
    x: Tensor,  # [Q, b, D]
    dt: Tensor,  # [Q, b, D]
    A: Tensor,  # [N, D]
    B: Tensor,  # [Q, b, N]
    start: Tensor,  # the state before the chunk, [b, N, D]
    decay: Tensor,  # filled, [at least Q, b, N, D]
    states: Tensor,  # filled, [at least Q, b, N, D]
    recur: Callable[..., None],
) -> Tensor:
    """The state after a chunk of Q steps, [b, N, D]; `decay` and `states` are filled with those of every step."""
    decay, states = decay[: len(x)], states[: len(x)]
    torch.mul(dt[:, :, None], A, out=decay).exp_()
    torch.mul((dt * x)[:, :, None], B[..., None], out=states)
    states[0].addcmul_(decay[0], start)
    recur(decay, states)
    return states[-1]


def weighted_sum(weights: Tensor, rows: Tensor) -> Tensor:
    """Sums of the rows [Q, b, R, S] with weights [Q, b, R]: [Q, b, S]."""
    rows = rows[: len(weights)].flatten(0, 1)
    return torch.bmm(weights.flatten(0, 1)[:, None], rows).view(*weights.shape[:2], -1)


# -- mamba-ssm -----------------------------------------------------------------------------------------------

FUSED_CHUNK = 2048
"""Most steps that mamba-ssm's kernel takes at once."""


def scan_fused(
    selective_scan_fn: Callable[..., Any], x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, state: None
) -> Outcome:
    """The scan by mamba-ssm, whose tensors end in the time: [b, D, T] and [b, N, T]."""
    inputs = [v.to(x.dtype).transpose(1, 2) for v in (x, dt, B, C)]
    u, delta, B, C = inputs
    y, last = selective_scan_fn(u=u, delta=delta, A=A.float(), B=B, C=C, return_last_state=True)
    return y.transpose(1, 2), WithoutGradient.apply(last)  # type: ignore[return-value]


class WithoutGradient(torch.autograd.Function):
    """The last state, with an error for its gradient, which mamba-ssm would silently leave out."""

    @staticmethod
    def forward(ctx: Any, last: Tensor) -> Tensor:
        return last.view_as(last)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        raise LookaheadError("mamba-ssm has no gradient for the last state: take kernels='torch'")


def elements(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> int:
    """Of the largest tensor of `scan_fused`, for one example: x in another order, or two states a stretch of steps."""
    steps, states = x.shape[1], A.shape[1]
    return max(steps, -(-steps // FUSED_CHUNK) * 2 * states) * max(A.shape[0], states)


def probe_inputs(steps: int) -> tuple[Tensor, ...]:
    """Small inputs, the same everywhere: 2 examples, 16 channels, 8 states, and a state."""
    chance = torch.Generator().manual_seed(0)
    x, B, C = (torch.randn(2, steps, n, generator=chance) for n in (16, 8, 8))
    dt = torch.rand(2, steps, 16, generator=chance).square()
    A = -torch.rand(16, 8, generator=chance).add(0.1)
    return x, dt, A, B, C, torch.randn(2, 16, 8, generator=chance)


SELECTIVE_SCAN = Operation(
    name="selective_scan",
    reference=scan_reference,
    plain=scan_torch,
    fused=scan_fused,
    function="mamba_ssm.ops.selective_scan_interface:selective_scan_fn",
    arguments=("u", "delta", "A", "B", "C", "return_last_state"),
    needs_extension=True,
    elements=elements,
    resumes=False,
    probe_inputs=probe_inputs,
    probe_steps=(70, FUSED_CHUNK + 52),
)
