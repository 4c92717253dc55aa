"""Modules one after the other, against the report's recursion in loops."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lookahead.contracts import Objective, Task
from lookahead.objectives import SequentialModules

Build = Callable[..., tuple[Task, Objective]]

TASK = {"name": "path_star", "degree": 2, "path_length": 5, "num_nodes": 12}


def sequential(build: Build, **options: Any) -> tuple[Task, SequentialModules]:
    return build({"name": "sequential_modules", **options}, task=TASK)  # type: ignore[return-value]


def rms(x: Tensor, gain: Tensor) -> Tensor:
    return x / (x.square().mean() + torch.finfo(x.dtype).eps).sqrt() * gain


def recursion(objective: SequentialModules, read: Tensor) -> list[list[Tensor]]:
    """h_i^k at [k][i], of the tokens [T]: the last state of a block that has read 0 ... i alone."""
    states = [[objective.model(read[None, : i + 1])[0, -1] for i in range(len(read))]]
    for k, module in enumerate(objective.chain, 1):
        inputs = []
        for i in range(len(read) - k):
            state = rms(states[-1][i], module.state_norm.weight)  # type: ignore[arg-type, union-attr]
            token = rms(objective.model.embed(read[i + k]), module.token_norm.weight)  # type: ignore[arg-type, union-attr]
            inputs.append(module.projection.weight @ torch.cat([state, token]))  # type: ignore[operator, union-attr]
        states.append([module.block(torch.stack(inputs[: i + 1])[None])[0, -1] for i in range(len(inputs))])  # type: ignore[operator]
    return states


@pytest.mark.parametrize(("modules", "weight"), [(1, 0.3), (3, 1.0)])
def test_the_loss_is_that_of_the_recursion(modules: int, weight: float, build: Build) -> None:
    task, objective = sequential(build, modules=modules, weight=weight)
    for parameter in objective.parameters():
        parameter.data *= 2
    prompts, answers = task.sample("train", torch.arange(2))
    outputs = [objective.model.unembed, *(module.block.unembed for module in objective.chain)]  # type: ignore[union-attr]
    losses: list[list[Tensor]] = [[] for _ in outputs]
    for prompt, answer in zip(prompts, answers, strict=True):
        states = recursion(objective, torch.cat([prompt, answer[:-1]]))
        for k, unembed in enumerate(outputs):
            for i in range(len(answer) - k):
                logits = unembed(states[k][len(prompt) - 1 + i])  # type: ignore[operator]
                losses[k].append(-logits.log_softmax(dim=-1)[answer[i + k]])
    plain, *means = (torch.stack(some).mean() for some in losses)
    loss = objective(prompts, answers)
    assert list(loss.parts) == [f"module {k}" for k in range(1, modules + 1)]
    for part, mean in zip(loss.parts.values(), means, strict=True):
        torch.testing.assert_close(part, mean, atol=1e-8, rtol=1e-8)
    expected = plain + weight / modules * torch.stack(means).sum()
    torch.testing.assert_close(loss.total, expected, atol=1e-8, rtol=1e-8)


def test_a_module_is_shown_the_token_before_the_one_that_it_is_asked_for(build: Build) -> None:
    """And none after it: the state i of module k has read the tokens 0 ... i + k."""
    task, objective = sequential(build, modules=2)
    prompts, answers = task.sample("train", torch.arange(4))
    read = torch.cat([prompts, answers[:, :-1]], dim=1)
    first = task.prompt_length - 1

    def losses(tokens: Tensor) -> list[Tensor]:
        hidden, found = objective.model(tokens), []
        for k, module in enumerate(objective.chain, 1):
            hidden = module(hidden[:, :-1], objective.model.embed(tokens[:, k:]))
            found.append(hidden[:, first:])
        return found

    before = losses(read)
    for place in range(4):
        changed = read.clone()
        changed[:, first + 1 + place] = (changed[:, first + 1 + place] + 1) % 12
        for k, (one, other) in enumerate(zip(before, losses(changed), strict=True), 1):
            same = (one == other).all(dim=2).all(dim=0)
            assert same.tolist() == [i + k < 1 + place for i in range(5 - k)]


def test_embeddings_and_output_are_the_models(build: Build) -> None:
    _, objective = sequential(build, modules=2)
    for module in objective.chain:
        assert module.block.output is objective.model.output  # type: ignore[union-attr]
    names = [name for name, _ in objective.named_parameters() if "token_embedding" in name]
    assert names == ["model.token_embedding.weight"]
