"""Registers, against the paper's interleaved sequence in loops; and who sees them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lookahead.contracts import Needs, Objective, Task
from lookahead.objectives import RegisterTokens

Build = Callable[..., tuple[Task, Objective]]

TASK = {"name": "path_star", "degree": 2, "path_length": 5, "num_nodes": 12}


def register_tokens(build: Build, **options: Any) -> tuple[Task, RegisterTokens]:
    task, objective = build({"name": "register_tokens", "farthest": 4, **options}, task=TASK)
    for parameter in objective.parameters():
        parameter.data.mul_(2)
    return task, objective  # type: ignore[return-value]


def drawn(objective: Objective, count: int) -> Tensor:
    noise = objective.noise(("a test",), torch.arange(count))
    assert noise is not None
    return noise


def interleaved(objective: RegisterTokens, read: list[int], first: int, distance: int) -> tuple[Tensor, list[bool]]:
    """Logits [T, V] of a sequence with a register behind every token from the index `first` on, as the paper lays it
    out; and which of its tokens are registers."""
    tokens, positions, registers = [], [], []
    for t, token in enumerate(read):
        tokens.append(token)
        positions.append(t)
        registers.append(False)
        if t >= first:
            tokens.append(objective.dummy)
            positions.append(min(t + distance - 1, len(read) - 1))
            registers.append(True)
    sees = [
        [column <= row and (column == row or not registers[column]) for column in range(len(tokens))]
        for row in range(len(tokens))
    ]
    hidden = objective.model(torch.tensor([tokens]), torch.tensor(positions), torch.tensor(sees))
    return objective.model.unembed(hidden)[0], registers


@pytest.mark.parametrize(("farthest", "weight"), [(2, 1.0), (4, 0.43), (5, 1.0)])
def test_the_loss_is_that_of_the_interleaved_sequence(farthest: int, weight: float, build: Build) -> None:
    task, objective = register_tokens(build, farthest=farthest, weight=weight)
    prompts, answers = task.sample("train", torch.arange(12))
    noise, plain, ahead, distances = drawn(objective, 12), [], [], set()
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        distance = 2 + int(noise[row, 0] * (farthest - 1))
        sequence, first = torch.cat([prompt, answer]).tolist(), len(prompt) - 1
        logits, registers = interleaved(objective, sequence[:-1], first, distance)
        of_registers = []
        for t, (row_logits, after) in enumerate(zip(logits[~torch.tensor(registers)], sequence[1:], strict=True)):
            if t >= first:
                plain.append(-row_logits.log_softmax(dim=-1)[after])
        for t, row_logits in enumerate(logits[torch.tensor(registers)], first):
            if t + distance < len(sequence):
                of_registers.append(-row_logits.log_softmax(dim=-1)[sequence[t + distance]])
        assert len(of_registers) == 6 - distance
        ahead.append(torch.stack(of_registers).mean())
        distances.add(distance)
    assert distances == set(range(2, farthest + 1))
    loss = objective(prompts, answers, noise)
    torch.testing.assert_close(loss.tokens, torch.stack(plain).view(12, 5), atol=1e-6, rtol=1e-6, check_dtype=False)
    torch.testing.assert_close(loss.parts["registers"], torch.stack(ahead).mean(), atol=1e-6, rtol=1e-6)
    expected = torch.stack(plain).mean() + weight * torch.stack(ahead).mean()
    torch.testing.assert_close(loss.total, expected, atol=1e-6, rtol=1e-6)


def test_no_token_sees_a_register_and_no_register_another(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor what comes behind the place where it stands."""
    task, objective = register_tokens(build)
    prompts, answers = task.sample("train", torch.arange(4))
    model, given = objective.model, []
    forward = model.forward
    monkeypatch.setattr(model, "forward", lambda *some, **more: given.append(some) or forward(*some, **more))
    objective(prompts, answers, drawn(objective, 4))
    monkeypatch.undo()
    ((tokens, positions, sees),) = given
    real = task.prompt_length + 4
    assert tokens.shape == (4, real + 4)
    assert positions.max() < model.longest
    before = model(tokens, positions, sees)
    for place in range(tokens.shape[1]):
        changed = model.embed(tokens).index_add(1, torch.tensor([place]), torch.randn(4, 1, 16, dtype=torch.float64))
        moved = (model(changed, positions, sees) != before).any(dim=2).any(dim=0).nonzero()[:, 0].tolist()
        if place >= real:
            assert moved == [place]
        else:  # the register i stands behind the token P - 1 + i
            behind = [real + i for i in range(4) if task.prompt_length - 1 + i >= place]
            assert moved == [*range(place, real), *behind]


def test_registers_change_no_logit_of_the_answer(build: Build) -> None:
    """Whatever their token is, and whatever is drawn: the loss of the answer is that of teacher forcing."""
    task, objective = register_tokens(build)
    _, forcing = build("teacher_forcing", task=TASK)
    forcing.model.load_state_dict(objective.model.state_dict())
    prompts, answers = task.sample("train", torch.arange(12))
    expected = forcing(prompts, answers)
    for noise in (drawn(objective, 12), 1 - drawn(objective, 12)):
        loss = objective(prompts, answers, noise)
        torch.testing.assert_close(loss.tokens, expected.tokens, atol=1e-9, rtol=1e-9)
        assert torch.equal(loss.predictions, expected.predictions)
    assert torch.equal(objective.answer(prompts), forcing.answer(prompts))


def test_distances_are_all_alike(build: Build) -> None:
    """One for each example."""
    _, objective = register_tokens(build, farthest=4)
    aims = objective.draw(drawn(objective, 3000))
    assert torch.equal(aims - aims[:, :1], torch.arange(4).expand(3000, -1))
    shares = torch.bincount(aims[:, 0]).double() / 3000
    torch.testing.assert_close(shares, torch.tensor([0, 1, 1, 1]).double() / 3, atol=0.04, rtol=0)


def test_filling_is_not_asked_for(build: Build) -> None:
    """A register that is asked for what does not count is left out of the mean."""
    task, objective = register_tokens(build, farthest=3)
    prompts, answers = task.sample("train", torch.arange(6))
    noise = torch.zeros(6, 5)  # d = 2: the registers are asked for the places 1 to 4
    mask = torch.ones(6, 5, dtype=torch.bool)
    mask[::2, 3:] = False
    objective.mask = lambda _: mask  # type: ignore[method-assign]
    part = objective(prompts, answers, noise).parts["registers"]
    changed = torch.where(mask, answers, (answers + 1) % 12)
    torch.testing.assert_close(objective(prompts, changed, noise).parts["registers"], part, atol=0, rtol=0)
    objective.mask = lambda _: None  # type: ignore[method-assign]
    assert not torch.isclose(objective(prompts, answers, noise).parts["registers"], part)


def test_needs() -> None:
    """Registers have no positions of their own."""
    assert RegisterTokens.needs(15, 4) == Needs(longest=18, extra_tokens=1, attention="masked", noise=1)
