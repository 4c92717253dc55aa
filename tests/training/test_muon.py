"""Muon: torch's, only sooner."""

import pytest
import torch
from torch import nn

from lookahead.training.muon import Muon, orthogonal

SHAPES = [(24, 8), (8, 8), (32, 8), (8, 32), (24, 8)]


def matrices(seed: int = 0) -> list[nn.Parameter]:
    torch.manual_seed(seed)
    return [nn.Parameter(0.1 * torch.randn(shape)) for shape in SHAPES]


def descend(optimizer: torch.optim.Optimizer, weights: list[nn.Parameter], steps: int) -> None:
    """Steps with gradients that are the same for all."""
    torch.manual_seed(1)
    for _ in range(steps):
        for weight in weights:
            weight.grad = torch.randn(weight.shape[-2:]).expand(weight.shape).clone()
        optimizer.step()


@pytest.mark.parametrize("momentum", [0.0, 0.95])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_it_steps_as_torchs_does(weight_decay: float, momentum: float) -> None:
    """Torch's multiplies in bfloat16, so to 8 bits of what was moved: 2 %."""
    before, ours, theirs = matrices(), matrices(), matrices()
    options = {"lr": 0.02, "weight_decay": weight_decay, "momentum": momentum}
    descend(Muon(ours, **options), ours, 10)
    descend(torch.optim.Muon(theirs, **options), theirs, 10)
    for old, one, other in zip(before, ours, theirs, strict=True):
        moved = (other - old).norm()
        assert moved > 0.1
        assert (one - other).norm() < 0.02 * moved


def test_a_stack_of_matrices_is_stepped_as_each_alone() -> None:
    alone = matrices()[0]
    stack = nn.Parameter(torch.stack([alone.detach()] * 3))
    descend(Muon([alone], lr=0.02, weight_decay=0.1), [alone], 5)
    descend(Muon([stack], lr=0.02, weight_decay=0.1), [stack], 5)
    torch.testing.assert_close(stack.detach(), alone.detach().expand(3, -1, -1))


@pytest.mark.parametrize("shape", [(8, 8), (4, 30), (30, 4), (3, 5, 7), (1, 9)], ids=str)
def test_the_step_is_nearly_orthogonal(shape: tuple[int, ...]) -> None:
    """Singular values near 1, singular vectors kept, whatever the size of the gradient."""
    torch.manual_seed(0)
    given = torch.randn(shape)
    found = orthogonal(given)
    values = torch.linalg.svdvals(found)
    assert 0.6 < values.min() <= values.max() < 1.25
    u, _, v = torch.linalg.svd(given, full_matrices=False)
    inner = u.mT @ found @ v.mT
    assert (inner - torch.diag_embed(inner.diagonal(dim1=-2, dim2=-1))).abs().max() < 1e-4
    torch.testing.assert_close(orthogonal(1e-4 * given), found, rtol=1e-3, atol=1e-3)


def test_no_gradient_no_step_and_a_gradient_of_zero_is_no_accident() -> None:
    first, second = matrices()[:2]
    old = first.detach().clone(), second.detach().clone()
    second.grad = torch.zeros_like(second)
    Muon([first, second], lr=0.1).step()
    assert torch.equal(first, old[0])
    assert torch.equal(second, old[1])
