"""Planning tokens, against their formula in loops; and what teaches what."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lookahead.contracts import Needs, Objective, Task
from lookahead.errors import LookaheadError
from lookahead.objectives import PlanningTokens

Build = Callable[..., tuple[Task, Objective]]

TASK = {"name": "path_star", "degree": 2, "path_length": 5, "num_nodes": 12}
EMBEDDINGS = "model.token_embedding.weight"


def planning(build: Build, **options: Any) -> tuple[Task, PlanningTokens]:
    """With large weights, so that answers differ."""
    task, objective = build({"name": "planning_tokens", **options}, task=TASK)
    for parameter in objective.parameters():
        parameter.data.mul_(3)
    return task, objective  # type: ignore[return-value]


def code_by_hand(objective: PlanningTokens, answer: Tensor) -> list[Tensor]:
    """The vectors of one answer, query by query and token by token."""
    coder, model = objective.autoencoder, objective.model
    read = [model.norm(model(answer[None, : i + 1]))[0, -1] for i in range(len(answer))]
    codes = []
    for query in coder.queries:
        scores = [(coder.query.weight @ query) @ (coder.key.weight @ state) / math.sqrt(len(state)) for state in read]
        total = sum(score.exp() for score in scores)
        found = sum(
            score.exp() / total * (coder.value.weight @ state) for score, state in zip(scores, read, strict=True)
        )
        codes.append(coder.down(coder.norm(query + coder.out.weight @ found)))
    return codes


def test_the_loss_is_that_of_loops(build: Build) -> None:
    task, objective = planning(build, tokens=3, size=8, layers=2, alpha=0.5, beta=2)
    prompts, answers = task.sample("train", torch.arange(4))
    model, coder = objective.model, objective.autoencoder
    assert objective.plan.tolist() == [15, 16, 17]
    tokens, distances, decoded = [], [], []
    for prompt, answer in zip(prompts, answers, strict=True):
        planned = torch.cat([prompt, objective.plan])
        codes = code_by_hand(objective, answer)
        for k, code in enumerate(codes):
            state = model.norm(model(planned[None, : len(prompt) + k + 1]))[0, -1]
            gaps = (objective.foretell.weight @ state + objective.foretell.bias - code).abs()
            distances += [gap**2 / 2 if gap < 1 else gap - 0.5 for gap in gaps]
        vectors = [coder.up.weight @ code for code in codes]
        for i, token in enumerate(answer):
            hidden = model(torch.cat([planned, answer[:i]])[None])
            tokens.append(-model.unembed(hidden)[0, -1].log_softmax(dim=-1)[token])
            read = torch.stack([*vectors, *model.embed(answer[None, :i])[0]])
            decoded.append(-coder.decoder.unembed(coder.decoder(read[None]))[0, -1].log_softmax(dim=-1)[token])
    loss = objective(prompts, answers)
    torch.testing.assert_close(loss.tokens, torch.stack(tokens).view(4, 5), atol=1e-8, rtol=1e-8)
    torch.testing.assert_close(loss.parts["plan"], torch.stack(distances).mean(), atol=1e-8, rtol=1e-8)
    torch.testing.assert_close(loss.parts["reconstruction"], torch.stack(decoded).mean(), atol=1e-8, rtol=1e-8)
    total = torch.stack(tokens).mean() + 0.5 * loss.parts["plan"] + 2 * loss.parts["reconstruction"]
    torch.testing.assert_close(loss.total, total, atol=1e-8, rtol=1e-8)


def gradients(objective: PlanningTokens, value: Tensor) -> set[str]:
    """The names of the parameters that a value gives a gradient to."""
    objective.zero_grad(set_to_none=True)
    value.backward()
    return {name for name, one in objective.named_parameters() if one.grad is not None and one.grad.any()}


def test_the_decoder_alone_teaches_the_encoding(build: Build) -> None:
    """The distance does not, or all answers would get one encoding. Model and autoencoder share embeddings only."""
    task, objective = planning(build)
    prompts, answers = task.sample("train", torch.arange(4))
    found = gradients(objective, objective(prompts, answers).parts["plan"])
    assert {"foretell.weight", EMBEDDINGS, "model.final_norm.weight"} <= found
    assert not [name for name in found if name.startswith("autoencoder")]
    found = gradients(objective, objective(prompts, answers).parts["reconstruction"])
    every = {name for name, _ in objective.named_parameters() if name.startswith("autoencoder")}
    assert found == every | {EMBEDDINGS}


def test_the_plan_knows_the_prompt_and_nothing_of_the_answer(build: Build) -> None:
    task, objective = planning(build)
    prompts, answers = task.sample("train", torch.arange(4))
    foretold: list[Tensor] = []
    objective.foretell.register_forward_hook(lambda module, inputs, output: foretold.append(output))
    before = objective(prompts, answers)
    codes = objective.autoencoder.encode(objective.model, answers)
    for place in range(5):
        changed = answers.clone()
        changed[:, place] = (changed[:, place] + 1) % 12
        after = objective(prompts, changed)
        assert torch.equal(foretold[-1], foretold[0])
        assert torch.equal(after.predictions[:, : place + 1], before.predictions[:, : place + 1])
        assert torch.equal(after.tokens[:, :place], before.tokens[:, :place])
        other = objective.autoencoder.encode(objective.model, changed)
        assert (other != codes).any(dim=2).all(), "every vector is one of the whole answer"
    objective(prompts.flip(0), answers)
    assert not torch.equal(foretold[-1], foretold[0])


def test_what_does_not_count_is_not_encoded(build: Build) -> None:
    _, objective = planning(build)
    encode, model = objective.autoencoder.encode, objective.model
    mask = torch.tensor([[True, True, True, False, False]])
    one, other = (encode(model, torch.tensor([[5, 1, 9, filling, 0]]), mask) for filling in (0, 7))
    assert torch.equal(one, other)
    torch.testing.assert_close(one, encode(model, torch.tensor([[5, 1, 9]])))


@pytest.mark.parametrize("known", [0, 1, 3, 5])
def test_answers_are_those_behind_the_plan(known: int, build: Build) -> None:
    task, objective = planning(build)
    prompts, answers = task.sample("test", torch.arange(10))
    given = task.decoys(prompts, answers)[:, :known]
    expected = given
    while expected.shape[1] < 5:
        read = torch.cat([prompts, objective.plan.expand(10, -1), expected], dim=1)
        token = objective.model.unembed(objective.model(read))[:, -1:].argmax(dim=-1)
        expected = torch.cat([expected, token], dim=1)
    found = objective.answer(prompts, given) if known else objective.answer(prompts)
    assert torch.equal(found, expected)
    assert torch.equal(objective.answer(objective.prefill(prompts), given), expected)
    assert len(objective.answer(prompts).unique(dim=0)) > 2
    predictions = objective(prompts, answers).predictions
    for place in range(5):
        assert torch.equal(predictions[:, place], objective.answer(prompts, answers[:, :place])[:, place])


def test_needs_a_reserved_token_for_each_of_the_plan(build: Build) -> None:
    assert PlanningTokens.needs(15, 4, tokens=3) == Needs(longest=21, extra_tokens=3)
    with pytest.raises(LookaheadError, match="planning_tokens needs 5 extra tokens; 4 are reserved"):
        planning(build, tokens=5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": 0}, "tokens must be at least 1, not 0"),
        ({"size": 0}, "size must be at least 1, not 0"),
        ({"layers": 0}, "layers must be at least 1, not 0"),
        ({"alpha": -1}, "alpha must be at least 0, not -1"),
        ({"beta": "all"}, "beta must be a number, not 'all'"),
    ],
)
def test_bad_options_are_refused(options: Any, message: str, build: Build) -> None:
    with pytest.raises(LookaheadError, match=message):
        build({"name": "planning_tokens", **options}, task=TASK)
