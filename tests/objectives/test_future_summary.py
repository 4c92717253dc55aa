"""The summary of the future, against its formula in loops."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from lookahead.contracts import Objective, Task
from lookahead.objectives import FutureSummary

Build = Callable[..., tuple[Task, Objective]]

TASK = {"name": "path_star", "degree": 2, "path_length": 5, "num_nodes": 12}


def future_summary(build: Build, **options: Any) -> tuple[Task, FutureSummary]:
    return build({"name": "future_summary", **options}, task=TASK)  # type: ignore[return-value]


@pytest.mark.parametrize("weight", [1.0, 0.2])
def test_the_loss_is_that_of_loops(weight: float, build: Build) -> None:
    """On an answer with tokens that come again, too."""
    task, objective = future_summary(build, weight=weight)
    prompts, answers = task.sample("train", torch.arange(6))
    answers[0] = torch.tensor([3, 4, 3, 4, 4])
    hidden = objective.model(torch.cat([prompts, answers[:, :-1]], dim=1))[:, task.prompt_length - 1 :]
    scores = objective.model.norm(hidden) @ objective.second_embedding.weight.T
    logits = objective.model.unembed(hidden)
    summary = plain = torch.tensor(0.0, dtype=torch.float64)
    for row, answer in enumerate(answers.tolist()):
        for i, token in enumerate(answer):
            plain = plain - logits[row, i].log_softmax(dim=-1)[token]
            for v in range(objective.model.vocab_size):
                comes = v in answer[i + 1 :]
                chance = scores[row, i, v].sigmoid()
                summary = summary - (chance if comes else 1 - chance).log()
    loss = objective(prompts, answers)
    torch.testing.assert_close(loss.parts["summary"].double(), summary / answers.numel(), atol=1e-5, rtol=1e-5)
    expected = (plain + weight * summary) / answers.numel()
    torch.testing.assert_close(loss.total.double(), expected, atol=1e-5, rtol=1e-5)


def test_the_next_token_is_in_no_bag_and_the_last_bag_is_empty(build: Build) -> None:
    task, objective = future_summary(build)
    _, answers = task.sample("train", torch.arange(6))
    bags = objective.bags(answers)
    assert not bags.gather(2, answers[..., None]).any(), "no node comes twice"
    assert bags.sum(dim=2).tolist() == [[4, 3, 2, 1, 0]] * 6


def test_what_does_not_count_is_not_to_come(build: Build) -> None:
    _, objective = future_summary(build)
    answers, mask = torch.tensor([[5, 1, 9, 0, 0]]), torch.tensor([[True, True, True, False, False]])
    bags = objective.bags(answers, mask)[0]
    assert [row.nonzero()[:, 0].tolist() for row in bags] == [[1, 9], [9], [], [], []]
