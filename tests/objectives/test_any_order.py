"""Any order, against its formula in loops; and the ways between teacher forcing and reversed training."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lookahead.contracts import Needs, Objective, Task
from lookahead.errors import CannotContinue, LookaheadError
from lookahead.objectives import AnyOrder

Build = Callable[..., tuple[Task, Objective]]

TASK = {"name": "path_star", "degree": 2, "path_length": 5, "num_nodes": 12}
MODEL = {"name": "transformer", "layers": 1, "width": 16, "heads": 2}
MODELS = pytest.mark.parametrize("model", [MODEL, "mamba-tiny"], ids=["transformer", "mamba"])


def any_order(build: Build, model: Any = MODEL, **options: Any) -> tuple[Task, AnyOrder]:
    """With large weights, so that everything has an effect."""
    task, objective = build({"name": "any_order", **options}, task=TASK, model=model)
    for parameter in objective.parameters():
        parameter.data.mul_(2)
    return task, objective  # type: ignore[return-value]


def logits_by_hand(objective: AnyOrder, prompt: Tensor, known: list[tuple[int, int]], aim: int) -> Tensor:
    """Logits [V] of the token at the place `aim`, from tokens that were read, each with its place, in that order."""
    codes, aims = objective.place_embedding.weight, objective.aim_embedding.weight
    rows = [objective.model.embed(token[None])[0] for token in prompt]
    places = [place for place, _ in known]
    for i, (place, token) in enumerate([(None, None), *known]):
        if place is not None:
            rows.append(objective.model.embed(torch.tensor([token]))[0] + codes[place])
        rows[-1] = rows[-1] + aims[[*places, aim][i]]
    return objective.model.unembed(objective.model(torch.stack(rows)[None]))[0, -1]


def drawn(objective: Objective, count: int, step: int = 0) -> Tensor:
    noise = objective.noise(("a test", step), torch.arange(count))
    assert noise is not None
    return noise


def orders_by_hand(noise: Tensor, shuffled: float, fixed: list[int]) -> list[list[int]]:
    """The places in the order of their noise, or the fixed order."""
    return [
        sorted(range(5), key=lambda place, row=row: row[place][0]) if row[0][1] < shuffled else fixed
        for row in noise.tolist()
    ]


@MODELS
@pytest.mark.parametrize(("shuffled", "order"), [(1.0, "forward"), (0.5, "forward"), (0.4, "backward")])
def test_the_loss_is_that_of_loops(shuffled: float, order: str, model: Any, build: Build) -> None:
    task, objective = any_order(build, model, shuffled=shuffled, order=order)
    prompts, answers = task.sample("train", torch.arange(8))
    noise, total = drawn(objective, 8), []
    loss = objective(prompts, answers, noise, torch.tensor(0.5))
    orders = orders_by_hand(noise, shuffled, list(range(5)) if order == "forward" else [4, 3, 2, 1, 0])
    for row, places in enumerate(orders):
        answer = answers[row].tolist()
        for step, place in enumerate(places):
            known = [(earlier, answer[earlier]) for earlier in places[:step]]
            logits = logits_by_hand(objective, prompts[row], known, place)
            total.append(-logits.log_softmax(dim=-1)[answer[place]])
            torch.testing.assert_close(loss.tokens[row, place], total[-1], atol=1e-6, rtol=1e-6, check_dtype=False)
            assert loss.predictions[row, place] == logits.argmax()
    assert len({tuple(places) for places in orders}) > (4 if shuffled == 1 else 2)
    torch.testing.assert_close(loss.total, torch.stack(total).mean(), atol=1e-6, rtol=1e-6, check_dtype=False)
    assert torch.equal(loss.parts["drawn"], loss.total)


def test_orders_are_all_alike_and_as_often_shuffled_as_is_said(build: Build) -> None:
    _, objective = any_order(build, shuffled=0.25)
    orders = objective.draw(drawn(objective, 4000))
    assert torch.equal(orders.sort(dim=1).values, torch.arange(5).expand(4000, -1))
    moved = orders[(orders != torch.arange(5)).any(dim=1)]
    assert len(moved) / 4000 == pytest.approx(0.25 * 119 / 120, abs=0.03)
    for place in range(5):  # where each stands
        shares = (moved == place).double().mean(dim=0)
        torch.testing.assert_close(shares, torch.full((5,), 0.2, dtype=torch.float64), atol=0.06, rtol=0)


@pytest.mark.parametrize("order", ["forward", "backward"])
def test_never_shuffled_and_without_codes_it_is_teacher_forcing_or_reversed(order: str, build: Build) -> None:
    task, objective = any_order(build, shuffled=0, order=order)
    _, other = build("teacher_forcing" if order == "forward" else "reversed", task=TASK)
    other.model.load_state_dict(objective.model.state_dict())
    objective.place_embedding.weight.data.zero_()
    objective.aim_embedding.weight.data.zero_()
    prompts, answers = task.sample("test", torch.arange(40))
    one, expected = objective(prompts, answers, drawn(objective, 40)), other(prompts, answers)
    torch.testing.assert_close(one.total, expected.total)
    torch.testing.assert_close(one.tokens, expected.tokens)
    assert torch.equal(one.predictions, expected.predictions)
    assert torch.equal(objective.answer(prompts), other.answer(prompts))
    assert len(objective.answer(prompts).unique(dim=0)) > 2


def test_no_token_is_read_before_its_turn(build: Build) -> None:
    task, objective = any_order(build)
    prompts, answers = task.sample("train", torch.arange(20))
    noise = drawn(objective, 20)
    before = objective(prompts, answers, noise, torch.tensor(0.5)).tokens
    for place in range(5):
        changed = answers.clone()
        changed[:, place] = (changed[:, place] + 1) % 12
        after = objective(prompts, changed, noise, torch.tensor(0.5)).tokens
        for row, order in enumerate(orders_by_hand(noise, 1.0, [])):
            same = (after == before)[row, order].tolist()
            turn = order.index(place)
            assert same == [True] * turn + [False] * (5 - turn)


@MODELS
@pytest.mark.parametrize("order", ["forward", "backward"])
@pytest.mark.parametrize("known", [0, 1, 3, 5])
def test_answers_are_those_of_a_naive_reference(known: int, order: str, model: Any, build: Build) -> None:
    task, objective = any_order(build, model, order=order)
    prompts, answers = task.sample("test", torch.arange(10))
    given = task.decoys(prompts, answers)[:, :known]
    if known and order == "backward":
        with pytest.raises(CannotContinue, match="start at the goal"):
            objective.answer(prompts, given)
        return
    rows = []
    for prompt, start in zip(prompts, given.tolist(), strict=True):
        row = dict(enumerate(start))
        for place in range(known, 5) if order == "forward" else range(4, -1, -1):
            row[place] = int(logits_by_hand(objective, prompt, list(row.items()), place).argmax())
        rows.append([row[place] for place in range(5)])
    found = objective.answer(prompts, given) if known else objective.answer(prompts)
    assert found.tolist() == rows
    assert len(found.unique(dim=0)) > 2


def test_predictions_are_what_it_answers_with_the_teachers_tokens(build: Build) -> None:
    task, objective = any_order(build)
    prompts, answers = task.sample("test", torch.arange(10))
    predictions = objective(prompts, answers, drawn(objective, 10)).predictions
    for place in range(5):
        given = answers[:, :place] if place else None
        assert torch.equal(predictions[:, place], objective.answer(prompts, given)[:, place])
    with pytest.raises(LookaheadError, match="6 forced tokens, but an answer has 5"):
        objective.answer(prompts, torch.cat([answers, answers[:, :1]], dim=1))


def test_needs() -> None:
    assert AnyOrder.needs(15, 4) == Needs(longest=18, extra_tokens=0, attention="causal", noise=2)
