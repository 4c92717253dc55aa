"""A run's configuration: its id, its text, what it builds, what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lookahead.contracts import Task
from lookahead.errors import LookaheadError
from lookahead.models import Transformer
from lookahead.objectives import Reversed
from lookahead.runs import harness
from lookahead.runs.result import load_weights
from lookahead.runs.run import Run
from lookahead.tasks import PathStar
from lookahead.training import Settings

TASK = {"name": "path_star", "degree": 2, "path_length": 4, "num_nodes": 10}
MakeRun = Callable[..., Run]

PINNED: dict[str, dict[str, Any]] = {
    "9bcb11b61904": {
        "objective": "teacher_forcing",
        "steps": 600,
        "optimizer": "muon",
        "evaluate_every": 20,
        "stop_at": 0.98,
    },
    "eb1ba344e277": {
        "task": {**TASK, "path_length": 3},
        "objective": "hints",
        "steps": 1000,
        "optimizer": "muon",
        "stop_at": 0.98,
        "judged_by": "decision_accuracy",
    },
    "3af513f71d27": {
        "task": {**TASK, "num_nodes": 50},
        "model": "mini",
        "steps": 40_000,
        "batch_size": 256,
        "train_examples": 200_000,
        "optimizer": "muon",
        "learning_rate": 5e-4,
        "evaluate_every": 1000,
        "stop_at": 0.98,
        "precision": "bfloat16",
    },
}


@pytest.mark.parametrize(("identity", "fields"), PINNED.items(), ids=PINNED)
def test_ids_are_pinned(identity: str, fields: dict[str, Any]) -> None:
    """A change here orphans stored results: a new field must have a default that means what was before."""
    assert Run(**{"task": TASK, **fields}).id == identity


def test_the_id_is_a_hash_of_what_is_not_at_its_default() -> None:
    run = Run(task=PathStar(2, 4, 10))
    model = {"name": "transformer", "layers": 3, "width": 64, "heads": 4}
    assert run.config == {"task": TASK, "model": model, "objective": {"name": "teacher_forcing"}}
    spelled_out = Run(
        task=TASK,
        model={**model, "implementation": "sdpa"},
        objective={"name": "teacher_forcing"},
        seed=0,
        start_from=None,
        **{name: getattr(run, name) for name in Settings.__dataclass_fields__},
    )
    assert spelled_out.config == run.config
    assert spelled_out.id == run.id
    hints = Run(task=TASK, objective={"name": "hints", "start": True, "later": False})
    assert hints.config["objective"] == {"name": "hints", "later": False}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"steps": 1000.0}, {"steps": 1000}),
        ({"steps": np.int64(1000)}, {"steps": 1000}),
        ({"seed": 3.0}, {"seed": 3}),
        ({"seed": np.int32(3)}, {"seed": 3}),
        ({"learning_rate": 1}, {"learning_rate": 1.0}),
        ({"learning_rate": np.float64(0.005)}, {"learning_rate": 0.005}),
        ({"learning_rate": np.float32(0.5)}, {"learning_rate": 0.5}),
        ({"learning_rate": torch.tensor(0.5)}, {"learning_rate": 0.5}),
        ({"optimizer": np.str_("muon")}, {"optimizer": "muon"}),
        ({"task": {**TASK, "question_first": np.bool_(True)}}, {"task": {**TASK, "question_first": True}}),
        (
            {"model": {"name": "mamba", "layers": np.int8(2), "width": 8.0}},
            {"model": {"name": "mamba", "layers": 2, "width": 8}},
        ),
        ({"task": {**TASK, "num_nodes": 10.0}}, {"task": TASK}),
        ({"task": PathStar(2, 4, 10)}, {"task": TASK}),
        ({"task": PathStar(2.0, 4, np.int64(10))}, {"task": TASK}),  # type: ignore[arg-type]
        ({"model": "mini"}, {"model": {"name": "transformer", "layers": 12, "width": 384, "heads": 6}}),
        ({"model": "tiny"}, {}),
        ({"objective": "reversed"}, {"objective": {"name": "reversed"}}),
    ],
)
def test_the_same_run_said_in_two_ways(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = Run(**{"task": TASK, **one}), Run(**{"task": TASK, **other})
    assert first.id == second.id
    assert first == second
    assert json.dumps(first.config) == json.dumps(second.config)


def test_numbers_become_what_they_are() -> None:
    run = Run(task=TASK, steps=10.0, seed=np.int64(3), batch_size=8.0)  # type: ignore[arg-type]
    assert [type(value) for value in (run.steps, run.seed, run.batch_size)] == [int] * 3
    drawn = run.build_task().sample("train", torch.arange(4))[0]
    assert torch.equal(drawn, PathStar(2, 4, 10, seed=3).sample("train", torch.arange(4))[0])


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"steps": 1999},
        {"batch_size": 64},
        {"train_examples": 1000},
        {"precision": "bfloat16"},
        {"weight_decay": 0},
        {"objective": "reversed"},
        {"objective": {"name": "hints"}},
        {"model": "mini"},
        {"task": {**TASK, "num_nodes": 11}},
        {"start_from": "9bcb11b61904"},
        {"clip": None},
    ],
)
def test_what_determines_the_weights_changes_the_id(change: dict[str, Any]) -> None:
    assert Run(**{"task": TASK, **change}).id != Run(task=TASK).id


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"steps": 7, "learning_rate": 1e-4, "clip": None, "seed": 5, "stop_at": 0.98, "start_from": "9bcb11b61904"},
        {"model": "mini", "objective": {"name": "hints", "start": False, "taught": "decision"}},
    ],
)
def test_to_json_and_back(fields: dict[str, Any]) -> None:
    run = Run(task=TASK, **fields)
    back = Run.from_json(run.to_json())
    assert back == run
    assert back.id == run.id
    assert Run.of(json.loads(json.dumps(run.config))) == run
    assert back.to_json() == run.to_json()


# -- refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"task": TASK, "stepz": 5, "sed": 1}, "unknown in a run: stepz, sed; known: batch_size, .*steps"),
        ({"task": TASK, "id": "9bcb11b61904"}, "unknown in a run: id"),
        ({}, "a run needs a task"),
        ({"task": "maze"}, "unknown task 'maze'; known: .*path_star"),
        ({"task": "path_star"}, "task 'path_star' needs degree, path_length, num_nodes"),
        ({"task": {"degree": 2}}, "a task is given by its name or as a mapping with a name"),
        ({"task": TASK, "objective": 5}, "an objective is given by its name or as a mapping with a name, not 5"),
        ({"task": 5}, "a task is given by its name or as a mapping with a name, not 5"),
        ({"task": {**TASK, "depth": 1}}, "unknown option of task 'path_star': depth; known: degree, path_length, num_"),
        ({"task": {**TASK, "seed": 1}}, "unknown option of task 'path_star': seed"),
        ({"task": {**TASK, "num_nodes": 6}}, r"G\(2,4\) has 7 nodes, so num_nodes must be at least 7"),
        (
            {"task": TASK, "model": "huge"},
            "unknown model 'huge'; known: gpt2, gpt2-large, gpt2-medium, gpt2-xl, mamba, mamba-mini, mamba-tiny, "
            "mamba2, mamba2-mini, mamba2-tiny, mini, pretrained, pythia-1.4b, .* tiny, transformer$",
        ),
        ({"task": TASK, "model": "transformer"}, "model 'transformer' needs layers, width, heads"),
        (
            {"task": TASK, "model": {"name": "tiny"}},
            "unknown model 'tiny'; known: mamba, mamba2, pretrained, transformer",
        ),
        (
            {"task": TASK, "objective": "magic"},
            "unknown objective 'magic'; known: .*belief_state, .*hints, .*ladder, .*teacher_forcing",
        ),
        (
            {"task": TASK, "objective": {"name": "hints", "x": 1}},
            "unknown option of objective 'hints': x; known: start",
        ),
        ({"task": TASK, "steps": "many"}, "steps must be a whole number, not 'many'"),
        ({"task": TASK, "seed": "one"}, "seed must be a whole number, not 'one'"),
        ({"task": TASK, "seed": -1}, "seed must be at least 0, not -1"),
        ({"task": TASK, "seed": 2**64}, "seed must be at most 9007199254740992, not 18446744073709551616"),
        ({"task": TASK, "seed": True}, "seed must be a whole number, not True"),
        ({"task": TASK, "start_from": 5}, "start_from must be text or None, not 5"),
        ({"task": TASK, "start_from": "../../x"}, "start_from is the id of a run, such as 9bcb11b61904; not '../../x'"),
        ({"task": {**TASK, "num_nodes": 10.5}}, "num_nodes must be a whole number, not 10.5"),
        ({"task": {**TASK, "question_first": 1}}, "question_first must be true or false, not 1"),
        ({"task": {"name": ["x"]}}, r"unknown task \['x'\]; known: .*path_star"),
        ({"task": {**TASK, 5: 1}}, "unknown option of task 'path_star': 5; known"),
        (
            {"task": TASK, "model": {"name": "transformer", "layers": True, "width": 8, "heads": 2}},
            "layers must be a who",
        ),
        (
            {"task": TASK, "model": {"name": "transformer", "layers": 0, "width": 8, "heads": 2}},
            "layers must be at least",
        ),
        (
            {"task": TASK, "model": {"name": "mamba", "layers": 2, "width": 8, "state": 2.5}},
            "state must be a whole number",
        ),
        ({"task": TASK, "objective": {"name": "hints", "start": 1}}, "start must be true or false, not 1"),
        ({"task": TASK, "objective": {"name": "hints", "taught": "none"}}, "taught must be one of all, decision, not"),
    ],
)
def test_what_is_no_run_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(LookaheadError, match=message):
        Run.of(config)


@pytest.mark.parametrize(("text", "message"), [("{", "no JSON"), ("[1]", "a run is a JSON object")])
def test_text_that_is_no_run_is_refused(text: str, message: str) -> None:
    with pytest.raises(LookaheadError, match=message):
        Run.from_json(text)


def test_more_reserved_ids_than_there_are_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = Reversed.needs(15, 3)
    monkeypatch.setattr(Reversed, "needs", lambda *_, **__: type(needs)(longest=30, extra_tokens=5))
    with pytest.raises(LookaheadError, match="reversed needs 5 extra tokens; 4 are reserved"):
        Run(task=TASK, objective="reversed").build()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"checkpoint_every": 0}, "checkpoint_every must be at least 1, not 0"),
        ({"checkpoint_every": 2.5}, "checkpoint_every must be a whole number or None, not 2.5"),
        ({"resume": "last"}, "resume must be one of latest, never, not 'last'"),
        ({"deadline": "9m"}, "deadline must be a number or None, not '9m'"),
    ],
)
def test_how_a_run_is_done_is_checked_before_it_is(
    how: dict[str, Any], message: str, tiny_run: MakeRun, store: Path
) -> None:
    with pytest.raises(LookaheadError, match=message):
        harness.run(tiny_run(), device="cpu", **how)
    assert not store.exists() or not any(store.iterdir())


# -- built ---------------------------------------------------------------------------------------------------


def same(one: torch.nn.Module, other: torch.nn.Module) -> list[bool]:
    return [torch.equal(p, q) for p, q in zip(one.parameters(), other.parameters(), strict=True)]


def test_a_run_builds_the_same_weights_whatever_was_drawn_before(tiny_run: MakeRun) -> None:
    torch.manual_seed(1)
    one = tiny_run(seed=5).build()[1]
    torch.manual_seed(2)
    torch.rand(7)
    state = torch.random.get_rng_state()
    other = tiny_run(seed=5).build()[1]
    assert all(same(one, other))
    assert torch.equal(torch.random.get_rng_state(), state), "building draws from the caller's generator"
    third = dict(tiny_run(seed=6).build()[1].named_parameters())
    drawn = {k: v for k, v in one.named_parameters() if v.ndim == 2}
    assert not any(torch.equal(weight, third[name]) for name, weight in drawn.items())


def test_first_weights_are_pinned() -> None:
    """All stored results began there."""
    model = Run(task=TASK, seed=1).build()[1].model
    assert isinstance(model, Transformer)
    found = [model.token_embedding.weight[0, 0], model.blocks[2].mlp_out.weight[1, 2]]
    assert [round(value.item(), 6) for value in found] == [-0.027567, -0.009847]


def test_the_seed_of_the_run_draws_the_data() -> None:
    tasks = [Run(task=TASK, seed=seed).build()[0] for seed in (3, 4)]
    assert [task.seed for task in tasks] == [3, 4]


def test_starting_from_another_runs_weights(tiny_run: MakeRun, store: Any) -> None:
    first = tiny_run(seed=1)
    harness.run(first, device="cpu")
    from lookahead import trained

    second = tiny_run(seed=2, objective="reversed", start_from=first.id, steps=1, learning_rate=1e-12, weight_decay=0)
    harness.run(second, device="cpu")
    for one, other in zip(trained(first)[1].parameters(), trained(second)[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=0)
    assert not all(same(trained(first)[1], second.build()[1]))
    model = second.build()[1].model
    load_weights(model, first.id)
    assert all(same(model, trained(first)[1].model))
    with pytest.raises(LookaheadError, match=r"no weights of run 0123456789ab in .*: do that run first"):
        harness.run(tiny_run(start_from="0123456789ab"), device="cpu")


def test_a_subclass_takes_no_presets_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task of one's own that extends path-star has its own name, and presets only where it states them."""
    monkeypatch.setattr(Task, "known", dict(Task.known))

    class Longer(PathStar, name="longer"):
        pass

    assert Run(task="G(2,5)").task["name"] == "path_star"  # type: ignore[index]


def test_a_name_that_is_taken_is_refused_and_what_is_defined_again_takes_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Task, "known", dict(Task.known))

    def defined() -> type[Task]:
        class Again(PathStar, name="again"):
            pass

        return Again

    defined()
    assert defined() is Task.named("again")
    with pytest.raises(LookaheadError, match=r"'tree' is lookahead\.tasks\.tree\.Tree: take another name"):

        class Mine(PathStar, name="tree"):
            pass

    assert Task.named("tree").__module__ == "lookahead.tasks.tree"
