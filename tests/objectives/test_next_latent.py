"""The next state, against its formulas in loops, the gradients included."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from lookahead.contracts import Objective, Task
from lookahead.objectives import NextLatent

Build = Callable[..., tuple[Task, Objective]]

TASK = {"name": "path_star", "degree": 2, "path_length": 4, "num_nodes": 10}


def next_latent(build: Build, **options: Any) -> tuple[Task, NextLatent]:
    return build({"name": "next_latent", **options}, task=TASK)  # type: ignore[return-value]


@pytest.mark.parametrize("horizon", [1, 3])
def test_loss_and_gradients_are_those_of_loops(horizon: int, build: Build) -> None:
    """What is guessed at, and the output matrix of KL, are numbers here, so that no gradient can go there."""
    task, objective = next_latent(build, horizon=horizon)
    for parameter in objective.parameters():
        parameter.data *= 2  # so that some distances are above 1, where S is no square
    prompts, answers = task.sample("train", torch.arange(3))
    read = torch.cat([prompts, answers[:, :-1]], dim=1)
    model, first = objective.model, task.prompt_length - 1
    states = model.norm(model(read))
    targets = torch.tensor(states.tolist(), dtype=torch.float64)
    matrix = torch.tensor(model.output.tolist(), dtype=torch.float64)
    plain, latent, token = [], [], []
    for row in range(3):
        for i, answer in enumerate(answers[row]):
            plain.append(-(model.output @ states[row, first + i]).log_softmax(dim=0)[answer])
    for k in range(1, horizon + 1):
        distances, divergences = [], []
        for row in range(3):
            for t in range(read.shape[1] - k):
                guess = states[row, t]
                for step in range(1, k + 1):
                    embedded = model.embed(read[row, t + step])
                    guess = guess + objective.dynamics.layers(torch.cat([embedded, guess]))
                off = (guess - targets[row, t + k]).abs()
                distances.append(torch.where(off < 1, off**2 / 2, off - 0.5).mean())
                if t + k >= first:
                    p, q = ((matrix @ state).softmax(dim=0) for state in (targets[row, t + k], guess))
                    divergences.append((p * (p / q).log()).sum())
        latent.append(torch.stack(distances).mean())
        token.append(torch.stack(divergences).mean())
    expected = torch.stack(plain).mean() + torch.stack(latent).mean() + torch.stack(token).mean()
    loss = objective(prompts, answers)
    assert max(distance.item() for distance in distances) > 0.1
    torch.testing.assert_close(loss.parts["latent"], torch.stack(latent).mean(), atol=1e-8, rtol=1e-8)
    torch.testing.assert_close(loss.parts["token"], torch.stack(token).mean(), atol=1e-8, rtol=1e-8)
    torch.testing.assert_close(loss.total, expected, atol=1e-8, rtol=1e-8)
    weights = list(objective.parameters())
    for one, other in zip(
        torch.autograd.grad(loss.total, weights), torch.autograd.grad(expected, weights), strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-8, rtol=1e-8)


def test_a_guess_reads_no_prompt(build: Build) -> None:
    """From a state and the token behind it alone: what stands before reaches it through the state."""
    _, objective = next_latent(build, horizon=2)
    states, tokens = torch.randn(2, 1, 5, 16, dtype=torch.float64)
    before = objective.dynamics(states, tokens)
    for place in range(5):
        for which in range(2):
            inputs = [states.clone(), tokens.clone()]
            inputs[which][:, place] += 1
            same = torch.isclose(objective.dynamics(*inputs), before).all(dim=2)[0]
            assert same.tolist() == [at != place for at in range(5)]


def test_perfect_guesses_leave_teacher_forcing(build: Build) -> None:
    """Where every state is the one before it, guesses that stay where they are are right."""
    task, objective = next_latent(build, horizon=3)
    prompts, answers = task.sample("train", torch.arange(3))
    objective.dynamics.layers[-1].weight.data.zero_()
    hidden = torch.randn(3, 1, 16, dtype=torch.float64).expand(-1, task.prompt_length + 3, -1)
    objective.model.forward = lambda *given, **more: hidden  # type: ignore[method-assign]
    loss = objective(prompts, answers)
    assert loss.parts["latent"].item() == pytest.approx(0, abs=1e-12)
    assert loss.parts["token"].item() == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(loss.total, loss.tokens.mean().to(loss.total.dtype))
