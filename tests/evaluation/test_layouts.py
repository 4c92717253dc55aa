"""What a blind state is asked for, against what each method is defined to ask."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from lookahead.contracts import Objective, Task
from lookahead.errors import LookaheadError
from lookahead.evaluation.layouts import asked, layout, unused

Build = Callable[..., tuple[Task, Objective]]

TASK = {"name": "path_star", "degree": 2, "path_length": 5, "num_nodes": 12}

DEFINED: list[tuple[Any, str]] = [
    ("teacher_forcing", "a---"),
    ("reversed", "---a"),
    ("teacherless", "aaaa"),
    ({"name": "hints", "start": False}, "a---"),
    ({"name": "hints", "later": False}, "aaaa"),
    ({"name": "hints", "taught": "decision"}, "a---"),
    ({"name": "multi_token", "tokens": 5}, "aaaa"),
    ({"name": "multi_token", "tokens": 3}, "aaa-"),
    ({"name": "multi_token", "tokens": 3, "depth": "block"}, "aaag"),  # later states look back at the blind one
    ({"name": "ladder", "rungs": [0]}, "a--a"),
    ({"name": "ladder", "rungs": [1, 2]}, "aaa-"),
    ("token_order", "aaaa"),
    ("future_summary", "aaaa"),
    ({"name": "joint_multi_token", "tokens": 4}, "aggg"),
    ({"name": "joint_multi_token", "tokens": 2}, "ag--"),
    ({"name": "next_latent", "horizon": 3}, "agg-"),
    ({"name": "sequential_modules", "modules": 4}, "aggg"),
    ("belief_state", "aggg"),
]
"""For each answer token from the first step on: asked for alone, with others given, or not."""


def letters(found: Sequence[str]) -> str:
    return "".join({"alone": "a", "given": "g", "no": "-", "read": "r"}[one] for one in found)


@pytest.mark.parametrize(("method", "defined"), DEFINED, ids=[str(method) for method, _ in DEFINED])
def test_a_blind_state_is_asked_for_what_the_method_is_defined_to_ask(method: Any, defined: str, build: Build) -> None:
    task, objective = build(method, task=TASK)
    before = {name: value.clone() for name, value in objective.state_dict().items()}
    assert letters(asked(objective, task)) == defined
    assert all(torch.equal(value, before[name]) for name, value in objective.state_dict().items())


@pytest.mark.parametrize(
    ("method", "defined"),
    [
        ("teacher_forcing", ["a----", "ra---", "rra--", "rrra-", "rrrra"]),
        ("reversed", ["----a", "---ar", "--arr", "-arrr", "arrrr"]),
        ("teacherless", ["a----", "-a---", "--a--", "---a-", "----a"]),
        ({"name": "multi_token", "tokens": 2}, ["aa---", "raa--", "rraa-", "rrraa", "rrrra"]),
        ({"name": "sequential_modules", "modules": 1}, ["agggg", "raggg", "rragg", "rrrag", "rrrra"]),
    ],
    ids=str,
)
def test_every_state_is_asked_for_what_the_method_is_defined_to_ask(
    method: Any, defined: list[str], build: Build
) -> None:
    task, objective = build(method, task=TASK)
    found = layout(objective, task)
    assert [letters(one.asks) for one in found] == defined
    answer = task.sample("train", torch.arange(1))[1][0].tolist()
    dummies, backwards = method == "teacherless", method == "reversed"
    read = [objective.dummy] * 4 if dummies else answer[:0:-1] if backwards else answer[:-1]
    assert [one.reads for one in found[1:]] == read
    blind = 5 if dummies else 1 if backwards else 2
    assert [one.blind for one in found] == [True] * blind + [False] * (5 - blind)


def test_ids_that_are_not_in_an_answer() -> None:
    answers = torch.tensor([[0, 2, 3], [5, 4, 1]])
    assert unused(answers, 6).tolist() == [[1, 4, 5], [0, 2, 3]]
    with pytest.raises(LookaheadError, match="5 ids are too few to exchange 3 tokens"):
        unused(answers, 5)


def test_a_task_that_the_method_was_not_made_for_is_refused(build: Build) -> None:
    _, objective = build("teacher_forcing", task=TASK)
    with pytest.raises(LookaheadError, match="made for a task of"):
        layout(objective, Task.named("path_star")(2, 5, 40))
