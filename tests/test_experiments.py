"""Grids of runs: the catalogue as data, and the runner that does what is missing."""

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import MODEL, TASK
from filelock import FileLock

from lookahead import harness
from lookahead.errors import LookaheadError
from lookahead.experiments import EXPERIMENTS, Experiment, experiment, run_experiment
from lookahead.experiments import runner as runner_module
from lookahead.experiments.catalogue import PROFILES, gradients
from lookahead.results import Result, packed_path, read_packed, run_folder
from lookahead.runs import Run

SMALL = {"model": MODEL, "steps": 4, "batch_size": 8, "evaluate_every": 2}


@dataclasses.dataclass(frozen=True)
class TinyGrid(Experiment):
    """Two methods, two seeds, under a second each, whatever the profile."""

    def runs(self, profile: str) -> Any:
        for seed in range(2):
            for label, fields in self.cells.items():
                yield label, Run(task=TASK, seed=seed, **{**SMALL, **fields})


@pytest.fixture
def grid() -> Experiment:
    cells = {"forward": {"objective": "teacher_forcing"}, "backward": {"objective": "reversed"}}
    return TinyGrid(name="tiny", question="?", graphs=(), cells=cells, probe=gradients)


# -- the catalogue -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_grid_is_whole(name: str, profile: str) -> None:
    """Every cell of every graph, once a seed, all of a seed before the next; every run can be built."""
    found = experiment(name)
    grid = list(found.runs(profile))
    seeds = found.seeds.get(profile, PROFILES[profile]["seeds"])
    assert len(grid) == seeds * len(found.graphs) * len(found.cells)
    assert len({run.id for _, run in grid}) == len(grid)
    assert [run.seed for _, run in grid] == sorted(run.seed for _, run in grid)
    assert set(Counter(label for label, _ in grid).values()) == {seeds * len(found.graphs)}
    for label, run in grid[: len(grid) // seeds]:
        assert Run.from_json(run.to_json()).id == run.id
        if "task" not in found.cells[label]:
            assert run.task["num_nodes"] == PROFILES[profile]["num_nodes"]  # type: ignore[index]
        if profile != "paper":
            task, objective = run.build()
            assert objective.prompt_length == task.prompt_length


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_quick_runs_are_the_first_of_the_census(name: str) -> None:
    """So that a census trains no quick run again, and a chapter can find its own run in it."""
    quick = [run.id for _, run in experiment(name).runs("quick")]
    assert quick == [run.id for _, run in experiment(name).runs("census")][: len(quick)]


def test_the_papers_size_is_the_papers() -> None:
    """Bachmann and Nagarajan: GPT-Mini, 200,000 graphs, labels from 50, batch 256, rate 5e-4."""
    run = next(run for _, run in experiment("direction").runs("paper"))
    assert (run.train_examples, run.batch_size, run.learning_rate) == (200_000, 256, 0.0005)
    assert run.model["width"] == 384  # type: ignore[index]


def test_the_hints_are_all_of_them() -> None:
    """Both hints shown or hidden in every way, and the decision alone with its only hint shown and hidden."""
    objectives = [fields["objective"] for fields in experiment("hints").cells.values()]
    together = {(o.get("start", True), o.get("later", True)) for o in objectives if "taught" not in o}
    assert together == {(True, True), (True, False), (False, True), (False, False)}
    alone = {o.get("start", True) for o in objectives if o.get("taught") == "decision"}
    assert alone == {True, False}


def test_unknown_names_are_refused() -> None:
    with pytest.raises(LookaheadError, match="unknown experiment 'directions'; known: direction, hints"):
        experiment("directions")
    with pytest.raises(LookaheadError, match="unknown profile 'huge'; known: quick, census, paper"):
        list(experiment("direction").runs("huge"))


# -- the runner ----------------------------------------------------------------------------------------------


def test_a_grid_is_done_once_and_packed(grid: Experiment, store: Path, trainings: list[str]) -> None:
    said: list[str] = []
    done = run_experiment(grid, "quick", device="cpu", say=said.append)
    assert len(trainings) == len(done) == 4
    assert [line.split(":")[0] for line in said] == [
        "1/4 3 forward seed 0",
        "2/4 3 backward seed 0",
        "3/4 3 forward seed 1",
        "4/4 3 backward seed 1",
    ]
    packed = {result.run.id: result for result in read_packed("tiny-quick")}
    assert sorted(packed) == sorted(run.id for _, run in grid.runs("quick"))
    for result in done:
        assert json.dumps(packed[result.run.id].to_dict()) == json.dumps(result.to_dict())
        assert len(result.curve[0]["gradient"]["signal"]) == 3
    run_experiment(grid, "quick", device="cpu")
    assert len(trainings) == 4


def test_what_is_missing_is_done(grid: Experiment, store: Path, trainings: list[str]) -> None:
    missing = [run for _, run in grid.runs("quick")][2]
    run_experiment(grid, "quick", device="cpu")
    (run_folder(missing.id) / "result.json").unlink()
    trainings.clear()
    assert len(run_experiment(grid, "quick", device="cpu")) == 4
    assert trainings == []  # it is still packed
    packed_path("tiny-quick").unlink()
    assert len(run_experiment(grid, "quick", device="cpu")) == 4
    assert trainings == [missing.id]


def test_a_run_that_another_process_does_is_passed_over(grid: Experiment, store: Path, trainings: list[str]) -> None:
    busy = [run for _, run in grid.runs("quick")][1]
    run_folder(busy.id).mkdir(parents=True)
    with FileLock(run_folder(busy.id) / ".grid.lock"):
        done = run_experiment(grid, "quick", device="cpu")
    assert busy.id not in trainings
    assert len(done) == len(trainings) == 3
    assert len(read_packed("tiny-quick")) == 3


def test_a_run_that_fails_stops_no_other_and_is_not_kept_quiet(
    grid: Experiment, store: Path, trainings: list[str]
) -> None:
    corrupt = next(run for _, run in grid.runs("quick"))
    run_folder(corrupt.id).mkdir(parents=True)
    (run_folder(corrupt.id) / "result.json").write_text("{")
    said: list[str] = []
    with pytest.raises(LookaheadError, match="1 of 4 runs failed; what succeeded is stored"):
        run_experiment(grid, "quick", device="cpu", say=said.append)
    assert said[0].startswith("1/4 forward: failed: ")
    assert "is corrupt" in said[0]
    assert len(said) == 4
    assert sorted(result.run.id for result in read_packed("tiny-quick")) == sorted(trainings)


def test_the_time_limit_counts_the_longest_run_so_far(
    grid: Experiment, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that every run takes ten seconds of: two runs end within 25 seconds, a third would not."""
    now = [0.0]
    run = runner_module.run

    def ten_seconds(*given: Any, **more: Any) -> Result:
        now[0] += 10
        return run(*given, **more)

    monkeypatch.setattr(runner_module, "run", ten_seconds)
    monkeypatch.setattr(runner_module, "time", type("Clock", (), {"monotonic": staticmethod(lambda: now[0])}))
    said: list[str] = []
    done = run_experiment(grid, "quick", device="cpu", time_limit=25, say=said.append)
    assert len(done) == 2
    assert said[-1] == "time limit: the same call goes on from here"
    assert len(read_packed("tiny-quick")) == 2
    assert len(run_experiment(grid, "quick", device="cpu")) == 4


def test_nothing_done_packs_nothing(grid: Experiment, store: Path) -> None:
    assert run_experiment(grid, "quick", device="cpu", time_limit=-1) == []
    assert not packed_path("tiny-quick").exists()


def test_ctrl_c_ends_the_grid(
    grid: Experiment, store: Path, monkeypatch: pytest.MonkeyPatch, trainings: list[str]
) -> None:
    def stop(*given: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(harness, "_train", stop)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(grid, "quick", device="cpu")
