"""Heads that predict later tokens: multi-token prediction and the ladder, each against a naive one."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lookahead.contracts import Objective, Task
from lookahead.errors import LookaheadError
from lookahead.objectives import Ladder, MultiToken

Build = Callable[..., tuple[Task, Objective]]

TASK = {"name": "path_star", "degree": 2, "path_length": 5, "num_nodes": 12}


def multi_token(build: Build, **options: Any) -> tuple[Task, MultiToken]:
    return build({"name": "multi_token", **options}, task=TASK)  # type: ignore[return-value]


def ladder(build: Build, **options: Any) -> tuple[Task, Ladder]:
    return build({"name": "ladder", **options}, task=TASK)  # type: ignore[return-value]


def data(task: Task, count: int = 6) -> tuple[Tensor, Tensor]:
    return task.sample("train", torch.arange(count))


def surprise(model: Any, hidden: Tensor, token: Tensor) -> Tensor:
    """-log p of one token from one hidden state [D]."""
    return -model.unembed(hidden[None, None])[0, 0].float().log_softmax(dim=-1)[token]


@pytest.mark.parametrize("weighting", ["sum", "mean"])
def test_the_heads_loss_is_that_of_two_loops(weighting: str, build: Build) -> None:
    """No target wraps around the end of the answer: a head that looks further has fewer of them."""
    task, objective = multi_token(build, tokens=4, weighting=weighting)
    prompts, answers = data(task)
    hidden = objective.model(torch.cat([prompts, answers[:, :-1]], dim=1))[:, task.prompt_length - 1 :]
    extra = 0.0
    for k, head in enumerate(objective.heads, 1):
        examples = []
        for row, states in zip(answers, hidden, strict=True):
            at = range(task.answer_length - k)
            losses = [surprise(objective.model, head(states[i][None])[0], row[i + k]) for i in at]
            examples.append(sum(losses) / len(losses))
        extra = extra + sum(examples) / len(examples)
    expected = build("teacher_forcing", task=TASK)[1]
    expected.load_state_dict(objective.state_dict(), strict=False)
    plain = expected(prompts, answers).total
    total = plain + extra * (1 if weighting == "sum" else 1 / 3)
    torch.testing.assert_close(objective(prompts, answers).total.double(), total.double(), atol=1e-5, rtol=1e-5)


def test_one_token_is_teacher_forcing_to_the_bit(build: Build) -> None:
    task, one = multi_token(build, tokens=1)
    _, forcing = build("teacher_forcing", task=TASK)
    prompts, answers = data(task)
    assert one.state_dict().keys() == forcing.state_dict().keys()
    assert torch.equal(one(prompts, answers).total, forcing(prompts, answers).total)
    assert not one(prompts, answers).parts


@pytest.mark.parametrize("depth", ["linear", "mlp", "block"])
def test_answers_do_not_depend_on_the_heads(depth: str, build: Build) -> None:
    task, objective = multi_token(build, tokens=3, depth=depth)
    prompts, _ = data(task)
    before = objective.answer(prompts)
    for weight in objective.heads.parameters():
        torch.nn.init.normal_(weight)
    assert torch.equal(objective.answer(prompts), before)


@pytest.mark.parametrize("depth", ["linear", "mlp", "block"])
def test_every_head_is_taught_and_teaches_the_trunk(depth: str, build: Build) -> None:
    task, objective = multi_token(build, tokens=5, depth=depth)
    loss = objective(*data(task))
    assert list(loss.parts) == ["head 2", "head 3", "head 4", "head 5"]
    loss.total.backward()
    assert all(weight.grad is not None for weight in objective.parameters())


@pytest.mark.parametrize("depth", ["mlp", "block"])
def test_answers_in_passes_take_a_token_from_every_head(depth: str, build: Build) -> None:
    task, objective = multi_token(build, tokens=3, depth=depth)
    prompts, _ = data(task)
    read = objective.read(prompts, prompts[:, :0])
    first = torch.stack([objective.model.unembed(read[0])[:, -1], *(one[:, -1] for one in read[1])], dim=1)
    given = objective.answer_in_passes(prompts)
    assert given.shape == (6, 5)
    assert torch.equal(given[:, :3], first.argmax(dim=-1))
    again = objective.read(prompts, given[:, :3])
    assert torch.equal(given[:, 3], objective.model.unembed(again[0])[:, -1].argmax(dim=-1))


def test_one_token_a_pass_is_the_usual_answer(build: Build) -> None:
    task, objective = multi_token(build, tokens=1)
    prompts, _ = data(task)
    assert torch.equal(objective.answer_in_passes(prompts), objective.answer(prompts))


@pytest.mark.parametrize(("at", "state"), [("prompt", 0), ("decision", 1)])
@pytest.mark.parametrize("of", ["answer", "decoy", "either", "smaller"])
def test_a_rung_is_a_token_counted_from_the_goal(at: str, state: int, of: str, build: Build) -> None:
    task, objective = ladder(build, rungs=[0, 2], at=at, of=of, weight=0.5)
    prompts, answers = data(task)
    decoys, noise = task.decoys(prompts, answers), objective.noise("coins", torch.arange(len(prompts)))
    asked = {"answer": answers, "decoy": decoys, "smaller": torch.minimum(answers, decoys)}.get(of, answers)
    if of == "either":
        assert noise is not None
        heads_up = noise[:, 0] < 0.5
        assert 0 < heads_up.sum() < len(noise)
        asked = torch.where(heads_up[:, None], answers, decoys)
    hidden = objective.model(torch.cat([prompts, answers[:, :-1]], dim=1))[:, task.prompt_length - 1 + state]
    loss = objective(prompts, answers, noise)
    for rung, head in zip((0, 2), objective.heads, strict=True):
        losses = [
            surprise(objective.model, head(one[None])[0], row[-1 - rung])
            for one, row in zip(hidden, asked, strict=True)
        ]
        expected = torch.stack(losses).mean()
        torch.testing.assert_close(loss.parts[f"rung {rung}"].double(), expected.double(), atol=1e-5, rtol=1e-5)
    plain = build("teacher_forcing", task=TASK)[1]
    plain.load_state_dict(objective.state_dict(), strict=False)
    extra = 0.5 * (loss.parts["rung 0"] + loss.parts["rung 2"])
    torch.testing.assert_close(loss.total, plain(prompts, answers).total + extra)


def test_a_coin_needs_noise(build: Build) -> None:
    task, objective = ladder(build, rungs=[1], of="either")
    with pytest.raises(LookaheadError, match=r"drawn from noise \[B, A\]"):
        objective(*data(task))


def test_a_rung_asked_for_twice_has_two_heads(build: Build) -> None:
    task, objective = ladder(build, rungs=[1, 1])
    assert list(objective(*data(task)).parts) == ["rung 1", "rung 1 right", "rung 1, again", "rung 1, again right"]


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ({"name": "multi_token", "tokens": 0}, "tokens must be at least 1, not 0"),
        ({"name": "multi_token", "tokens": 6}, "an answer has 5 tokens: a state cannot predict 6"),
        ({"name": "multi_token", "tokens": 2.5}, "tokens must be a whole number, not 2.5"),
        ({"name": "multi_token", "tokens": 2, "depth": "deep"}, "depth must be .*linear.*mlp.*block.*, not 'deep'"),
        ({"name": "multi_token", "tokens": 2, "weighting": "max"}, "weighting must be .*sum.*mean.*, not 'max'"),
        ({"name": "ladder", "rungs": []}, "from that state there are the rungs 0 .* to 2, not"),
        ({"name": "ladder", "rungs": [3]}, "from that state there are the rungs 0 .* to 2, not"),
        ({"name": "ladder", "rungs": [4], "at": "prompt"}, "from that state there are the rungs 0 .* to 3, not"),
        ({"name": "ladder", "rungs": [-1]}, "from that state there are the rungs 0 .* to 2, not"),
        ({"name": "ladder", "rungs": [0], "at": "goal"}, "at must be .*prompt.*decision.*, not 'goal'"),
        ({"name": "ladder", "rungs": [0], "of": "goal"}, "of must be .*answer.*decoy.*either.*smaller.*, not 'goal'"),
    ],
)
def test_bad_options_are_refused(method: Any, message: str, build: Build) -> None:
    with pytest.raises(LookaheadError, match=message):
        build(method, task=TASK)
