"""Muon (Jordan et al., 2024): the momentum of a matrix is made orthogonal before it is a step.

torch.optim.Muon with the same steps, but matrices of one shape at once, and on a CPU in float32: its bfloat16 products
took nearly half of a tiny network's training step where the processor has no bfloat16.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic a x + b x^3 + c x^5, which pushes every singular value towards 1, steepest at 0."""
ITERATIONS = 5


def orthogonal(matrices: Tensor) -> Tensor:
    """Each matrix U S V^T with singular values near 1 in place of S, by Newton and Schulz's iteration.

    Args:
        matrices: [..., m, n].

    Returns:
        of the same shape; the singular values lie between about 0.7 and 1.2.
    """
    x = matrices.bfloat16() if matrices.is_cuda else matrices.float()
    if matrices.dtype == torch.float64:
        x = matrices  # for tests that want to see every digit
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)  # no singular value above 1
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return (x.mT if tall else x).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Nesterov momentum made orthogonal, with decoupled weight decay.

    Args:
        matrices: [..., m, n] each; the last two dimensions are one matrix.
        lr: of a matrix that is not taller than wide; a taller one's is larger by sqrt(m / n). A number, or a tensor
            that broadcasts to [..., m, n].
        weight_decay: share of a weight that a step at learning rate 1 takes away.
        momentum: share of the past in the mean of the gradients.
    """

    def __init__(
        self, matrices: Iterable[Tensor], lr: float | Tensor, weight_decay: float = 0.0, momentum: float = 0.95
    ) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step; matrices without a gradient stay."""
        for group in self.param_groups:
            by_shape: dict[tuple[int, ...], list[Tensor]] = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    by_shape.setdefault(tuple(matrix.shape), []).append(matrix)
            for (*_, rows, columns), matrices in by_shape.items():
                rate = group["lr"] * math.sqrt(max(1, rows / columns))
                updates = orthogonal(torch.stack([self._mean(matrix, group["momentum"]) for matrix in matrices]))
                for matrix, update in zip(matrices, updates, strict=True):
                    matrix.mul_(1 - group["lr"] * group["weight_decay"]).sub_(rate * update)

    def _mean(self, matrix: Tensor, momentum: float) -> Tensor:
        """The mean of the gradients, looking one step ahead (Nesterov)."""
        gradient, state = matrix.grad, self.state[matrix]
        assert gradient is not None
        if not state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        mean = state["momentum_buffer"].lerp_(gradient, 1 - momentum)
        return gradient.lerp(mean, momentum)
