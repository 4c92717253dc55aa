"""The same graph, asked about in another way."""

import pytest
import torch
from torch import Tensor

from lookahead.tasks import PathStar
from lookahead.tasks.path_star.asked_again import for_another_goal, reordered

SIZES = pytest.mark.parametrize("task", [PathStar(2, 4, 10), PathStar(5, 3, 20, question_first=True)], ids=str)


def edges(task: PathStar, prompts: Tensor) -> Tensor:
    """Each as one number, [B, E]."""
    sources, targets = task.edges(prompts)
    return sources * task.num_nodes + targets


@SIZES
def test_another_order_is_the_same_graph_and_question(task: PathStar) -> None:
    prompts, answers = task.sample("train", torch.arange(200))
    again = reordered(task, prompts, answers)
    task.check_examples(again, answers)
    before, after = edges(task, prompts), edges(task, again)
    assert before.sort(dim=1).values.equal(after.sort(dim=1).values)
    assert (before != after).any(dim=1).float().mean() > 0.95
    assert again.equal(reordered(task, prompts, answers))
    assert not again.equal(reordered(task, prompts, answers, seed=1))


@SIZES
def test_another_goal_changes_one_token(task: PathStar) -> None:
    prompts, answers = task.sample("train", torch.arange(200))
    asked, others = for_another_goal(task, prompts, answers)
    task.check_examples(asked, others)
    assert (asked != prompts).sum(dim=1).eq(1).all()
    assert others.equal(task.decoys(prompts, answers))
    if task.degree == 2:
        back, first = for_another_goal(task, asked, others)
        assert back.equal(prompts)
        assert first.equal(answers)
