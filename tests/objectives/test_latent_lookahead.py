"""Latent lookahead, against its picture step by step; and who knows what."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lookahead.contracts import Needs, Objective, Task
from lookahead.errors import LookaheadError
from lookahead.objectives import LatentLookahead

Build = Callable[..., tuple[Task, Objective]]

TASK = {"name": "path_star", "degree": 2, "path_length": 5, "num_nodes": 12}


def looking(build: Build, model: Any = None, **options: Any) -> tuple[Task, LatentLookahead]:
    """With large weights, so that answers differ."""
    fields = {} if model is None else {"model": model}
    task, objective = build({"name": "latent_lookahead", **options}, task=TASK, **fields)
    for parameter in objective.parameters():
        parameter.data.mul_(3)
    return task, objective  # type: ignore[return-value]


def step_by_step(objective: LatentLookahead, prompt: Tensor, answer: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Logits of every answer token and of every latent, for one example; each state by a pass of its own."""
    model = objective.model

    def state(inputs: list[Tensor]) -> Tensor:
        return model(torch.stack(inputs)[None])[0, -1]

    inputs = list(model.embed(prompt[None])[0])
    tokens, latents = [], []
    for i, token in enumerate(answer):
        if i == objective.place:
            for _ in range(objective.steps):
                z = state(inputs)
                latents.append(model.unembed(z[None, None])[0, 0])
                inputs = [*inputs, z]
        tokens.append(model.unembed(state(inputs)[None, None])[0, 0])
        inputs = [*inputs, model.embed(token[None, None])[0, 0]]
    return tokens, latents


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"steps": 4, "weight": 0.5}, 1),
        ({"steps": 1}, 1),
        ({"steps": 3, "at": "prompt"}, 0),
        ({"steps": 3, "order": "backward"}, 1),
    ],
)
def test_the_loss_is_that_of_every_step_by_itself(options: Any, place: int, build: Build) -> None:
    task, objective = looking(build, **options)
    assert objective.place == place
    prompts, answers = task.sample("train", torch.arange(4))
    plain, looked, predictions = [], [], []
    for prompt, answer in zip(prompts, answers, strict=True):
        tokens, latents = step_by_step(objective, prompt, answer)
        plain.append([-row.log_softmax(dim=-1)[token].item() for row, token in zip(tokens, answer, strict=True)])
        predictions.append([int(row.argmax()) for row in tokens])
        asked = answer[place : place + options["steps"]] if "order" not in options else answer[[4, 3, 2]]
        looked += [-row.log_softmax(dim=-1)[token] for row, token in zip(latents, asked, strict=True)]
    loss = objective(prompts, answers)
    torch.testing.assert_close(loss.tokens, torch.tensor(plain, dtype=torch.float64), atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(loss.parts["latents"], torch.stack(looked).mean(), atol=1e-9, rtol=1e-9)
    total = torch.tensor(plain, dtype=torch.float64).mean() + options.get("weight", 1) * torch.stack(looked).mean()
    torch.testing.assert_close(loss.total, total, atol=1e-9, rtol=1e-9)
    assert loss.predictions.tolist() == predictions


def test_latents_and_the_decision_know_nothing_of_what_is_asked(build: Build) -> None:
    """Nor does any token know itself or what comes after it."""
    task, objective = looking(build, steps=4)
    prompts, answers = task.sample("train", torch.arange(4))
    read: list[Tensor] = []
    model = objective.model
    forward = model.forward
    model.forward = lambda inputs, **more: read.append(inputs) or forward(inputs, **more)  # type: ignore[method-assign]
    before = objective(prompts, answers)
    for place in range(1, 5):
        changed = answers.clone()
        changed[:, place:] = (changed[:, place:] + 1) % 12
        after = objective(prompts, changed)
        assert torch.equal(after.predictions[:, : place + 1], before.predictions[:, : place + 1])
        assert torch.equal(after.tokens[:, :place], before.tokens[:, :place])
    whole = [inputs for inputs in read if inputs.shape[1] == task.prompt_length + 4 + 4]
    assert len(whole) == 5
    behind = task.prompt_length + 1
    assert all(torch.equal(inputs[:, : behind + 4], whole[0][:, : behind + 4]) for inputs in whole), "a_0 and latents"
    model.forward = forward  # type: ignore[method-assign]
    assert not torch.equal(objective(prompts.flip(0), answers).predictions, before.predictions)


@pytest.mark.parametrize("model", [None, "mamba-tiny"])
@pytest.mark.parametrize("at", ["prompt", "decision"])
def test_answers_are_those_of_every_step_by_itself(at: str, model: Any, build: Build) -> None:
    """Also from given tokens on, before the latents and behind them."""
    task, objective = looking(build, model, steps=3, at=at)
    prompts, answers = task.sample("test", torch.arange(8))
    decoys = task.decoys(prompts, answers)
    for known in (0, 1, 2, 5):
        given = decoys[:, :known]
        rows = []
        for prompt, start in zip(prompts, given, strict=True):
            answer = torch.cat([start, answers[0, known:]])
            for i in range(known, 5):
                answer[i] = step_by_step(objective, prompt, answer)[0][i].argmax()
            rows.append(answer)
        found = objective.answer(prompts, given) if known else objective.answer(prompts)
        assert torch.equal(found, torch.stack(rows))
    assert len(objective.answer(prompts).unique(dim=0)) > 2
    predictions = objective(prompts, answers).predictions
    for place in range(5):
        given = answers[:, :place] if place else None
        assert torch.equal(predictions[:, place], objective.answer(prompts, given)[:, place])


def test_gradients_go_through_all_steps(build: Build) -> None:
    """The last latent alone teaches what the first one read."""
    task, objective = looking(build, steps=4)
    prompts, answers = task.sample("train", torch.arange(4))
    inputs: list[Tensor] = []
    forward = objective.model.forward

    def noted(given: Tensor, **more: Any) -> Tensor:
        hidden = forward(given, **more)
        hidden.retain_grad()
        inputs.append(hidden)
        return hidden

    objective.model.forward = noted  # type: ignore[method-assign]
    objective(prompts, answers).tokens[:, -1].sum().backward()
    assert [tuple(hidden.shape[:2]) for hidden in inputs] == [(4, 1)] * 4 + [(4, 9)]
    assert all(hidden.grad is not None and hidden.grad.any() for hidden in inputs)


def test_needs_room_for_the_latents() -> None:
    assert LatentLookahead.needs(15, 4, steps=3) == Needs(longest=21)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "objective 'latent_lookahead' needs steps"),
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"steps": 5}, "from that state 4 tokens are to come: it cannot look 5 steps ahead"),
        ({"steps": 6, "at": "prompt"}, "from that state 5 tokens are to come: it cannot look 6 steps ahead"),
        ({"steps": 1, "at": "goal"}, "at must be one of prompt, decision, not 'goal'"),
        ({"steps": 1, "weight": 0}, "weight must be above 0, not 0"),
    ],
)
def test_bad_options_are_refused(options: Any, message: str, build: Build) -> None:
    with pytest.raises(LookaheadError, match=message):
        build({"name": "latent_lookahead", **options}, task=TASK)
