"""A teacher that errs, against its description in loops; and its two ends."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lookahead.contracts import Needs, Objective, Task
from lookahead.errors import LookaheadError
from lookahead.objectives import Corrupted

Build = Callable[..., tuple[Task, Objective]]

TASK = {"name": "path_star", "degree": 2, "path_length": 5, "num_nodes": 12}
each_way = pytest.mark.parametrize("how", ["mask", "replace", "sample"])


def corrupted(build: Build, **options: Any) -> tuple[Task, Corrupted]:
    """With large weights: what the model says itself then differs from prompt to prompt."""
    task, objective = build({"name": "corrupted", **options}, task=TASK)
    for parameter in objective.parameters():
        parameter.data.mul_(4)
    return task, objective  # type: ignore[return-value]


def data(task: Task, objective: Objective, count: int = 12) -> tuple[Tensor, Tensor, Any]:
    indices = torch.arange(count)
    return *task.sample("train", indices), objective.noise(("a test",), indices)


def read_by_hand(
    objective: Corrupted, prompt: Tensor, answer: Tensor, noise: Tensor, scale: float = 1.0
) -> list[Tensor]:
    """What is read of one answer, token by token."""
    coins = noise if noise.ndim == 1 else noise[:, 0]
    rate = (coins[-1].item() if objective.rate is None else objective.rate) * scale
    hints: list[Tensor] = []
    for j in range(len(answer) - 1):
        if coins[j] >= rate:
            hints.append(answer[j])
        elif objective.how == "mask":
            hints.append(torch.tensor(objective.dummy))
        elif objective.how == "replace":
            hints.append((noise[j, 1] * 12).floor().long())
        else:
            so_far = torch.cat([prompt, *(hint[None] for hint in hints)])
            hints.append(objective.model.unembed(objective.model(so_far[None]))[0, -1].argmax())
    return hints


@each_way
@pytest.mark.parametrize("rate", [None, 0.6])
def test_the_loss_is_that_of_loops(how: str, rate: float | None, build: Build) -> None:
    task, objective = corrupted(build, how=how, rate=rate)
    prompts, answers, noise = data(task, objective)
    losses, other = [], 0
    for prompt, answer, row in zip(prompts, answers, noise, strict=True):
        hints = read_by_hand(objective, prompt, answer, row)
        other += sum(int(hint != token) for hint, token in zip(hints, answer, strict=False))
        for i, token in enumerate(answer):  # the true one, whatever was read before it
            so_far = torch.cat([prompt, *(hint[None] for hint in hints[:i])])
            losses.append(-objective.model.unembed(objective.model(so_far[None]))[0, -1].log_softmax(dim=-1)[token])
    assert 10 < other < 40
    loss = objective(prompts, answers, noise)
    torch.testing.assert_close(loss.tokens, torch.stack(losses).view(12, 5), atol=1e-8, rtol=1e-8)
    torch.testing.assert_close(loss.total, torch.stack(losses).mean(), atol=1e-8, rtol=1e-8)
    assert loss.parts == {}


@each_way
def test_at_no_rate_it_is_teacher_forcing_to_the_bit(how: str, build: Build) -> None:
    task, objective = corrupted(build, how=how, rate=0)
    _, forcing = build("teacher_forcing", task=TASK)
    forcing.load_state_dict(objective.state_dict())
    prompts, answers, noise = data(task, objective)
    assert torch.equal(objective(prompts, answers, noise).tokens, forcing(prompts, answers).tokens)
    assert torch.equal(objective.answer(prompts), forcing.answer(prompts))


@each_way
def test_at_full_rate_nothing_of_the_answer_is_read(how: str, build: Build) -> None:
    """Masked: as with all hints hidden. Sampled: the predictions are what it answers."""
    task, objective = corrupted(build, how=how, rate=1)
    prompts, answers, noise = data(task, objective)
    loss = objective(prompts, answers, noise)
    assert torch.equal(loss.predictions, objective(prompts, answers.flip(0), noise).predictions)
    if how == "mask":
        _, hidden = build({"name": "hints", "start": False, "later": False}, task=TASK)
        hidden.load_state_dict(objective.state_dict())
        assert torch.equal(loss.total, hidden(prompts, answers).total)
    if how == "sample":
        assert torch.equal(loss.predictions, objective.answer(prompts))
        assert len(loss.predictions.unique(dim=0)) > 2


def test_a_random_label_is_any_label_and_no_mark(build: Build) -> None:
    task, objective = corrupted(build, how="replace", rate=1)
    prompts, answers, noise = data(task, objective, count=3000)
    hints = objective.hints(prompts, answers, noise)
    shares = torch.bincount(hints.flatten()) / hints.numel()
    assert len(shares) == 12
    torch.testing.assert_close(shares, torch.full((12,), 1 / 12), atol=0.01, rtol=0)
    assert (hints == answers[:, :-1]).double().mean() < 0.12


def test_the_rate_is_that_of_coins_or_of_each_example(build: Build) -> None:
    """Drawn for each example, all four tokens are hidden in a fifth of them; else in the fourth power of the rate."""
    for rate, share, whole in ((None, 0.5, 0.2), (0.5, 0.5, 0.5**4), (0.8, 0.8, 0.8**4)):
        task, objective = corrupted(build, how="mask", rate=rate)
        hidden = objective.hints(*data(task, objective, count=20_000)) == objective.dummy
        assert hidden.double().mean().item() == pytest.approx(share, abs=0.01)
        assert hidden.all(dim=1).double().mean().item() == pytest.approx(whole, abs=0.01)
        torch.testing.assert_close(hidden.double().mean(dim=0), torch.full((4,), share).double(), atol=0.01, rtol=0)


@pytest.mark.parametrize("rate", [None, 0.8])
@each_way
def test_a_rising_rate_grows_with_the_steps_done(how: str, rate: float | None, build: Build) -> None:
    task, objective = corrupted(build, how=how, rate=rate, rising=True)
    prompts, answers, noise = data(task, objective)
    for done in (0.0, 0.5, 1.0):
        found = objective.hints(prompts, answers, noise, torch.tensor(done))
        for i in range(12):
            expected = read_by_hand(objective, prompts[i], answers[i], noise[i], done)
            assert torch.equal(found[i], torch.stack(expected))
    last = objective(prompts, answers, noise, torch.tensor(1.0))
    assert torch.equal(objective(prompts, answers, noise).total, last.total), "measured at its end"
    assert objective(prompts, answers, noise, torch.tensor(0.2)).total != last.total


def test_without_noise_nothing_can_be_drawn(build: Build) -> None:
    task, objective = corrupted(build, how="mask")
    with pytest.raises(LookaheadError, match=r"drawn from noise: Objective\.noise gives it"):
        objective(*task.sample("train", torch.arange(2)))


def test_needs() -> None:
    assert Corrupted.needs(15, 4, how="mask") == Needs(longest=18, extra_tokens=1, noise=1)
    assert Corrupted.needs(15, 4, how="replace") == Needs(longest=18, noise=2)
    assert Corrupted.needs(15, 4, how="sample") == Needs(longest=18, noise=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "objective 'corrupted' needs how"),
        ({"how": "drop"}, "how must be one of mask, replace, sample, not 'drop'"),
        ({"how": "mask", "rate": 1.5}, "rate must be at least 0 and at most 1, not 1.5"),
        ({"how": "mask", "rate": "half"}, "rate must be a number or None, not 'half'"),
        ({"how": "sample", "rising": 1}, "rising must be true or false, not 1"),
    ],
)
def test_bad_options_are_refused(options: Any, message: str, build: Build) -> None:
    with pytest.raises(LookaheadError, match=message):
        build({"name": "corrupted", **options}, task=TASK)
