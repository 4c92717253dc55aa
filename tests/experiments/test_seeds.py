"""Seeds: results asked by field, by measure, for shares and times."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import lookahead
from lookahead import PathStar, Seeds, stored
from lookahead.errors import LookaheadError
from lookahead.evaluation.statistics import proportion
from lookahead.experiments.fields import fields_of
from lookahead.runs.result import SUCCESS, Result
from lookahead.runs.run import Run


@pytest.fixture(scope="module")
def cells() -> Seeds:
    return stored("architecture")


@pytest.fixture
def make(tiny_run: Callable[..., Run]) -> Callable[..., Result]:
    """A result with given measures on 1000 examples, chance at a half."""

    def one(accuracy: float, curve: Sequence[float] = (), **fields: Any) -> Result:
        rows = [{"step": 10 * i, "autoregressive_accuracy": share} for i, share in enumerate(curve, 1)]
        measures = {"autoregressive_accuracy": accuracy, "loss": [0.0, None, 0.5], "examples": 1000}
        manifest = {"device": "a CPU", "seconds": 1800, "steps": 10 * len(rows)}
        return Result(tiny_run(**fields), rows, measures, manifest, stamp="", replay=[])

    return one


def test_a_field_that_is_a_list_groups_by_its_content(make: Callable[..., Result]) -> None:
    ladders = Seeds(
        make(0.9, seed=seed, objective={"name": "ladder", "rungs": rungs}) for seed in (0, 1) for rungs in ([0], [0, 1])
    )
    assert {key: len(seeds) for key, seeds in ladders.by("rungs", "at").items()} == {
        ((0,), "decision"): 2,
        ((0, 1), "decision"): 2,
    }


def test_stored_is_in_the_order_of_the_grid(cells: Seeds) -> None:
    grid = [run.id for run in lookahead.experiments.find_experiment("architecture").runs("census")]
    assert [result.run.id for result in cells] == [id for id in grid if id in {r.run.id for r in cells}]
    with pytest.raises(LookaheadError, match="unknown experiment 'architectures'"):
        stored("architectures")
    with pytest.raises(LookaheadError, match="no stored results of 'architecture-paper'"):
        stored("architecture", "paper")


def test_where_takes_fields_and_options_by_their_own_names(cells: Seeds) -> None:
    deep = cells.where(objective="teacher_forcing", path_length=5)
    assert {(r.run.objective["name"], r.run.task["path_length"]) for r in deep} == {("teacher_forcing", 5)}  # type: ignore[index]
    mamba = cells.where(model="mamba-tiny")
    assert {r.run.model["name"] for r in mamba} == {"mamba"}  # type: ignore[index]
    assert list(cells.where(model="mamba")) == list(cells.where(model={"name": "mamba"})) == list(mamba)
    assert list(cells.where(task=PathStar(2, 5, 10))) == list(cells.where(path_length=5))
    both = cells.where(model=("mamba-tiny", "mamba2-tiny"))
    assert len(both) == len(mamba) + len(cells.where(model="mamba2-tiny"))
    assert [r for r in cells if r in both] == list(both)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"lenght": 5}, "no run here has a field 'lenght'; known: batch_size, beta2, "),
        ({"path_length": 7}, "no run here has path_length=7; there are 4, 5, 3"),
        ({"model": ("tiny", "mini")}, "no run here has model='mini'; there are 'tiny', 'mamba-tiny', 'mamba2-tiny'"),
        ({"objective": "teacherless", "path_length": 5}, "no run here has path_length=5; there are 3"),
    ],
)
def test_where_refuses_what_is_not_there(cells: Seeds, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(LookaheadError, match=message):
        cells.where(**fields)


def test_by_groups_in_stored_order(cells: Seeds) -> None:
    groups = cells.by("model")
    assert list(groups) == ["tiny", "mamba-tiny", "mamba2-tiny"]
    assert sum(map(len, groups.values())) == len(cells)
    pairs = cells.by("model", "path_length")
    assert list(pairs["tiny", 5]) == list(cells.where(model="tiny", path_length=5))
    state = cells.by("state")
    assert list(state[None]) == list(groups["tiny"])


def test_an_option_that_two_have_is_called_by_whose_it_is(make: Callable[..., Result]) -> None:
    tiny = make(0.5)
    assert Seeds([tiny]).where(width=16, start_from=None)[0] is tiny
    object.__setattr__(tiny.run, "objective", {"name": "teacher_forcing", "width": 3})
    names = fields_of(tiny.run)
    assert (names["model.width"], names["objective.width"], "width" in names) == (16, 3, False)


def test_values_are_the_final_measures(cells: Seeds) -> None:
    three = cells[:3]
    assert isinstance(three, Seeds)
    expected = [r.measures["autoregressive_accuracy"] for r in three]
    assert three.values("autoregressive_accuracy").tolist() == expected
    assert (three.lowest("autoregressive_accuracy"), three.highest("autoregressive_accuracy")) == (
        min(expected),
        max(expected),
    )
    assert three.mean("autoregressive_accuracy").value == pytest.approx(np.mean(expected))
    by_position = cells.where(path_length=5).values("teacher_forced_token_accuracy")
    assert by_position.shape == (len(cells.where(path_length=5)), 5)
    assert (by_position[:, 1] == cells.where(path_length=5).values("teacher_forced_token_accuracy", 1)).all()
    with pytest.raises(LookaheadError, match="'accuracy' was not measured; measured: "):
        cells.values("accuracy")


@pytest.mark.parametrize("ask", [Seeds.mean, Seeds.lowest, Seeds.highest])
def test_one_number_per_run_is_asked_for(ask: Callable[..., Any], cells: Seeds) -> None:
    deep, measure = cells.where(path_length=5), "teacher_forced_token_accuracy"
    assert ask(deep, measure, 1)
    for asked, message in (
        ((deep, measure), "'teacher_forced_token_accuracy' has 5 positions: say which, as position=0"),
        ((deep, measure, 5), "'teacher_forced_token_accuracy' has positions 0 to 4, not 5"),
        ((deep, "autoregressive_accuracy", 0), "'autoregressive_accuracy' is one number per run: it has no position 0"),
        ((deep[:0], measure), "'teacher_forced_token_accuracy' of no runs"),
    ):
        with pytest.raises(LookaheadError, match=message):
            ask(*asked)


def test_what_is_not_measured_at_a_position_is_nan(make: Callable[..., Result]) -> None:
    assert np.isnan(Seeds([make(0.5)]).values("loss")).tolist() == [[False, True, False]]


def test_success_is_counted_with_its_interval(make: Callable[..., Result]) -> None:
    seeds = Seeds([make(accuracy, seed=i) for i, accuracy in enumerate([SUCCESS, 0.5, 0.99, 0.94])])
    assert (seeds.won, seeds.success) == (2, proportion(0.5, 4))
    assert str(seeds) == "2 of 4 [0.15, 0.85]"
    assert seeds.accuracy.value == pytest.approx((SUCCESS + 0.5 + 0.99 + 0.94) / 4)
    assert seeds.judged_by == "autoregressive_accuracy"
    mixed = Seeds([make(0.5), make(0.5, judged_by="decision_accuracy")])
    with pytest.raises(LookaheadError, match="judged by one measure, not by autoregressive_accuracy and decision_acc"):
        _ = mixed.judged_by


def test_chance_has_one_rule(make: Callable[..., Result]) -> None:
    """1000 examples of G(2, 3) are worth 752 trials: four standard errors around a half are 0.073 on either side."""
    seeds = Seeds([make(accuracy) for accuracy in (0.40, 0.43, 0.5, 0.57, 0.58, 1.0)])
    assert seeds.at_chance().tolist() == [False, True, True, True, False, False]
    assert seeds.left_chance().tolist() == [False, False, False, False, True, True]
    with pytest.raises(LookaheadError, match="'loss' has no chance of its own; take autoregressive_accuracy, "):
        seeds.at_chance("loss")


def test_the_first_step_at_a_level(make: Callable[..., Result]) -> None:
    seeds = Seeds([make(0.9, [0.1, 0.6, 0.5, 0.96]), make(0.5, [0.1, 0.2])])
    assert seeds.first_step("autoregressive_accuracy", 0.6) == [20, None]
    assert seeds.time.median == 40
    assert [result.step_of_success for result in seeds] == [40, None]


def test_seeds_can_be_put_together_and_cut(make: Callable[..., Result]) -> None:
    first, second = (
        Seeds([make(0.5), make(0.5, seed=1)]),
        Seeds([make(0.5, seed=1), make(1.0, seed=2)]),
    )
    both = first + second
    assert both.seeds == [0, 1, 2]
    assert both[:1].seeds == [0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        both.provenance.runs = 3  # type: ignore[misc]


def test_provenance_counts_what_stands_behind(make: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Result, "current", False)
    found = Seeds([make(0.5), make(0.5, seed=1)]).provenance
    assert dataclasses.astuple(found) == (2, 2, ("a CPU",), 1.0, 2)
