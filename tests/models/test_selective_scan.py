"""The selective scan and SSD: the fast ways against the literal recurrence, forward and backward."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lookahead.models.ops import selective_scan as scan_module
from lookahead.models.ops import ssd
from lookahead.models.ops.selective_scan import (
    ChunkedScan,
    by_doubling,
    scan_reference,
    scan_torch,
    selective_scan,
    step_by_step,
)

CLOSE = {"atol": 1e-11, "rtol": 1e-9}
RECURRENCES = (step_by_step, by_doubling)


def scan_inputs(b: int, T: int, D: int, N: int, steps: float = 0.1, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """x, dt, A, B, C and a state; step sizes up to `steps`."""
    chance = torch.Generator().manual_seed(T)
    x, B, C, state = (torch.randn(*n, generator=chance) for n in ((b, T, D), (b, T, N), (b, T, N), (b, D, N)))
    dt = steps * torch.rand(b, T, D, generator=chance)
    A = -16 * torch.rand(D, N, generator=chance) - 0.1
    return [v.to(dtype).requires_grad_() for v in (x, dt, A, B, C, state)]


def ssd_inputs(
    b: int, T: int, sizes: tuple[int, int, int, int], steps: float = 0.1, dtype: torch.dtype = torch.float64
) -> list[Tensor]:
    """x, dt, A, B, C and a state, for (H, P, G, N)."""
    H, P, G, N = sizes
    chance = torch.Generator().manual_seed(T)
    x, B, C = (torch.randn(b, T, *n, generator=chance) for n in ((H, P), (G, N), (G, N)))
    dt, A = steps * torch.rand(b, T, H, generator=chance), -16 * torch.rand(H, generator=chance) - 0.1
    state = torch.randn(b, H, P, N, generator=chance)
    return [v.to(dtype).requires_grad_() for v in (x, dt, A, B, C, state)]


def outcome(way: Callable[..., Any], inputs: list[Tensor]) -> list[Tensor]:
    """Outputs and all gradients, of a sum that weighs every output differently."""
    found = list(way(*inputs))
    total = sum((v * torch.linspace(-1, 1, v.numel(), dtype=v.dtype).view_as(v)).sum() for v in found)
    return [*found, *torch.autograd.grad(total, inputs)]  # type: ignore[arg-type]


def assert_agree(found: list[Tensor], right: list[Tensor], tolerance: float) -> None:
    """Each within a share of its largest value; what float32 cannot tell from 0 is 0."""
    assert len(found) == len(right) == 8
    for i, (a, b) in enumerate(zip(found, right, strict=True)):
        assert torch.isfinite(a).all(), i
        off, allowed = (a - b).abs().max(), tolerance * b.abs().max() + torch.finfo(torch.float32).tiny
        assert off <= allowed, f"number {i} is off by {off}, allowed is {allowed}"


# -- the references are right --------------------------------------------------------------------------------


def test_one_step_by_hand() -> None:
    """h = exp(-1 * 0.5) * 2 + 0.5 * 3 * 4 and y = 5 h + 6 * 4; the same with a head of one channel."""
    one = {"dtype": torch.float64}
    x, dt, B, C = (torch.full((1, 1, 1), v, **one) for v in (4.0, 0.5, 3.0, 5.0))
    A, D, state = torch.tensor([[-1.0]], **one), torch.tensor([6.0], **one), torch.full((1, 1, 1), 2.0, **one)
    h = 2 * torch.exp(torch.tensor(-0.5, **one)) + 6
    for kernels in ("reference", "torch"):
        y, last = selective_scan(x, dt, A, B, C, D, state, kernels)
        torch.testing.assert_close((y.squeeze(), last.squeeze()), (5 * h + 24, h), **CLOSE)
        four = (v[..., None] for v in (x, B, C, state))
        x4, B4, C4, state4 = four
        y, last = ssd.ssd(x4, dt, A[0], B4, C4, D, state4, kernels)
        torch.testing.assert_close((y.squeeze(), last.squeeze()), (5 * h + 24, h), **CLOSE)


def test_ssd_is_the_selective_scan_with_a_decay_for_each_head() -> None:
    """Its heads' channels, one by one, through Mamba's scan."""
    H, P, N = 3, 2, 4
    x, dt, A, B, C, state = ssd_inputs(2, 9, (H, P, 1, N))
    y, last = ssd.ssd_reference(x, dt, A, B, C, state)
    flat = (x.flatten(2), dt.repeat_interleave(P, 2), A[:, None].expand(-1, N).repeat_interleave(P, 0))
    y_scan, last_scan = scan_reference(*flat, B[:, :, 0], C[:, :, 0], state.flatten(1, 2))
    torch.testing.assert_close(y.flatten(2), y_scan, **CLOSE)
    torch.testing.assert_close(last.flatten(1, 2), last_scan, **CLOSE)


def test_gradients_of_the_references() -> None:
    assert torch.autograd.gradcheck(scan_reference, scan_inputs(2, 4, 3, 2))
    assert torch.autograd.gradcheck(ssd.ssd_reference, ssd_inputs(1, 4, (4, 2, 2, 3)))


@pytest.mark.parametrize("recur", RECURRENCES)
@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_gradients_of_the_chunked_scan(recur: Any, size: int) -> None:
    assert torch.autograd.gradcheck(lambda *given: ChunkedScan.apply(*given, size, recur), scan_inputs(2, 5, 3, 2))


def test_gradients_of_chunked_ssd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssd, "CHUNK", 3)
    assert torch.autograd.gradcheck(ssd.ssd_torch, ssd_inputs(1, 7, (4, 2, 2, 3)))


# -- the fast ways are the references ------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 2, 31, 32, 33, 65, 200])
@pytest.mark.parametrize("recur", RECURRENCES)
def test_the_scan_at_any_length(length: int, recur: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "chunking", lambda x, A: (3, 32, recur))
    inputs = scan_inputs(3, length, 5, 7)
    assert_agree(outcome(scan_torch, inputs), outcome(scan_reference, inputs), 1e-12)


@pytest.mark.parametrize("fitting", [1, 300, 600, 10**6])
def test_the_scan_for_some_examples_at_a_time(fitting: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One, one, two and all three of three examples fit."""
    monkeypatch.setattr(scan_module, "FITTING", fitting)
    inputs = scan_inputs(3, 9, 5, 7)
    at_once, size, _ = scan_module.chunking(inputs[0], inputs[2])
    assert (at_once, size) == {1: (1, 8), 300: (1, 8), 600: (2, 8), 10**6: (3, 9)}[fitting]
    assert_agree(outcome(scan_torch, inputs), outcome(scan_reference, inputs), 1e-12)


