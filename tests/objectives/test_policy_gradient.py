"""The policy gradient by sampling: what is drawn, what it is worth, and what it is an estimate of."""

import itertools
from collections.abc import Callable

import pytest
import torch

from lookahead.contracts import Objective, Task
from lookahead.errors import LookaheadError

Build = Callable[..., tuple[Task, Objective]]

TASK = {"name": "path_star", "degree": 2, "path_length": 3, "num_nodes": 7}


def gradient(objective: Objective, total: torch.Tensor) -> torch.Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(total, list(objective.parameters()))])


def sharp(objective: Objective) -> Objective:
    """Its probabilities far from alike."""
    for parameter in objective.parameters():
        parameter.data *= 2
    return objective


def everything(objective: Objective, prompt: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """All answers of three tokens [N, 3], and how likely each is, [N]."""
    every = torch.tensor(list(itertools.product(range(objective.model.vocab_size), repeat=3)))
    shown = torch.cat([prompt.expand(len(every), -1), every[:, :-1]], dim=1)
    logs = objective.model.unembed(objective.model(shown))[:, -3:].log_softmax(dim=-1)
    return every, logs.gather(2, every[..., None]).sum(dim=(1, 2)).exp()


def test_answers_come_as_often_as_they_are_likely(build: Build) -> None:
    task, objective = build("policy_gradient", task=TASK)
    sharp(objective)
    prompts, _ = task.sample("train", torch.arange(1))
    many, draws = prompts.expand(4000, -1), torch.rand(4000, 3, generator=torch.Generator().manual_seed(0))
    given = objective.drawn(many, draws)[:, 0]
    every, chances = everything(objective, prompts)
    likely = chances.topk(20).indices
    found = (given[:, None] == every[likely]).all(dim=2).double().mean(dim=0)
    deviation = (chances[likely] * (1 - chances[likely]) / 4000).sqrt().double()
    assert ((found - chances[likely]).abs() < 4.5 * deviation).all()
    assert torch.equal(given, objective.drawn(many, draws)[:, 0])


def test_each_sample_of_a_prompt_has_noise_of_its_own(build: Build) -> None:
    task, objective = build({"name": "policy_gradient", "samples": 4}, task=TASK)
    task, alone = build("policy_gradient", task=TASK)
    alone.model.load_state_dict(objective.model.state_dict())
    prompts, _ = task.sample("train", torch.arange(5))
    noise = objective.noise(("here",), torch.arange(5))
    assert noise is not None
    assert noise.shape == (5, 3, 4)
    given = objective.drawn(prompts, noise)
    assert given.shape == (5, 4, 3)
    for k in range(4):
        assert torch.equal(given[:, k : k + 1], alone.drawn(prompts, noise[..., k]))
    assert len({tuple(row) for row in given[0].tolist()}) > 1


@pytest.mark.parametrize(("advantage", "group"), [("reward", 1), ("centred", 4), ("normalised", 4), ("centred", 1)])
def test_the_loss_is_what_every_answer_is_worth_times_its_log_probability(
    build: Build, advantage: str, group: int
) -> None:
    task, objective = build({"name": "policy_gradient", "samples": group, "advantage": advantage}, task=TASK)
    prompts, answers = task.sample("train", torch.arange(6))
    given = answers[:, None].repeat(1, group, 1)
    wrong = [(0, 0), (1, 0), (1, group - 1), (3, 0)]  # all right, some right
    for row, k in wrong:
        given[row, k, -1] = (given[row, k, -1] + 1) % 7
    objective.drawn = lambda prompts, noise: given  # type: ignore[method-assign]
    loss = objective(prompts, answers, objective.noise(("here",), torch.arange(6)))
    rewards = [[0.0 if (row, k) in wrong else 1.0 for k in range(group)] for row in range(6)]
    expected = 0.0
    for row in range(6):
        for k in range(group):
            peers = rewards[row] if group > 1 else [one for those in rewards for one in those]
            mean = sum(peers) / len(peers)
            worth = rewards[row][k] - (0 if advantage == "reward" else mean)
            if advantage == "normalised":
                worth /= (sum((one - mean) ** 2 for one in peers) / len(peers)) ** 0.5 + 1e-4
            shown = torch.cat([prompts[row], given[row, k, :-1]])[None]
            logs = objective.model.unembed(objective.model(shown))[0, -3:].log_softmax(dim=-1)
            expected -= worth * sum(logs[i, given[row, k, i]].item() for i in range(3)) / (6 * group)
    assert loss.total.item() == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert loss.parts["reward"].item() == pytest.approx(sum(map(sum, rewards)) / (6 * group))


def test_it_teaches_a_mamba_that_has_some_answers_right(build: Build) -> None:
    task, objective = build({"name": "policy_gradient", "advantage": "centred"}, task=TASK, model="mamba-tiny")
    prompts, answers = task.sample("train", torch.arange(6))
    given = answers.clone()
    given[:3, 1] = (given[:3, 1] + 1) % 7
    objective.drawn = lambda prompts, noise: given[:, None]  # type: ignore[method-assign]
    before = objective(prompts, answers)
    before.total.backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in objective.parameters())
    with torch.no_grad():
        for parameter in objective.parameters():
            assert parameter.grad is not None
            parameter -= 1e-3 * parameter.grad
        assert objective(prompts, answers).total < before.total


def test_in_expectation_it_is_the_gradient_of_the_expected_reward(build: Build) -> None:
    """Over all answers that can be drawn, each as often as it is likely."""
    task, objective = build("policy_gradient", task=TASK)
    sharp(objective)
    _, exact = build("expected_reward", task=TASK)
    exact.model.load_state_dict(objective.model.state_dict())
    prompts, answers = task.sample("train", torch.arange(1))
    every, chances = everything(objective, prompts)
    chances = chances.detach()
    objective.drawn = lambda prompts, noise: every[:, None]  # type: ignore[method-assign]
    objective.advantages = lambda rewards: rewards * chances[:, None] * len(every)  # type: ignore[method-assign]
    many, truth = prompts.expand(len(every), -1), answers.expand(len(every), -1)
    found = gradient(objective, objective(many, truth, torch.zeros(len(every), 3)).total)
    torch.testing.assert_close(found, gradient(exact, exact(prompts, answers).total), atol=1e-8, rtol=1e-3)


def test_greedy_answers_draw_nothing(build: Build) -> None:
    task, objective = build({"name": "policy_gradient", "greedy": True, "advantage": "centred"}, task=TASK)
    prompts, answers = task.sample("train", torch.arange(4))
    assert objective.noise(("here",), torch.arange(4)) is None
    assert torch.equal(objective.drawn(prompts, None)[:, 0], objective.answer(prompts))
    assert objective(prompts, answers).total.isfinite()


def test_options_that_say_nothing_are_refused(build: Build) -> None:
    with pytest.raises(LookaheadError, match="are the same"):
        build({"name": "policy_gradient", "greedy": True, "samples": 2}, task=TASK)
    for options, said in (({"samples": 0}, "samples"), ({"advantage": "best"}, "advantage")):
        with pytest.raises(LookaheadError, match=said):
            build({"name": "policy_gradient", **options}, task=TASK)
    _, objective = build("policy_gradient", task=TASK)
    with pytest.raises(LookaheadError, match="noise"):
        objective.drawn(torch.zeros(1, 20, dtype=torch.long), None)
