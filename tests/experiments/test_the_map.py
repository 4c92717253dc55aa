"""The map at the paper's size: who starts it on a GPU meets no surprise."""

import dataclasses
import math
from pathlib import Path

import pytest

import lookahead
from lookahead import cli
from lookahead.experiments import find_experiment
from lookahead.runs import examples
from lookahead.runs.run import Run

MAP = find_experiment("map")
PAPER = [run for run in MAP.runs("paper") if run.seed == 0]
TRIED = [
    run for run in PAPER
    if run.build_task().title == "G(2,5)" or (run.objective["name"], run.model["name"]) == ("reversed", "transformer")  # type: ignore[index]
]  # fmt: skip
"""Every way of training with both networks, and every graph."""


def test_it_holds_the_papers_graphs_and_ways_for_both_networks() -> None:
    ways = {(run.build_task().title, run.model["name"], run.objective["name"]) for run in PAPER}  # type: ignore[index]
    assert len(ways) == len(PAPER) == 5 * 2 * 4
    assert {title for title, _, _ in ways} == {"G(2,5)", "G(5,5)", "G(10,5)", "G(2,20)", "G(20,5)"}
    assert {(run.train_examples, run.batch_size, run.steps) for run in PAPER} == {(200_000, 256, 40_000)}


@pytest.mark.long
@pytest.mark.parametrize("run", TRIED, ids=lambda run: run.id)
def test_every_kind_of_cell_makes_its_first_steps(run: Run, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With four examples per step, and as many to judge it; all else as it stands."""
    for name in ("VALIDATION_EXAMPLES", "TEST_EXAMPLES"):
        monkeypatch.setattr(examples, name, 4)
    result = lookahead.run(dataclasses.replace(run, batch_size=4, steps=2, evaluate_every=2), device="cpu")
    assert math.isfinite(result.curve[-1]["training_loss"])


@pytest.mark.long
def test_the_command_starts_it_as_it_stands(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["run", "map", "--profile", "paper", "--only", PAPER[0].id, "--device", "cpu", "--time-limit", "60"]
    assert cli.main(call) == cli.UNFINISHED
    assert (store / "runs" / PAPER[0].id / "checkpoint.safetensors").exists()
    assert capsys.readouterr().err == ""
