"""The belief state, against its formula in loops; and who reads what."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lookahead.contracts import Needs, Objective, Task
from lookahead.objectives import BeliefState

Build = Callable[..., tuple[Task, Objective]]

TASK = {"name": "path_star", "degree": 2, "path_length": 5, "num_nodes": 12}


@pytest.fixture
def made(build: Build) -> tuple[Task, BeliefState]:
    """With large random weights, so that everything has an effect."""
    task, objective = build("belief_state", task=TASK)
    generator = torch.Generator().manual_seed(0)
    for parameter in objective.parameters():
        parameter.data.normal_(generator=generator)
    return task, objective  # type: ignore[return-value]


def joined(objective: BeliefState, read: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Logits [V] of the next and of the previous token, from what was read [t] and the end [u], each by itself."""
    model, behind, join = objective.model, objective.backward_encoder, objective.join
    f = model.norm(model(read[None]))[0, -1]
    b = behind.norm(behind(end.flip(0)[None]))[0, -1]
    x = torch.cat([f, b])
    gate = join.gate.weight @ x
    x = x + join.out.weight @ (gate * gate.sigmoid() * (join.into.weight @ x))
    x = x / (x.square().mean() + torch.finfo(x.dtype).eps).sqrt() * join.norm.weight
    return model.output @ x[: len(f)], model.output @ x[len(f) :]


def test_the_loss_is_that_of_loops(made: tuple[Task, BeliefState]) -> None:
    """Over the 15 pairs that leave at least one token between what was read and the end."""
    task, objective = made
    prompts, answers = task.sample("train", torch.arange(3))
    following, preceding, alone = [], [], []
    for prompt, answer in zip(prompts, answers, strict=True):
        whole = torch.cat([prompt, answer, torch.tensor([objective.dummy])])
        for t in range(len(prompt) - 1, len(whole)):
            for u in range(t + 2, len(whole)):
                ahead, back = joined(objective, whole[: t + 1], whole[u:])
                following.append(-ahead.log_softmax(dim=-1)[whole[t + 1]])
                preceding.append(-back.log_softmax(dim=-1)[whole[u - 1]])
                if u == len(whole) - 1:
                    alone.append(following[-1])
    assert len(following) == 3 * 15
    loss = objective(prompts, answers)
    torch.testing.assert_close(loss.parts["next"], torch.stack(following).mean(), atol=1e-8, rtol=1e-8)
    torch.testing.assert_close(loss.parts["previous"], torch.stack(preceding).mean(), atol=1e-8, rtol=1e-8)
    torch.testing.assert_close(loss.total, loss.parts["next"] + loss.parts["previous"])
    torch.testing.assert_close(loss.tokens, torch.stack(alone).view(3, 5), atol=1e-8, rtol=1e-8)


def test_the_backward_encoder_never_sees_the_prompt(
    made: tuple[Task, BeliefState], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor the first answer token; it reads the end first, then the answer from its last token on."""
    task, objective = made
    prompts, answers = task.sample("train", torch.arange(6))
    seen: list[Tensor] = []
    encode = objective.backward_encoder.forward
    monkeypatch.setattr(objective.backward_encoder, "forward", lambda tokens: seen.append(tokens) or encode(tokens))
    objective(prompts, answers)
    objective.answer(prompts)
    expected = torch.cat([torch.full((6, 1), objective.dummy), answers[:, 1:].flip(1)], dim=1)
    assert torch.equal(seen[0], expected)
    assert [tokens.tolist() for tokens in seen[1:]] == [[[objective.dummy]]]
    monkeypatch.undo()
    changed = answers.clone()
    changed[:, 2] = (changed[:, 2] + 1) % 12
    same = (objective.ends(changed) == objective.ends(answers)).all(dim=2).all(dim=0)
    assert same.tolist() == [False, False, True, True, True], "b_1 and b_2 have read a_2"


def test_the_end_of_training_is_the_end_of_answering(made: tuple[Task, BeliefState]) -> None:
    """The last of the ends, for every answer."""
    task, objective = made
    _, answers = task.sample("train", torch.arange(6))
    alone = objective.ends(answers[:1, :0])
    torch.testing.assert_close(objective.ends(answers)[:, -1:], alone.expand(6, -1, -1), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("known", [0, 1, 3, 5])
def test_answers_are_those_of_a_naive_reference(known: int, made: tuple[Task, BeliefState]) -> None:
    task, objective = made
    prompts, answers = task.sample("test", torch.arange(10))
    given = task.decoys(prompts, answers)[:, :known]
    rows, end = [], torch.tensor([objective.dummy])
    for prompt, answer in zip(prompts, given, strict=True):
        while len(answer) < 5:
            token = joined(objective, torch.cat([prompt, answer]), end)[0].argmax()
            answer = torch.cat([answer, token[None]])
        rows.append(answer)
    found = objective.answer(prompts, given) if known else objective.answer(prompts)
    assert torch.equal(found, torch.stack(rows))
    assert len(found.unique(dim=0)) > 2
    own = objective.answer(prompts)
    assert torch.equal(objective.answer(prompts, own[:, :known]), own)
    assert torch.equal(objective.answer(objective.prefill(prompts), given), found)


def test_predictions_are_what_it_answers_with_the_teachers_tokens(made: tuple[Task, BeliefState]) -> None:
    task, objective = made
    prompts, answers = task.sample("test", torch.arange(10))
    predictions = objective(prompts, answers).predictions
    for place in range(5):
        given = answers[:, :place] if place else None
        assert torch.equal(predictions[:, place], objective.answer(prompts, given)[:, place])


def test_needs_the_dummy_for_the_end() -> None:
    assert BeliefState.needs(15, 4) == Needs(longest=18, extra_tokens=1, attention="causal", noise=0)
