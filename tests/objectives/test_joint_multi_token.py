"""Several tokens jointly, against attention in loops; and that all goes through one state."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lookahead.contracts import Objective, Task
from lookahead.objectives import JointMultiToken

Build = Callable[..., tuple[Task, Objective]]

TASK = {"name": "path_star", "degree": 2, "path_length": 5, "num_nodes": 12}


def joint(build: Build, sharp: bool = False, **options: Any) -> tuple[Task, JointMultiToken]:
    """With large random weights, if sharp, so that everything has an effect."""
    task, objective = build({"name": "joint_multi_token", **options}, task=TASK)
    if sharp:
        generator = torch.Generator().manual_seed(0)
        for parameter in objective.parameters():
            parameter.data.normal_(generator=generator)
    return task, objective  # type: ignore[return-value]


def norm_by_hand(x: Tensor) -> Tensor:
    """A layer norm without gain and shift, with torch's epsilon."""
    return (x - x.mean()) / (x.var(correction=0) + 1e-5).sqrt()


def fetched(objective: JointMultiToken, state: Tensor, tokens: list[int]) -> Tensor:
    """Logits [V] of the token behind the last one, from a hidden state [D] and the tokens behind it."""
    fetch, model = objective.fetch, objective.model
    h = model.norm(state)
    z = [
        norm_by_hand(model.embed(torch.tensor(token)) + fetch.scale * h) * fetch.norm.weight + fetch.norm.bias
        for token in tokens
    ]
    width, size, k = len(h), len(h) // fetch.heads, len(tokens) - 1
    mixed = []
    for head in range(fetch.heads):
        rows = slice(head * size, (head + 1) * size)
        q = fetch.query_key.weight[:width][rows] @ z[k]
        scores = [
            q @ (fetch.query_key.weight[width:][rows] @ z[j]) / math.sqrt(size) + fetch.closeness[head, k, j]
            for j in range(k + 1)
        ]
        weights = torch.stack(scores).softmax(dim=0)
        mixed.append(sum(weights[j] * (fetch.value.weight[rows] @ z[j]) for j in range(k + 1)))
    found = fetch.out.weight @ torch.cat(mixed)  # type: ignore[arg-type]
    if k:
        found = found + h
    return model.output @ objective.norm(found)


@pytest.mark.parametrize("weighting", ["sum", "mean"])
def test_the_loss_is_that_of_loops(weighting: str, build: Build) -> None:
    task, objective = joint(build, sharp=True, tokens=4, weighting=weighting)
    prompts, answers = task.sample("train", torch.arange(3))
    hidden = objective.model(torch.cat([prompts, answers[:, :-1]], dim=1))[:, task.prompt_length - 1 :]
    means = []
    for k in range(4):
        losses = []
        for row, answer in enumerate(answers.tolist()):
            read = [int(prompts[row, -1]), *answer]
            for i in range(task.answer_length - k):
                logits = fetched(objective, hidden[row, i], read[i : i + k + 1])
                losses.append(-logits.log_softmax(dim=-1)[answer[i + k]])
        means.append(torch.stack(losses).mean())
    loss = objective(prompts, answers)
    expected = means[0] + sum(means[1:]) * (1 if weighting == "sum" else 1 / 3)
    assert list(loss.parts) == ["token 2", "token 3", "token 4"]
    for part, mean in zip(loss.parts.values(), means[1:], strict=True):
        torch.testing.assert_close(part.double(), mean, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(loss.tokens.mean().double(), means[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(loss.total.double(), expected, atol=1e-5, rtol=1e-5)


def test_what_is_predicted_from_a_state_depends_on_no_other(build: Build) -> None:
    """Nor on a token that comes after the one that is asked for."""
    _, objective = joint(build, sharp=True, tokens=3)
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(2, 5, 16, generator=generator, dtype=torch.float64)
    tokens = torch.randint(0, 12, (2, 5, 3), generator=generator)
    before = objective.read(hidden, tokens)
    for place in range(5):
        changed = hidden.clone()
        changed[:, place] += 1
        same = (objective.read(changed, tokens) == before).flatten(2).all(dim=2).all(dim=0)
        assert same.tolist() == [other != place for other in range(5)]
    for k in range(3):
        changed = tokens.clone()
        changed[:, :, k] = (changed[:, :, k] + 1) % 12
        same = (objective.read(hidden, changed) == before).all(dim=3).flatten(0, 1).all(dim=0)
        assert same.tolist() == [other < k for other in range(3)]


def test_what_stands_beyond_the_answer_reaches_no_loss(build: Build) -> None:
    task, objective = joint(build, sharp=True, tokens=4)
    prompts, answers = task.sample("train", torch.arange(6))
    before = objective(prompts, answers)
    places = torch.arange(5)[:, None] + torch.arange(4)
    objective.seen = torch.where(places > 4, 0, objective.seen)
    after = objective(prompts, answers)
    assert torch.equal(before.total, after.total)


def answer_by_hand(objective: JointMultiToken, prompts: Tensor, given: Tensor) -> Tensor:
    """Greedy, one full forward pass a token."""
    answers = given
    while answers.shape[1] < objective.answer_length:
        read = torch.cat([prompts, answers], dim=1)
        hidden = objective.model(read)[:, -1]
        rows = [fetched(objective, h, [int(row[-1])]) for h, row in zip(hidden, read, strict=True)]
        answers = torch.cat([answers, torch.stack(rows).argmax(dim=-1, keepdim=True)], dim=1)
    return answers


@pytest.mark.parametrize("known", [0, 1, 3, 5])
def test_answers_are_those_of_a_naive_reference(known: int, build: Build) -> None:
    task, objective = joint(build, sharp=True, tokens=2)
    prompts, answers = task.sample("test", torch.arange(10))
    given = task.decoys(prompts, answers)[:, :known]
    found = objective.answer(prompts, given) if known else objective.answer(prompts)
    assert torch.equal(found, answer_by_hand(objective, prompts, given))
    assert len(found.unique(dim=0)) > 2
    own = objective.answer(prompts)
    assert torch.equal(objective.answer(prompts, own[:, :known]), own)
    assert torch.equal(objective.answer(objective.prefill(prompts), given), found)


def test_predictions_are_what_it_answers_with_the_teachers_tokens(build: Build) -> None:
    task, objective = joint(build, sharp=True, tokens=3)
    prompts, answers = task.sample("test", torch.arange(10))
    predictions = objective(prompts, answers).predictions
    for place in range(5):
        given = answers[:, :place] if place else None
        assert torch.equal(predictions[:, place], objective.answer(prompts, given)[:, place])


def test_answers_do_not_depend_on_what_only_joint_prediction_reads(build: Build) -> None:
    """Queries, keys and the closeness of places: alone, a token can look at nothing else."""
    task, objective = joint(build, sharp=True, tokens=3)
    prompts, _ = task.sample("test", torch.arange(10))
    before = objective.answer(prompts)
    for parameter in (objective.fetch.query_key.weight, objective.fetch.closeness):
        parameter.data.normal_()
    assert torch.equal(objective.answer(prompts), before)
