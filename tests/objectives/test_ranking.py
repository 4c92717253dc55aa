"""Ranking into the future, against its formula in loops."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from lookahead.contracts import Objective, Task
from lookahead.objectives import Ranking

Build = Callable[..., tuple[Task, Objective]]

TASK = {"name": "path_star", "degree": 2, "path_length": 5, "num_nodes": 12}
VOCABULARY = 12 + 3 + 4


def ranking(build: Build, **options: Any) -> tuple[Task, Ranking]:
    task, objective = build({"name": "ranking", **options}, task=TASK)
    for parameter in objective.parameters():
        parameter.data.mul_(3)  # scores of which some are far enough apart
    return task, objective  # type: ignore[return-value]


def by_hand(scores: Any, answer: list[int], place: int) -> tuple[float, float]:
    """The two sums at one state: of what is to come in its order, and of that above all else."""
    coming: list[int] = []
    for token in answer[place:]:
        if token not in coming:
            coming.append(token)
    order = rest = 0.0
    for j, token in enumerate(coming):
        for later in coming[j + 1 :]:
            order += max(0.0, 1 - (scores[token] - scores[later]).item())
        for other in set(range(VOCABULARY)) - set(coming):
            rest += max(0.0, 1 - (scores[token] - scores[other]).item())
    return order, rest


@pytest.mark.parametrize("weight", [1.0, 0.25])
def test_the_loss_is_that_of_loops(weight: float, build: Build) -> None:
    """On answers with tokens that come again, too."""
    task, objective = ranking(build, weight=weight)
    prompts, answers = task.sample("train", torch.arange(6))
    answers[0] = torch.tensor([3, 4, 3, 4, 4])
    answers[1] = 7
    hidden = objective.model(torch.cat([prompts, answers[:, :-1]], dim=1))[:, task.prompt_length - 1 :]
    scores = objective.model.norm(hidden) @ objective.second_embedding.weight.T
    logits = objective.model.unembed(hidden)
    order = rest = plain = 0.0
    for row, answer in enumerate(answers.tolist()):
        for i, token in enumerate(answer):
            plain -= logits[row, i].log_softmax(dim=-1)[token].item()
            one, other = by_hand(scores[row, i], answer, i)
            order, rest = order + one, rest + other
    loss = objective(prompts, answers)
    assert loss.parts["nearer above later"].item() == pytest.approx(order / 30, rel=1e-9)
    assert loss.parts["coming above rest"].item() == pytest.approx(rest / 30, rel=1e-9)
    assert loss.total.item() == pytest.approx((plain + weight * (order + rest)) / 30, rel=1e-6)


def test_scores_that_keep_their_distance_cost_nothing(build: Build) -> None:
    """By 1 exactly; a little less costs what it lacks, at every state that sees both tokens come."""
    _, objective = ranking(build)
    answers = torch.tensor([[5, 1, 9, 3, 2]])
    scores = torch.zeros(1, 5, VOCABULARY).double()
    for i in range(5):
        for j in range(i, 5):
            scores[0, i, answers[0, j]] = 5 - j
    losses = objective.losses(scores, answers)
    assert all(not value.any() for value in losses.values())
    scores[:, :, 9] -= 0.25
    losses = objective.losses(scores, answers)
    expected = torch.tensor([[0.25, 0.25, 0.25, 0, 0]]).double()
    torch.testing.assert_close(losses["nearer above later"], expected)  # above the token after it
    assert not losses["coming above rest"].any()


def test_what_was_read_does_not_come_any_more(build: Build) -> None:
    _, objective = ranking(build)
    answers = torch.tensor([[5, 1, 9, 3, 2]])
    scores = torch.zeros(1, 5, VOCABULARY).double()
    counted = {name: (value > 0) * value for name, value in objective.losses(scores, answers).items()}
    assert counted["nearer above later"].tolist() == [[10, 6, 3, 1, 0]]
    assert counted["coming above rest"].tolist() == [[n * (VOCABULARY - n) for n in (5, 4, 3, 2, 1)]]


def test_what_does_not_count_is_not_to_come(build: Build) -> None:
    """Filling ranks with the rest, wherever it stands."""
    _, objective = ranking(build)
    answers, mask = torch.tensor([[5, 1, 9, 0, 0]]), torch.tensor([[True, True, True, False, False]])
    scores = torch.randn(1, 5, VOCABULARY, generator=torch.Generator().manual_seed(0)).double()
    losses = objective.losses(scores, answers, mask)
    for i in range(3):
        order, rest = by_hand(scores[0, i], [5, 1, 9], i)
        assert losses["nearer above later"][0, i].item() == pytest.approx(order)
        assert losses["coming above rest"][0, i].item() == pytest.approx(rest)
