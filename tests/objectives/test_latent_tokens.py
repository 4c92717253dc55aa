"""Latent tokens: one sequence with a mask, against a pass of its own for everything that was known."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lookahead.contracts import Needs, Objective, Task
from lookahead.errors import LookaheadError
from lookahead.objectives import LatentTokens

Build = Callable[..., tuple[Task, Objective]]

TASK = {"name": "path_star", "degree": 2, "path_length": 5, "num_nodes": 12}


def slotted(build: Build, **options: Any) -> tuple[Task, LatentTokens]:
    """With large weights, so that answers differ."""
    task, objective = build({"name": "latent_tokens", **options}, task=TASK)
    for parameter in objective.parameters():
        parameter.data.mul_(3)
    return task, objective  # type: ignore[return-value]


def by_itself(objective: LatentTokens, prompt: Tensor, known: Tensor) -> Tensor:
    """Logits of the slots behind a prompt and the known tokens, [slots, V], in a sequence of their own."""
    slots = min(objective.tokens, 5 - len(known))
    read = torch.cat([prompt, known, torch.full((slots,), objective.dummy)])
    before = len(read) - slots
    seen = torch.tensor([[column <= row or row >= before for column in range(len(read))] for row in range(len(read))])
    return objective.model.unembed(objective.model(read[None], attention=seen))[0, before:]


@pytest.mark.parametrize(("tokens", "weighting"), [(1, "sum"), (3, "sum"), (3, "mean"), (5, "sum")])
def test_the_loss_is_that_of_passes_by_themselves(tokens: int, weighting: str, build: Build) -> None:
    task, objective = slotted(build, tokens=tokens, weighting=weighting)
    prompts, answers = task.sample("train", torch.arange(4))
    losses: dict[int, list[Tensor]] = {k: [] for k in range(tokens)}
    predictions = []
    for prompt, answer in zip(prompts, answers, strict=True):
        for i in range(5):
            logits = by_itself(objective, prompt, answer[:i])
            predictions.append(int(logits[0].argmax()))
            for k, row in enumerate(logits):
                losses[k].append(-row.log_softmax(dim=-1)[answer[i + k]])
    means = [torch.stack(losses[k]).mean() for k in range(tokens)]
    loss = objective(prompts, answers)
    torch.testing.assert_close(loss.tokens, torch.stack(losses[0]).view(4, 5), atol=1e-8, rtol=1e-8)
    assert loss.predictions.flatten().tolist() == predictions
    assert list(loss.parts) == [f"slot {k + 1}" for k in range(1, tokens)]
    for part, mean in zip(loss.parts.values(), means[1:], strict=True):
        torch.testing.assert_close(part, mean, atol=1e-8, rtol=1e-8)
    weight = 1 if weighting == "sum" else 1 / (tokens - 1)
    torch.testing.assert_close(loss.total, means[0] + weight * sum(means[1:]), atol=1e-8, rtol=1e-8)


def test_one_slot_is_teacher_forcing_with_one_more_token(build: Build) -> None:
    """No mask is needed then: each token so far, and a dummy behind them."""
    task, objective = slotted(build, tokens=1)
    prompts, answers = task.sample("train", torch.arange(4))
    dummy = torch.full((4, 1), objective.dummy)
    tokens = [
        torch.nn.functional.cross_entropy(
            objective.model.unembed(objective.model(torch.cat([prompts, answers[:, :i], dummy], dim=1)))[:, -1],
            answers[:, i],
            reduction="none",
        )
        for i in range(5)
    ]
    torch.testing.assert_close(objective(prompts, answers).tokens, torch.stack(tokens, dim=1), atol=1e-8, rtol=1e-8)


def test_no_slot_knows_what_it_is_asked_for(build: Build) -> None:
    """Of a token changed in the answer know only slots that stand behind it."""
    task, objective = slotted(build, tokens=3)
    prompts, answers = task.sample("train", torch.arange(4))
    seen: list[Tensor] = []
    unembed = objective.model.unembed
    objective.model.unembed = lambda hidden: seen.append(hidden) or unembed(hidden)  # type: ignore[method-assign]
    objective(prompts, answers)
    for place in range(5):
        changed = answers.clone()
        changed[:, place] = (changed[:, place] + 1) % 12
        objective(prompts, changed)
        same = (seen[-1] == seen[0]).all(dim=2).all(dim=0).split([5, 4, 3])
        for slots in same:
            assert slots.tolist() == [i <= place or place == 4 for i in range(len(slots))]


def test_the_first_slot_sees_the_others(build: Build) -> None:
    """Else the slots would be no help in answering."""
    task, three = slotted(build, tokens=3)
    _, one = slotted(build, tokens=1)
    prompts, answers = task.sample("train", torch.arange(4))
    same = (three(prompts, answers).tokens == one(prompts, answers).tokens).all(dim=0)
    assert same.tolist() == [False] * 5 or same.tolist() == [False] * 4 + [True], "at the last token both have one"
    torch.testing.assert_close(three(prompts, answers).tokens[:, 4], one(prompts, answers).tokens[:, 4])


@pytest.mark.parametrize("tokens", [1, 3, 5])
def test_answers_are_those_of_passes_by_themselves(tokens: int, build: Build) -> None:
    task, objective = slotted(build, tokens=tokens)
    prompts, answers = task.sample("test", torch.arange(10))
    decoys = task.decoys(prompts, answers)
    for known in (0, 2, 5):
        rows = []
        for prompt, start in zip(prompts, decoys[:, :known], strict=True):
            while len(start) < 5:
                start = torch.cat([start, by_itself(objective, prompt, start)[0].argmax()[None]])
            rows.append(start)
        found = objective.answer(prompts, decoys[:, :known]) if known else objective.answer(prompts)
        assert torch.equal(found, torch.stack(rows))
    assert len(objective.answer(prompts).unique(dim=0)) > 2
    with pytest.raises(LookaheadError, match="6 forced tokens, but an answer has 5"):
        objective.answer(prompts, torch.cat([answers, answers[:, :1]], dim=1))


def test_needs_a_mask_that_a_mamba_cannot_have(build: Build) -> None:
    assert LatentTokens.needs(15, 4, tokens=2) == Needs(longest=19, extra_tokens=1, attention="masked")
    with pytest.raises(LookaheadError, match="latent_tokens needs masked attention, which a mamba cannot do"):
        build({"name": "latent_tokens", "tokens": 2}, model="mamba-tiny")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "objective 'latent_tokens' needs tokens"),
        ({"tokens": 0}, "tokens must be at least 1, not 0"),
        ({"tokens": 6}, "an answer has 5 tokens: there cannot be 6 slots"),
        ({"tokens": 2, "weighting": "max"}, "weighting must be one of sum, mean, not 'max'"),
    ],
)
def test_bad_options_are_refused(options: Any, message: str, build: Build) -> None:
    with pytest.raises(LookaheadError, match=message):
        build({"name": "latent_tokens", **options}, task=TASK)
