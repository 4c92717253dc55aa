"""The same graph, asked about in another way: it tells who knows the graph from who has learnt its answer by heart.

The package does not import it: its code is no part of what made a path-star result.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lookahead.tasks.path_star.task import PathStar


def reordered(task: PathStar, prompts: Tensor, answers: Tensor, seed: int = 0) -> Tensor:
    """The prompts [B, P] of the same graphs and questions, with their edges in an order drawn anew.

    Args:
        prompts: [B, P].
        answers: [B, A].
        seed: of the orders; the same one gives the same prompts.
    """
    sources, targets = task.edges(prompts)
    generator = torch.Generator(prompts.device).manual_seed(seed)
    order = torch.rand(sources.shape, generator=generator, device=prompts.device).argsort(dim=1)
    return task.prompt_tokens(sources.gather(1, order).T, targets.gather(1, order).T, answers.T).T


def for_another_goal(task: PathStar, prompts: Tensor, answers: Tensor) -> tuple[Tensor, Tensor]:
    """Prompts [B, P] with the same edges in the same order that ask for the end of another arm, and answers [B, A].

    The other arm is that of `PathStar.decoys`: of all tokens of a prompt only the goal changes.

    Args:
        prompts: [B, P].
        answers: [B, A].
    """
    others = task.decoys(prompts, answers)
    sources, targets = task.edges(prompts)
    return task.prompt_tokens(sources.T, targets.T, others.T).T, others
