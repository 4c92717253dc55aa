"""A training that is looked into goes where it goes unwatched."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lookahead.errors import LookaheadError
from lookahead.runs import harness
from lookahead.runs.result import trained
from lookahead.runs.run import Run
from lookahead.runs.watch import watch
from lookahead.training.member import NonFiniteLoss
from lookahead.training.step import Step

MakeRun = Callable[..., Run]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The training steps that are taken."""
    taken: list[int] = []
    take = Step.__call__
    monkeypatch.setattr(Step, "__call__", lambda self, step: (taken.append(step), take(self, step))[1])
    return taken


def test_the_weights_are_those_of_the_run_bit_for_bit(tiny_run: MakeRun, store: Path) -> None:
    """In the middle of it and at its end, under a schedule that knows its length, in the order of the run's seed."""
    run = tiny_run(optimizer="muon", schedule="cosine", train_examples=20, seed=3)
    middle = []

    def probe(objective: torch.nn.Module, task: object) -> dict[str, float]:
        middle.append({name: weight.clone() for name, weight in objective.state_dict().items()})
        return {}

    harness.run(run, device="cpu", probe=probe)
    for moment, expected in zip(watch(run, at=[0, 3, 6], device="cpu"), middle, strict=True):
        found = moment.objective.state_dict()
        assert all(torch.equal(found[name], weight) for name, weight in expected.items())
    final = trained(run)[1].state_dict()
    assert all(torch.equal(found[name], weight) for name, weight in final.items())


def test_it_trains_once_in_order_and_no_further_than_asked(tiny_run: MakeRun, steps: list[int], store: Path) -> None:
    moments = watch(tiny_run(), at=[5, 2, 0, 2], device="cpu")
    assert steps == []
    seen = [(moment.step, len(steps)) for moment in moments]
    assert seen == [(0, 0), (2, 2), (5, 5)]
    assert steps == [0, 1, 2, 3, 4]
    assert not store.exists(), "nothing is stored"


def test_it_starts_from_another_runs_weights(tiny_run: MakeRun, store: Path) -> None:
    first = tiny_run()
    harness.run(first, device="cpu")
    second = tiny_run(start_from=first.id, seed=1)
    (moment,) = watch(second, at=[0], device="cpu")
    expected = trained(first)[1].model.state_dict()
    assert all(torch.equal(found, expected[name]) for name, found in moment.objective.model.state_dict().items())


@pytest.mark.parametrize("at", [[], [-1], [0, 7]])
def test_steps_that_are_not_there_are_refused_at_once(at: list[int], tiny_run: MakeRun) -> None:
    with pytest.raises(LookaheadError, match="at must hold training steps from 0 to 6"):
        watch(tiny_run(), at=at)


def test_what_is_no_run_is_refused_at_once(tiny_run: MakeRun) -> None:
    with pytest.raises(LookaheadError, match=r"at\[0\] must be a whole number"):
        watch(tiny_run(), at=[0.5])  # type: ignore[list-item]
    with pytest.raises(LookaheadError, match="unknown in a run: stepz"):
        watch(at=[0], task="G(2,5)", stepz=3)
    with pytest.raises(TypeError, match="a run and also its fields were given: steps"):
        watch(tiny_run(), at=[0], steps=3)


def test_a_training_that_leaves_the_numbers_says_so(tiny_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Step, "finite", lambda step: torch.tensor([False]))
    with pytest.raises(NonFiniteLoss, match="by step 2 a weight is no number"):
        list(watch(tiny_run(), at=[2], device="cpu"))
