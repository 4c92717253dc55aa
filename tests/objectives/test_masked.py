"""Hidden tokens, against the formulas in loops; and in which order an answer is filled in."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lookahead.contracts import Needs, Objective, Task
from lookahead.objectives import Masked

Build = Callable[..., tuple[Task, Objective]]

TASK = {"name": "path_star", "degree": 2, "path_length": 5, "num_nodes": 12}
BOTH = pytest.mark.parametrize("attention", ["full", "causal"])


def masked(build: Build, **options: Any) -> tuple[Task, Masked]:
    """With large random weights, so that everything has an effect."""
    task, objective = build({"name": "masked", **options}, task=TASK)
    generator = torch.Generator().manual_seed(0)
    for parameter in objective.parameters():
        parameter.data.normal_(generator=generator)
    return task, objective  # type: ignore[return-value]


def logs_by_hand(objective: Masked, prompt: Tensor, shown: list[int | None]) -> Tensor:
    """log p of every token at every place of the answer, [A, V]; None is hidden."""
    tokens = [objective.dummy if token is None else token for token in shown]
    hidden = objective.model(torch.cat([prompt, torch.tensor(tokens)])[None], attention=objective.attention)
    return objective.model.unembed(hidden)[0, len(prompt) :].log_softmax(dim=-1)


def drawn(objective: Objective, count: int, step: int = 0) -> Tensor:
    noise = objective.noise(("a test", step), torch.arange(count))
    assert noise is not None
    return noise


@BOTH
@pytest.mark.parametrize("focus", [0.0, 0.5, 1.0])
def test_a_uniform_number_is_hidden(focus: float, attention: str, build: Build) -> None:
    """The loss is the mean over the hidden tokens: those of the smallest noise."""
    task, objective = masked(build, focus=focus, attention=attention)
    prompts, answers = task.sample("train", torch.arange(30))
    noise, total, counts = drawn(objective, 30), 0.0, set()
    loss = objective(prompts, answers, noise, torch.tensor(0.5))
    for row, (prompt, answer) in enumerate(zip(prompts, answers.tolist(), strict=True)):
        count = math.floor(noise[row, 0, 1].item() * 5) + 1
        first = sorted(range(5), key=lambda i, row=row: noise[row, i, 0].item())[:count]
        logs = logs_by_hand(objective, prompt, [None if i in first else token for i, token in enumerate(answer)])
        for i in range(5):
            assert loss.tokens[row, i].isnan() == (i not in first)
        for i in first:
            p = logs[i, answer[i]].exp().item()
            assert loss.tokens[row, i].item() == pytest.approx(-math.log(p), rel=1e-4, abs=1e-5)
            total -= math.log(p) * (1 - p) ** focus / count
        counts.add(count)
    assert counts == {1, 2, 3, 4, 5}
    assert loss.total.item() == pytest.approx(total / 30, rel=1e-5)
    assert torch.equal(loss.parts["drawn"], loss.total)


def test_levels_hide_each_token_by_itself(build: Build) -> None:
    """With their weights; with an exponent of 0 the cross entropy of the hidden tokens, none of them special."""
    task, objective = masked(build, hidden="levels", focus=1)
    plain = masked(build, hidden="levels")[1]
    prompts, answers = task.sample("train", torch.arange(60))
    noise, focused, total, levels = drawn(objective, 60), 0.0, 0.0, set()
    loss, other = (one(prompts, answers, noise, torch.tensor(0.5)) for one in (objective, plain))
    for row, (prompt, answer) in enumerate(zip(prompts, answers.tolist(), strict=True)):
        level = math.floor(noise[row, 0, 1].item() * 20) + 1
        hidden = [i for i in range(5) if noise[row, i, 0].item() < level / 20]
        logs = logs_by_hand(objective, prompt, [None if i in hidden else token for i, token in enumerate(answer)])
        assert (~loss.tokens[row].isnan()).nonzero()[:, 0].tolist() == hidden
        for i in hidden:
            p, weight = logs[i, answer[i]].exp().item(), (21 - level) / 20 / 5
            focused -= weight * (1 - p) * math.log(p)
            total -= weight * math.log(p)
        levels.add(level)
    assert {1, 20} < levels
    assert loss.total.item() == pytest.approx(focused / 60, rel=1e-5)
    assert other.total.item() == pytest.approx(total / 60, rel=1e-5)


def test_certain_tokens_give_no_wild_gradient(build: Build) -> None:
    """A power below 1 of 1 - p has an infinite slope at p = 1."""
    task, objective = masked(build, focus=0.25)
    objective.model.final_norm.weight.data.mul_(1e4)  # type: ignore[union-attr, operator]
    prompts, answers = task.sample("train", torch.arange(8))
    answers = objective.read(prompts, torch.full_like(answers, objective.dummy)).argmax(dim=-1)
    loss = objective(prompts, answers, torch.zeros(8, 5, 2) + torch.tensor([0.5, 0.99]))
    assert loss.total.item() == 0
    loss.total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in objective.parameters())


def test_no_hidden_token_is_read(build: Build) -> None:
    """It changes its own loss alone; a token that is shown changes others on both sides of it."""
    task, objective = build("masked", task=TASK)
    prompts, answers = task.sample("train", torch.arange(20))
    noise = drawn(objective, 20)
    before = objective(prompts, answers, noise, torch.tensor(0.5)).tokens
    for place in range(5):
        changed = answers.clone()
        changed[:, place] = (changed[:, place] + 1) % 12
        after = objective(prompts, changed, noise, torch.tensor(0.5)).tokens
        same = after == before
        for row in range(20):
            hidden = (~before[row].isnan()).nonzero()[:, 0].tolist()
            moved = [i for i in hidden if not same[row, i]]
            assert moved == ([place] if place in hidden else hidden)


@BOTH
def test_it_is_measured_with_all_hidden(attention: str, build: Build) -> None:
    task, objective = masked(build, attention=attention, answering="once")
    prompts, answers = task.sample("train", torch.arange(10))
    loss = objective(prompts, answers, drawn(objective, 10))
    for row, prompt in enumerate(prompts):
        logs = logs_by_hand(objective, prompt, [None] * 5)
        expected = -logs[torch.arange(5), answers[row]]
        torch.testing.assert_close(loss.tokens[row], expected, atol=1e-5, rtol=1e-5, check_dtype=False)
    assert torch.equal(loss.predictions, objective.answer(prompts))
    assert torch.equal(loss.total, objective(prompts, answers, drawn(objective, 10), torch.tensor(0.5)).total)


@BOTH
@pytest.mark.parametrize("answering", ["confident", "forward", "once"])
@pytest.mark.parametrize("known", [0, 2, 5])
def test_answers_are_those_of_a_naive_reference(known: int, answering: str, attention: str, build: Build) -> None:
    task, objective = masked(build, answering=answering, attention=attention)
    prompts, answers = task.sample("test", torch.arange(20))
    given = task.decoys(prompts, answers)[:, :known]
    orders = set()
    for prompt, start, found in zip(prompts, given.tolist(), objective.answer(prompts, given), strict=True):
        shown: list[int | None] = [*start, *[None] * (5 - known)]
        order = []
        while None in shown:
            logs = logs_by_hand(objective, prompt, shown)
            hidden = [i for i, token in enumerate(shown) if token is None]
            chosen = [max(hidden, key=lambda i, logs=logs: logs[i].max().item())]
            if answering != "confident":
                chosen = hidden if answering == "once" else hidden[:1]
            for i in chosen:
                shown[i] = int(logs[i].argmax())
            order += chosen
        assert found.tolist() == shown
        orders.add(tuple(order))
    assert answering != "confident" or known == 5 or len(orders) > 2


def test_needs() -> None:
    """All of the answer is read, and each token has a number for its place and the first one for how many."""
    assert Masked.needs(15, 4) == Needs(longest=19, extra_tokens=1, attention="full", noise=2)
    assert Masked.needs(15, 4, attention="causal").attention == "causal"
