"""The expected reward of sampling, by enumeration and by its gradient."""

import itertools
from collections.abc import Callable
from typing import Any

import torch

from lookahead.contracts import Objective, Task

Build = Callable[..., tuple[Task, Objective]]

TASK = {"name": "path_star", "degree": 2, "path_length": 3, "num_nodes": 7}


def test_the_loss_is_the_share_of_right_answers_among_all_that_can_be_sampled(build: Build) -> None:
    """All answers of three tokens, each with its probability, each judged."""
    task, objective = build("expected_reward", task=TASK)
    for parameter in objective.parameters():
        parameter.data *= 2
    prompts, answers = task.sample("train", torch.arange(1))
    every = torch.tensor(list(itertools.product(range(objective.model.vocab_size), repeat=3)))
    shown = torch.cat([prompts.expand(len(every), -1), every[:, :-1]], dim=1)
    logs = objective.model.unembed(objective.model(shown))[:, -3:].log_softmax(dim=-1)
    chances = logs.gather(2, every[..., None]).sum(dim=(1, 2)).exp()
    right = task.correct(prompts.expand(len(every), -1), answers.expand(len(every), -1), every)
    assert right.sum() == 1
    torch.testing.assert_close(chances.sum(), torch.ones_like(chances.sum()), atol=1e-5, rtol=0)
    loss = objective(prompts, answers)
    torch.testing.assert_close(-loss.total.double(), (chances * right).sum().double(), atol=1e-6, rtol=1e-4)


def test_the_gradient_is_that_of_teacher_forcing_times_how_often_it_is_right(build: Build) -> None:
    task, objective = build("expected_reward", task=TASK)
    _, forcing = build("teacher_forcing", task=TASK)
    forcing.model.load_state_dict(objective.model.state_dict())
    prompts, answers = task.sample("train", torch.arange(6))

    def gradient(taught: Objective, total: Any) -> torch.Tensor:
        return torch.cat([g.flatten() for g in torch.autograd.grad(total, list(taught.parameters()))])

    found = gradient(objective, objective(prompts, answers).total)
    expected = torch.zeros_like(found)
    for row in range(6):
        loss = forcing(prompts[row : row + 1], answers[row : row + 1])
        chance = (-loss.tokens.sum()).exp().item()
        expected += chance * gradient(forcing, loss.tokens.sum()) / 6
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-3)
