"""Lookahead tokens, against sequences written out in loops; and both ways of answering."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lookahead.contracts import Needs, Objective, Task
from lookahead.objectives import LookaheadTokens

Build = Callable[..., tuple[Task, Objective]]

TASK = {"name": "path_star", "degree": 2, "path_length": 5, "num_nodes": 12}
MODEL = {"name": "transformer", "layers": 1, "width": 16, "heads": 2}
MODELS = pytest.mark.parametrize("model", [MODEL, "mamba-tiny"], ids=["transformer", "mamba"])
BEGIN, END = 15, 16
"""<T> and </T>: the first two ids behind the task's."""


def lookahead_tokens(build: Build, model: Any = MODEL, **options: Any) -> tuple[Task, LookaheadTokens]:
    """With large weights, so that everything has an effect."""
    task, objective = build({"name": "lookahead_tokens", **options}, task=TASK, model=model)
    for parameter in objective.parameters():
        parameter.data.mul_(2)
    return task, objective  # type: ignore[return-value]


def drawn(objective: Objective, count: int) -> Tensor:
    noise = objective.noise(("a test",), torch.arange(count))
    assert noise is not None
    return noise


def logits_by_hand(objective: LookaheadTokens, prompt: Tensor, said: list[int]) -> Tensor:
    """Of the token behind what was said, [V]."""
    return objective.model.unembed(objective.model(torch.cat([prompt, torch.tensor(said, dtype=torch.long)])[None]))[
        0, -1
    ]


@MODELS
@pytest.mark.parametrize(("rung", "length"), [(None, 1), (None, 2), (1, 1), (2, 2)])
def test_the_loss_is_that_of_sequences_written_out(rung: int | None, length: int, model: Any, build: Build) -> None:
    task, objective = lookahead_tokens(build, model, rung=rung, length=length)
    prompts, answers = task.sample("train", torch.arange(14))
    noise, total, starts = drawn(objective, 14), [], set()
    loss = objective(prompts, answers, noise, torch.tensor(0.5))
    assert task.vocab_size == BEGIN
    for row, (prompt, answer) in enumerate(zip(prompts, answers.tolist(), strict=True)):
        sequence, untaught, shift = answer, None, 0
        if noise[row, 0] < 0.5:
            start = 2 + int(noise[row, 1] * (4 - length)) if rung is None else 4 - rung
            sequence = [answer[0], BEGIN, *answer[start : start + length], END, *answer[1:]]
            untaught, shift = 1, length + 2
            starts.add(start)
        losses = []
        for i, token in enumerate(sequence):
            logits = logits_by_hand(objective, prompt, sequence[:i])
            one = -logits.log_softmax(dim=-1)[token]
            if i != untaught:
                losses.append(one)
            place = i if i == 0 else i - shift
            if i == 0 or place >= 1:
                torch.testing.assert_close(loss.tokens[row, place], one, atol=1e-6, rtol=1e-6, check_dtype=False)
                assert loss.predictions[row, place] == logits.argmax()
        total.append(torch.stack(losses).mean())
    assert starts == (set(range(2, 6 - length)) if rung is None else {4 - rung})
    torch.testing.assert_close(loss.total, torch.stack(total).mean(), atol=1e-6, rtol=1e-6, check_dtype=False)
    assert torch.equal(loss.parts["drawn"], loss.total)


def test_it_is_not_taught_to_begin_a_lookahead(build: Build) -> None:
    """In no sequence is there a gradient that makes <T> likelier: all of them make it rarer."""
    task, objective = lookahead_tokens(build, share=1)
    prompts, answers = task.sample("train", torch.arange(20))
    kept: list[Tensor] = []
    unembed = objective.model.unembed

    def watched(hidden: Tensor) -> Tensor:
        kept.append(unembed(hidden))
        kept[-1].retain_grad()
        return kept[-1]

    objective.model.unembed = watched  # type: ignore[method-assign]
    objective(prompts, answers, drawn(objective, 20), torch.tensor(0.5)).total.backward()
    (logits,) = kept
    assert logits.grad is not None
    assert (logits.grad[..., BEGIN] >= 0).all()
    assert not logits.grad[:, 1].any(), "nothing is taught where <T> follows"
    assert (logits.grad[:, 3, END] < 0).all(), "the end of z is taught"


def test_it_is_measured_as_teacher_forcing_is(build: Build) -> None:
    task, objective = lookahead_tokens(build)
    _, forcing = build("teacher_forcing", task=TASK)
    prompts, answers = task.sample("train", torch.arange(12))
    loss = objective(prompts, answers, drawn(objective, 12))
    weights = objective.model.state_dict()
    weights["position_embedding.weight"] = weights["position_embedding.weight"][: forcing.model.longest]
    forcing.model.load_state_dict(weights)
    expected = forcing(prompts, answers)
    torch.testing.assert_close(loss.tokens, expected.tokens)
    assert torch.equal(loss.predictions, expected.predictions)
    assert torch.equal(objective.answer(prompts), forcing.answer(prompts))


@MODELS
@pytest.mark.parametrize("length", [1, 2])
@pytest.mark.parametrize("known", [0, 1, 2, 5])
def test_answers_with_a_lookahead_are_those_of_a_naive_reference(
    known: int, length: int, model: Any, build: Build
) -> None:
    """The span is taken out of the answer; where the decision is given, there is none."""
    task, objective = lookahead_tokens(build, model, length=length, answering="lookahead")
    plain = lookahead_tokens(build, model, length=length)[1]
    prompts, answers = task.sample("test", torch.arange(8))
    given = task.decoys(prompts, answers)[:, :known]
    rows = []
    for prompt, start in zip(prompts, given.tolist(), strict=True):
        said, ends = list(start), 5

        def more(count: int, prompt: Tensor = prompt, said: list[int] = said) -> None:
            for _ in range(count):
                said.append(int(logits_by_hand(objective, prompt, said).argmax()))

        if known < 2:
            more(1 - known)
            said.append(BEGIN)
            more(length)
            said.append(END)
            ends = 5 + length + 2
        more(ends - len(said))
        rows.append(said if known >= 2 else [said[0], *said[length + 3 :]])
    found = objective.answer(prompts, given) if known else objective.answer(prompts)
    assert found.tolist() == rows
    assert torch.equal(objective.answer(objective.prefill(prompts), given), found)
    assert torch.equal(found, plain.answer(prompts, given)) == (known >= 2)


def test_needs() -> None:
    """Room for the span, whose length is known."""
    assert LookaheadTokens.needs(15, 4) == Needs(longest=21, extra_tokens=2, attention="causal", noise=1)
    assert LookaheadTokens.needs(15, 4, length=2).longest == 22
