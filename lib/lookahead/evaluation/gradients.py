"""How much of a gradient is a direction and how much is noise."""

import torch

from lookahead.contracts import Objective, Split, Task
from lookahead.errors import LookaheadError
from lookahead.machine import device_of


def gradient_signal(objective: Objective, task: Task, split: Split, count: int) -> dict[str, list[float]]:
    """The gradient of each answer token's loss, told apart into signal and noise.

    Two independent halves of the examples give gradients g and h of the same mean loss. Their product
    g.h has the expectation |E g|^2: what a large batch agrees on. A token that is learnt blindly leaves
    none. What remains, (|g|^2 + |h|^2)/2 - g.h, is noise.

    Args:
        count: examples in all, split into two halves.

    Returns:
        `signal` and `noise`: squared norms by position [A], NaN where nothing is taught, and
        `help`: by position, the product of that token's gradient with the decision's (from the other half);
        where it is positive, a step on that token also teaches the decision.

    Raises:
        LookaheadError: fewer than two examples, or a task that the objective was not made for.
    """
    if count < 2:
        raise LookaheadError(f"cannot halve {count} examples: at least 2")
    objective.check(task)
    device = device_of(objective)
    trained = [p for p in objective.parameters() if p.requires_grad]
    halves = []
    for first in (0, count // 2):
        indices = torch.arange(first, first + count // 2, device=device)
        prompts, answers = task.sample(split, indices)
        losses = objective(prompts, answers, noise=objective.noise(("evaluation", split), indices)).tokens.nanmean(
            dim=0
        )
        rows = []
        for loss in losses:
            if loss.isnan():
                rows.append(torch.full((sum(p.numel() for p in trained),), torch.nan, device=device))
                continue
            grads = torch.autograd.grad(loss, trained, retain_graph=True, materialize_grads=True)
            rows.append(torch.cat([g.flatten() for g in grads]))
        halves.append(torch.stack(rows).double())
    g, h = halves
    signal = (g * h).sum(dim=1)
    noise = (g.square().sum(dim=1) + h.square().sum(dim=1)) / 2 - signal
    helps = (g @ h[task.decision] + h @ g[task.decision]) / 2
    return {"signal": signal.tolist(), "noise": noise.tolist(), "help": helps.tolist()}
