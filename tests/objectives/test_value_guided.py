"""A judge of the model's own answers: what it is taught, that it alone is taught, and how it leads."""

import math
from collections.abc import Callable

import pytest
import torch

from lookahead.contracts import Objective, Task
from lookahead.errors import LookaheadError

Build = Callable[..., tuple[Task, Objective]]

TASK = {"name": "path_star", "degree": 2, "path_length": 3, "num_nodes": 7}


def examples(task: Task, objective: Objective, count: int = 6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    indices = torch.arange(count)
    noise = objective.noise(("here",), indices)
    assert noise is not None
    return *task.sample("train", indices), noise


def judged(objective: Objective, prompt: torch.Tensor, answer: torch.Tensor) -> float:
    """The judge's probability that an answer ends right, after its last token."""
    hidden = objective.judge(torch.cat([prompt, answer])[None])
    return objective.verdict(objective.judge.norm(hidden))[0, -1, 0].sigmoid().item()


@pytest.mark.parametrize("model", ["tiny", "mamba-tiny"])
def test_the_loss_is_that_of_telling_right_answers_from_wrong_ones(build: Build, model: str) -> None:
    task, objective = build("value_guided", task=TASK, model=model)
    prompts, answers, noise = examples(task, objective)
    given = answers.clone()
    given[::2, 1] = (given[::2, 1] + 1) % 7
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lookahead.objectives.value_guided.draw_answers", lambda *rest: given)
        loss = objective(prompts, answers, noise)
    expected, told = 0.0, 0
    for row in range(6):
        for place in range(3):
            value = judged(objective, prompts[row], given[row, : place + 1])
            expected -= math.log(value if row % 2 else 1 - value) / 18
            told += (value > 0.5) == (row % 2 == 1)
    assert loss.total.item() == pytest.approx(expected, rel=1e-5)
    assert loss.parts["reward"].item() == pytest.approx(0.5)
    assert sum(loss.parts[f"verdict {place}"].item() for place in range(3)) * 6 == pytest.approx(told)


def test_the_judge_alone_is_taught(build: Build) -> None:
    task, objective = build("value_guided", task=TASK)
    prompts, answers, noise = examples(task, objective)
    objective(prompts, answers, noise).total.backward()
    assert all(parameter.grad is None for parameter in objective.model.parameters())
    judge = [*objective.judge.parameters(), *objective.verdict.parameters()]
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in judge)
    shared = {id(p) for p in objective.model.parameters()} & {id(p) for p in judge}
    assert not shared


def test_the_next_token_is_the_likeliest_after_the_reward_is_weighed_in(build: Build) -> None:
    """Over all candidates, one by one, by the formula as it is written."""
    task, objective = build({"name": "value_guided", "candidates": 3, "temperature": 0.7}, task=TASK)
    objective.verdict.weight.data *= 20
    prompts, answers, _ = examples(task, objective)
    logs = objective.model.unembed(objective.model(torch.cat([prompts, answers[:, :1]], dim=1)))[:, -1].softmax(dim=-1)
    expected = []
    for row in range(6):
        scores = {}
        for token in logs[row].topk(3).indices.tolist():
            value = judged(objective, prompts[row], torch.tensor([answers[row, 0], token]))
            scores[token] = logs[row, token].item() * (1 + value * (math.exp(1 / 0.7) - 1))
        expected.append(max(scores, key=scores.__getitem__))
    assert objective.choose(prompts, answers[:, :1]).tolist() == expected
    assert len({*expected}) > 1


def test_a_sure_judge_leads_a_model_that_does_not_know(build: Build) -> None:
    """Whatever the model's own probabilities, as long as the right token is a candidate."""
    task, objective = build({"name": "value_guided", "candidates": 20}, task=TASK)
    prompts, answers, noise = examples(task, objective)

    def values(asked: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        rows = [next(i for i in range(6) if torch.equal(prompts[i], one)) for one in asked]
        right = [answers[i, : given.shape[1]].equal(one) for i, one in zip(rows, given, strict=True)]
        return torch.where(torch.tensor(right)[:, None], 40.0, -40.0).expand_as(given)

    assert not torch.equal(objective.answer(prompts), answers)
    objective.values = values  # type: ignore[method-assign]
    assert torch.equal(objective.answer(prompts), answers)
    assert torch.equal(objective(prompts, answers, noise).predictions, answers)


def test_a_judge_that_cannot_tell_leaves_the_model_as_it_is(build: Build) -> None:
    task, objective = build("value_guided", task=TASK)
    _, plain = build("teacher_forcing", task=TASK)
    plain.model.load_state_dict({k: v for k, v in objective.model.state_dict().items() if "position" not in k}, False)
    plain.model.position_embedding.weight.data = objective.model.position_embedding.weight.data[:-1].clone()
    objective.verdict.weight.data.zero_()
    prompts, answers, noise = examples(task, objective)
    assert torch.equal(objective.answer(prompts), plain.answer(prompts))
    assert torch.equal(objective.answer(prompts, answers[:, :2]), plain.answer(prompts, answers[:, :2]))
    torch.testing.assert_close(objective(prompts, answers, noise).tokens, plain(prompts, answers).tokens)


def test_a_judge_learns_to_tell_a_few_answers(build: Build) -> None:
    """Of a model that is half right, as one that cheats: every verdict on a small batch is right in the end."""
    task, objective = build("value_guided", task=TASK)
    prompts, answers, noise = examples(task, objective, 8)
    given = answers.clone()
    given[::2, 1:] = task.decoys(prompts, answers)[::2, 1:]
    optimizer = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=5e-3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lookahead.objectives.value_guided.draw_answers", lambda *rest: given)
        for _ in range(150):
            loss = objective(prompts, answers, noise, torch.tensor(0.5))
            loss.total.backward()
            optimizer.step()
            optimizer.zero_grad()
    assert loss.parts["verdict 2"] == 1
    assert loss.parts["verdict 1"] == 1
    assert loss.parts["reward"] == 0.5


def test_options_that_say_nothing_are_refused(build: Build) -> None:
    for options, said in (({"temperature": 0}, "temperature"), ({"candidates": 0}, "candidates")):
        with pytest.raises(LookaheadError, match=said):
            build({"name": "value_guided", **options}, task=TASK)
    task, objective = build("value_guided", task=TASK)
    with pytest.raises(LookaheadError, match="noise"):
        objective(*task.sample("train", torch.arange(4)))
    with pytest.raises(LookaheadError, match="4 forced tokens, but an answer has 3"):
        objective.answer(*(torch.zeros(1, length, dtype=torch.long) + 9 for length in (task.prompt_length, 4)))