@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 200])
def test_ssd_at_any_length(length: int) -> None:
    inputs = ssd_inputs(2, length, (6, 3, 2, 5))
    assert_agree(outcome(ssd.ssd_torch, inputs), outcome(ssd.ssd_reference, inputs), 1e-12)


@pytest.mark.parametrize("steps", [1e-6, 0.1, 10.0, 1e4])
def test_float32_at_length_2048(steps: float) -> None:
    """Tiny steps, where all the past counts, and huge ones, where a running product would leave the numbers.

    Against float64. A float32 has 24 bits; 2048 sums of them may lose 11, so 1e-4 would be right for the worst.
    """
    inputs = scan_inputs(1, 2048, 3, 2, steps)
    right = outcome(scan_reference, inputs)
    inputs = [v.detach().float().requires_grad_() for v in inputs]
    assert_agree([v.double() for v in outcome(scan_torch, inputs)], right, 1e-4)
    inputs = ssd_inputs(1, 2048, (2, 3, 1, 2), steps)
    right = outcome(ssd.ssd_reference, inputs)
    inputs = [v.detach().float().requires_grad_() for v in inputs]
    assert_agree([v.double() for v in outcome(ssd.ssd_torch, inputs)], right, 1e-4)


def test_small_steps_after_large_ones_keep_their_digits() -> None:
    """A running sum of dt A in float32 would know 3,000 to 2e-4 and so a decay behind it no better."""
    inputs = ssd_inputs(1, 60, (2, 3, 1, 4), steps=0.01)
    with torch.no_grad():
        inputs[1][:, :10] = 40
    right = outcome(ssd.ssd_reference, inputs)
    single = [v.detach().float().requires_grad_() for v in inputs]
    found = outcome(ssd.ssd_torch, single)
    y, exact = found[0][:, 30:].double(), right[0][:, 30:]
    assert (y - exact).abs().max() < 2e-6 * exact.abs().max()


@pytest.mark.parametrize("way", ["scan", "ssd"])
def test_strided_inputs(way: str) -> None:
    """Views as they come out of splits and transposes."""
    fast, slow = (scan_torch, scan_reference) if way == "scan" else (ssd.ssd_torch, ssd.ssd_reference)
    inputs = scan_inputs(3, 40, 5, 7) if way == "scan" else ssd_inputs(3, 40, (4, 3, 2, 5))
    strided = []
    for v in inputs:
        wide = torch.stack([v.detach(), torch.full_like(v, torch.nan)], dim=-1).transpose(0, -2).contiguous()
        strided.append(wide.transpose(0, -2)[..., 0].requires_grad_())
    assert sum(not v.is_contiguous() for v in strided) >= 5
    assert_agree(outcome(fast, strided), outcome(slow, inputs), 1e-12)


@pytest.mark.parametrize("way", ["scan", "ssd"])
def test_bfloat16_is_summed_up_in_float32(way: str) -> None:
    """The result is the float32 one, rounded once."""
    fast = scan_torch if way == "scan" else ssd.ssd_torch
    inputs = scan_inputs(2, 50, 3, 4) if way == "scan" else ssd_inputs(2, 50, (2, 3, 1, 4))
    x, dt, A, B, C, state = (v.detach().float() for v in inputs)
    x, B, C = (v.bfloat16() for v in (x, B, C))
    y, last = fast(x, dt, A, B, C, state)
    exact, exact_last = fast(x.float(), dt, A, B.float(), C.float(), state)
    assert y.dtype == torch.bfloat16
    assert last.dtype == torch.float32
    torch.testing.assert_close(y, exact.bfloat16(), atol=0, rtol=0)
    torch.testing.assert_close(last, exact_last, atol=0, rtol=0)


def test_the_chunked_scan_keeps_the_states_between_chunks_only() -> None:
    """At 256 steps: 32 of the 256 states, beside its inputs."""
    inputs = scan_inputs(16, 256, 64, 16, dtype=torch.float32)
    kept: dict[int, int] = {}

    def note(v: Tensor) -> Tensor:
        kept[v.untyped_storage().data_ptr()] = v.untyped_storage().nbytes()
        return v

    with torch.autograd.graph.saved_tensors_hooks(note, lambda v: v):
        scan_torch(*inputs)
    states = 16 * 256 * 64 * 16 * 4
    given = sum(v.nbytes for v in inputs[:5])
    assert given <= sum(kept.values()) <= given + states // 8
