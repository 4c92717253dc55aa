"""The order of what comes, against its formula in loops."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from lookahead.contracts import Objective, Task
from lookahead.objectives import TokenOrder

Build = Callable[..., tuple[Task, Objective]]

TASK = {"name": "path_star", "degree": 2, "path_length": 5, "num_nodes": 12}


def token_order(build: Build, **options: Any) -> tuple[Task, TokenOrder]:
    return build({"name": "token_order", **options}, task=TASK)  # type: ignore[return-value]


def shares_by_hand(answer: list[int], place: int, temperature: float) -> dict[int, float]:
    """q of every token that is to come."""
    distances: dict[int, int] = {}
    for distance, token in enumerate(answer[place:]):
        distances.setdefault(token, distance)
    total = sum(math.exp(-distance / temperature) for distance in distances.values())
    return {token: math.exp(-distance / temperature) / total for token, distance in distances.items()}


@pytest.mark.parametrize("temperature", [1.0, 0.3, 5.0])
def test_the_loss_is_that_of_loops(temperature: float, build: Build) -> None:
    """On answers with tokens that come again, too."""
    task, objective = token_order(build, temperature=temperature)
    prompts, answers = task.sample("train", torch.arange(6))
    answers[0] = torch.tensor([3, 4, 3, 4, 4])
    answers[1] = 7
    hidden = objective.model(torch.cat([prompts, answers[:, :-1]], dim=1))[:, task.prompt_length - 1 :]
    scores = objective.model.norm(hidden) @ objective.second_embedding.weight.T
    logits = objective.model.unembed(hidden)
    order = plain = torch.tensor(0.0, dtype=torch.float64)
    for row, answer in enumerate(answers.tolist()):
        for i, token in enumerate(answer):
            plain = plain - logits[row, i].log_softmax(dim=-1)[token]
            logs = scores[row, i].log_softmax(dim=-1)
            order = order - sum(q * logs[v] for v, q in shares_by_hand(answer, i, temperature).items())
    loss = objective(prompts, answers)
    torch.testing.assert_close(loss.parts["order"].double(), order / answers.numel(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(loss.total.double(), (plain + order) / answers.numel(), atol=1e-5, rtol=1e-5)


def test_shares_fall_by_e_from_token_to_token(build: Build) -> None:
    _, objective = token_order(build)
    shares = objective.shares(torch.tensor([[5, 1, 9, 3, 2]]))[0]
    torch.testing.assert_close(shares[0, 1:] / shares[0, :-1], torch.full((4,), math.exp(-1)))
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(5))
    assert torch.equal(shares, shares.triu())


def test_at_its_ends_it_is_the_next_token_or_a_bag(build: Build) -> None:
    answers = torch.tensor([[5, 1, 9, 3, 2]])
    cold, hot = (token_order(build, temperature=t)[1].shares(answers)[0] for t in (1e-3, 1e6))
    assert torch.equal(cold, torch.eye(5))
    torch.testing.assert_close(hot, torch.ones(5, 5).triu() / torch.arange(5, 0, -1)[:, None], atol=1e-5, rtol=0)


def test_what_does_not_count_is_not_to_come(build: Build) -> None:
    _, objective = token_order(build)
    mask = torch.tensor([[True, True, True, False, False]])
    shares = objective.shares(torch.tensor([[5, 1, 9, 0, 0]]), mask)[0]
    expected = [shares_by_hand([5, 1, 9], i, 1.0) for i in range(3)]
    for i, row in enumerate(expected):
        torch.testing.assert_close(shares[i, :3], torch.tensor([row.get(token, 0.0) for token in (5, 1, 9)]))
    assert not shares[:, 3:].any()
    assert shares.isfinite().all()
