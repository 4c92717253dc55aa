"""Grids of runs: the catalogue as data, and the runner that does what is missing."""

import dataclasses
import errno
import hashlib
import json
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import MODEL, TASK
from filelock import FileLock

from lookahead.errors import LookaheadError, NoRoom
from lookahead.experiments import (
    EXPERIMENTS,
    PROFILES,
    Experiment,
    all_experiments,
    find_experiment,
    pack_experiment,
    run_experiment,
)
from lookahead.experiments import grid as grid_module
from lookahead.experiments import runner as runner_module
from lookahead.experiments.catalogue.indecipherable_token import gradients
from lookahead.experiments.fields import labels
from lookahead.experiments.grid import counts, grid_state, read_failure, seconds_left, write_failure
from lookahead.experiments.report import summary_line, table
from lookahead.runs import harness
from lookahead.runs import result as results
from lookahead.runs.parquet import pack, packed_path, read_packed
from lookahead.runs.result import Result, read_result, run_folder, trained
from lookahead.runs.run import Run
from lookahead.runs.staleness import stamp
from lookahead.tasks import PathStar
from lookahead.training import Member
from lookahead.training.sitting import Sitting
from read_only import make_read_only

SMALL = {"model": MODEL, "steps": 4, "batch_size": 8, "evaluate_every": 2}


@dataclasses.dataclass(frozen=True)
class TinyGrid(Experiment):
    """Two methods, two seeds, under a second each, whatever the profile."""

    def runs(self, profile: str) -> Any:
        for seed in range(2):
            for fields in self.cells:
                yield Run(task=TASK, seed=seed, **{**SMALL, **fields})


@pytest.fixture
def grid() -> Experiment:
    cells = [{"objective": "teacher_forcing"}, {"objective": "reversed"}]
    return TinyGrid(name="tiny", question="?", cells=cells, probe=gradients)


def test_a_cell_can_start_from_a_cell_of_the_same_seed() -> None:
    parent = {"objective": "reversed", "steps": 7}
    fields = {"task": TASK, "steps": 9}
    parents = Experiment(name="before", question="?", cells=[parent], fields=fields)
    children = Experiment(name="on", question="?", cells=[{"start_from": parent}], fields=fields)
    found = list(children.runs("quick"))
    assert [run.start_from for run in found] == [run.id for run in parents.runs("quick")]
    assert {run.steps for run in found} == {9}
    round_and_round: dict[str, Any] = {"objective": "reversed"}
    round_and_round["start_from"] = round_and_round
    with pytest.raises(LookaheadError, match="experiment on: a cell starts from itself"):
        list(Experiment(name="on", question="?", cells=[round_and_round], fields=fields).runs("quick"))
    bad = Experiment(name="on", question="?", cells=[{"start_from": {"objective": "magic"}}], fields=fields)
    with pytest.raises(LookaheadError, match=r"experiment on, cell .*magic"):
        list(bad.runs("quick"))


# -- the catalogue -------------------------------------------------------------------------------------------


IDS = "7cd1ee02320b18ca67ba98ff6dcd32e81286ee80fc56babbf5baf1bfc58f0003"
"""Digest of the ids of all runs of the experiments that are in the book, in their order."""


def test_the_ids_of_all_runs_are_what_they_were() -> None:
    """Another id is another run: its stored result would be lost. A new experiment changes the digest, too."""
    lines = [
        f"{name} {profile} {run.seed} {run.id}\n"
        for name, experiment in EXPERIMENTS.items()
        for profile in PROFILES
        for run in experiment.runs(profile)
    ]
    assert hashlib.sha256("".join(lines).encode()).hexdigest() == IDS


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_grid_is_whole(name: str, profile: str) -> None:
    """Every cell once a seed, all of a seed before the next, under a label of its own; every run can be built."""
    experiment = find_experiment(name)
    here = dataclasses.replace(experiment, **experiment.overrides.get(profile, {}))
    grid = list(experiment.runs(profile))
    seeds = here.seeds.get(profile, PROFILES[profile].seeds)
    assert Counter(labels(grid)).total() == sum(min(seeds, cell.get("seeds", seeds)) for cell in here.cells)
    assert len(set(labels(grid))) == len(here.cells)
    assert len({run.id for run in grid}) == len(grid)
    assert [run.seed for run in grid] == sorted(run.seed for run in grid)
    for cell, run in zip(here.cells, grid, strict=False):
        assert Run.from_json(run.to_json()).id == run.id
        asked = {**here.fields, **cell}.get("task", {})
        if "num_nodes" not in asked and run.task["name"] == "path_star":  # type: ignore[index]
            assert run.task["num_nodes"] == PROFILES[profile].tasks["path_star"]["num_nodes"]  # type: ignore[index]
        if profile != "paper":
            task, objective = run.build()
            assert objective.prompt_length == task.prompt_length


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_quick_runs_are_the_first_of_the_census(name: str) -> None:
    """So that a census trains no quick run again, and a chapter can find its own run in it."""
    quick = [run.id for run in find_experiment(name).runs("quick")]
    assert quick == [run.id for run in find_experiment(name).runs("census")][: len(quick)]


def test_the_papers_size_is_the_papers() -> None:
    """Bachmann and Nagarajan: GPT-Mini, 200,000 graphs, labels from 50, batch 256, rate 5e-4."""
    run = next(find_experiment("direction").runs("paper"))
    assert (run.train_examples, run.batch_size, run.learning_rate) == (200_000, 256, 0.0005)
    assert (run.task, run.model["width"]) == (  # type: ignore[index]
        Run(task="G(2,5)").task,
        384,
    )


def test_the_hints_are_all_of_them() -> None:
    """Both hints shown or hidden in every way, and the decision alone with its only hint shown and hidden."""
    objectives = [cell["objective"] for cell in find_experiment("hints").cells]
    together = {(o.get("start", True), o.get("later", True)) for o in objectives if "taught" not in o}
    assert together == {(True, True), (True, False), (False, True), (False, False)}
    alone = {o.get("start", True) for o in objectives if o.get("taught") == "decision"}
    assert alone == {True, False}


def test_a_cell_comes_before_the_profile_and_the_profile_before_a_preset() -> None:
    def num_nodes(task: Any, profile: str) -> int:
        (run, *_) = Experiment(name="x", question="?", cells=[{"task": task}]).runs(profile)
        return run.task["num_nodes"]  # type: ignore[index]

    sizes = {"name": "path_star", "degree": 2, "path_length": 5}
    assert [num_nodes(sizes, profile) for profile in PROFILES] == [10, 10, 50]
    assert num_nodes({**sizes, "num_nodes": 20}, "quick") == 20
    assert [num_nodes("G(2,5)", profile) for profile in PROFILES] == [10, 10, 50]
    assert num_nodes(PathStar(2, 5, 30), "quick") == 30


def test_fields_come_after_the_profile_and_a_cell_before_it() -> None:
    experiment = Experiment(
        name="x",
        question="?",
        cells=[{"steps": 7, "seeds": 1}, {"objective": "reversed"}],
        fields={"task": TASK, "steps": 5, "optimizer": "muon"},
        overrides={"census": {"fields": {"task": TASK}}},
        seeds={"quick": 2},
    )
    assert [(run.seed, run.steps) for run in experiment.runs("quick")] == [(0, 7), (0, 5), (1, 5)]
    assert [run.steps for run in experiment.runs("paper")][:2] == [7, 40_000]
    assert {run.optimizer for run in experiment.runs("census")} == {"adamw"}
    wrong = dataclasses.replace(experiment, cells=[{"stpes": 7}])
    with pytest.raises(LookaheadError, match="unknown in a run: stpes"):
        list(wrong.runs("quick"))


def test_a_cell_is_found_by_its_fields() -> None:
    experiment = find_experiment("architecture")
    asked = {"model": "mamba", "objective": "teacher_forcing", "path_length": 5}
    run = experiment.cell("quick", asked)
    assert (run.model["name"], run.task["path_length"], run.seed) == ("mamba", 5, 0)  # type: ignore[index]
    assert experiment.cell("paper", asked).model["width"] > run.model["width"]  # type: ignore[index]
    with pytest.raises(LookaheadError, match=r"no cell of architecture at profile quick has .*; there are G\(2,4"):
        experiment.cell("quick", {"path_length": 9})


def test_a_label_says_what_tells_a_cell_apart(tiny_run: Callable[..., Run]) -> None:
    def words(*fields: dict[str, Any]) -> list[str]:
        return labels([tiny_run(**one) for one in fields])

    assert words({}, {"seed": 1}) == ["G(2,3) teacher_forcing"] * 2
    assert words({}, {"objective": "reversed"}) == ["G(2,3) teacher_forcing", "G(2,3) reversed"]
    rates = [{"optimizer": optimizer, "learning_rate": rate} for optimizer, rate in (("adamw", 1e-3), ("muon", 2e-3))]
    assert words(*rates) == ["G(2,3) teacher_forcing, adamw", "G(2,3) teacher_forcing, muon"]
    assert words({"model": "tiny"}, {}) == ["G(2,3) teacher_forcing, tiny", "G(2,3) teacher_forcing, transformer"]
    hidden = {"name": "hints", "start": False}
    assert words({"objective": "hints"}, {"objective": hidden}) == ["G(2,3) hints", "G(2,3) hints, start=False"]
    assert words({"train_examples": 50}, {}) == ["G(2,3) teacher_forcing, train_examples=50", "G(2,3) teacher_forcing"]
    labelled = {**TASK, "num_nodes": 20}
    assert words({}, {"task": labelled}) == [f"G(2,3) teacher_forcing, num_nodes={n}" for n in (10, 20)]


def test_unknown_names_are_refused() -> None:
    with pytest.raises(LookaheadError, match="unknown experiment 'directions'; known: direction, direction-longer"):
        find_experiment("directions")
    with pytest.raises(LookaheadError, match="unknown profile 'huge'; known: quick, census, paper"):
        list(find_experiment("direction").runs("huge"))


def test_experiments_of_ones_own_stand_beside_the_books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from lookahead.experiments import Experiment\n"
        "mine = Experiment(name='mine', question='?', cells=[{'objective': 'reversed', 'task': 'G(2,5)'}])\n"
        "EXPERIMENTS = {'mine': mine}\n"
    )
    monkeypatch.setenv("LOOKAHEAD_EXPERIMENTS", str(file))
    assert labels(list(find_experiment("mine").runs("quick"))) == ["G(2,5) reversed"]
    assert list(all_experiments()) == [*EXPERIMENTS, "mine"]
    file.write_text(file.read_text().replace("mine", "direction"))
    with pytest.raises(LookaheadError, match="the book has an experiment direction of its own: name yours otherwise"):
        find_experiment("direction")


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "a/b", "", ".", "a.b", "a b", "-a", "a\n", "é", 5, None])
def test_a_name_that_is_no_name_is_refused(name: Any) -> None:
    with pytest.raises(LookaheadError, match="the name of an experiment is letters, digits, - and _, not "):
        Experiment(name=name, question="?", cells=[])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cells": {"objective": "reversed"}}, "cells is a list of mappings, each the fields of a run, not {'obj"),
        ({"cells": ["reversed"]}, "cells is a list of mappings"),
        ({"fields": ["steps"]}, "fields is a mapping, not"),
        ({"seeds": 3}, "seeds is a mapping, not 3"),
        ({"seeds": {"cenus": 3}}, "unknown profile 'cenus'; known: quick, census, paper"),
        ({"seeds": {"census": "3"}}, "seeds must be a whole number, not '3'"),
        ({"seeds": {"census": 0}}, "seeds must be at least 1, not 0"),
        ({"cells": [{"seeds": 1.5}]}, "seeds must be a whole number, not 1.5"),
        ({"overrides": {"papr": {}}}, "unknown profile 'papr'"),
        ({"overrides": {"paper": {"cels": []}}}, "an override is a mapping of some of question, cells, fields, "),
        ({"overrides": {"paper": {"name": "b"}}}, "an override is a mapping of some of"),
    ],
)
def test_an_experiment_that_is_none_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(LookaheadError, match=f"experiment mine: {message}"):
        Experiment(**{"name": "mine", "question": "?", "cells": [], **wrong})


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ({"stpes": 7}, "unknown in a run: stpes; known: batch_size, "),
        ({"objective": "revresed"}, "unknown objective 'revresed'; known: "),
        ({"objective": {"name": "hints", "strat": True}}, "unknown option of objective 'hints': strat; known: start"),
        ({"objective": {"nme": "hints"}}, "an objective is given by its name or as a mapping with a name"),
        ({"task": "G(2.5)"}, "unknown task 'G\\(2.5\\)'; known: "),
        ({"task": {"name": ["path_star"]}}, "TypeError: unhashable type"),
        ({"task": None}, "a task is given by its name"),
        ({"optimizer": "adam"}, ""),
        ({"steps": "many"}, ""),
        ({"learning_rate": {}}, ""),
    ],
)
def test_a_typo_in_a_cell_names_the_experiment(cell: dict[str, Any], message: str) -> None:
    mine = Experiment(name="mine", question="?", cells=[{"task": TASK, **cell}])
    with pytest.raises(LookaheadError, match=f"experiment mine, cell {{.*}}: {message}"):
        list(mine.runs("quick"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "defines no EXPERIMENTS = "),
        ("EXPERIMENTS = {'mine': 3}", "EXPERIMENTS\\['mine'\\] is no Experiment of that name"),
        ("EXPERIMENTS = 3", "defines no EXPERIMENTS = "),
        ("raise KeyError('EXPERIMENTS')", "cannot be run: KeyError: 'EXPERIMENTS'"),
        ("import sys; sys.exit()", "cannot be run: SystemExit: "),
        (
            "from lookahead.experiments import Experiment\nEXPERIMENTS = {'a/b': Experiment('a/b', '?', [])}",
            "cannot be run: the name of an experiment is letters, digits, - and _, not 'a/b'",
        ),
        ("1 / 0", "which LOOKAHEAD_EXPERIMENTS names, cannot be run: ZeroDivisionError"),
        (None, "cannot be run: FileNotFoundError"),
    ],
)
def test_a_file_of_experiments_that_is_none_is_refused(
    text: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if text is not None:
        (tmp_path / "mine.py").write_text(text)
    monkeypatch.setenv("LOOKAHEAD_EXPERIMENTS", str(tmp_path / "mine.py"))
    with pytest.raises(LookaheadError, match=message):
        find_experiment("direction")


# -- the runner ----------------------------------------------------------------------------------------------


def test_a_grid_is_done_once_and_packed(grid: Experiment, store: Path, trainings: list[str]) -> None:
    said: list[str] = []
    done = run_experiment(grid, "quick", device="cpu", log=said.append).done
    assert len(trainings) == len(done) == 4
    assert [line.split(":")[0] for line in said] == [
        "1/4 G(2,3) teacher_forcing, seed 0",
        "2/4 G(2,3) reversed, seed 0",
        "3/4 G(2,3) teacher_forcing, seed 1",
        "4/4 G(2,3) reversed, seed 1",
    ]
    packed = {result.run.id: result for result in read_packed("tiny-quick")}
    assert sorted(packed) == sorted(run.id for run in grid.runs("quick"))
    for result in done:
        assert json.dumps(packed[result.run.id].to_dict()) == json.dumps(result.to_dict())
        assert len(result.curve[0]["gradient"]["signal"]) == 3
    run_experiment(grid, "quick", device="cpu")
    assert len(trainings) == 4


def test_what_is_missing_is_done(grid: Experiment, store: Path, trainings: list[str]) -> None:
    missing = list(grid.runs("quick"))[2]
    run_experiment(grid, "quick", device="cpu")
    (run_folder(missing.id) / "result.json").unlink()
    trainings.clear()
    assert len(run_experiment(grid, "quick", device="cpu").done) == 4
    assert trainings == []  # it is still packed
    packed_path("tiny-quick").unlink()
    assert len(run_experiment(grid, "quick", device="cpu").done) == 4
    assert trainings == [missing.id]


def test_lost_weights_are_made_again_where_they_are_asked_for(
    grid: Experiment, store: Path, trainings: list[str]
) -> None:
    """The result stands: without a word nothing is trained again."""
    run_experiment(grid, "quick", device="cpu")
    lost = next(grid.runs("quick"))
    shutil.rmtree(run_folder(lost.id))
    trainings.clear()
    run_experiment(grid, "quick", device="cpu")
    assert trainings == []
    for _ in range(2):
        run_experiment(grid, "quick", device="cpu", weights=True)
        assert trainings == [lost.id]
    trained(lost)


def test_a_failure_record_that_was_damaged_is_none(grid: Experiment, store: Path) -> None:
    run = next(grid.runs("quick"))
    write_failure(run, LookaheadError("the message"))
    assert read_failure(run) == {"error": "the message", "stamp": stamp(run)}
    path = run_folder(run.id) / "failure.json"
    path.write_text(path.read_text().replace("message", "massage"))
    assert read_failure(run) is None


def test_a_run_that_another_experiment_has_packed_is_not_done_again(
    grid: Experiment, store: Path, trainings: list[str]
) -> None:
    done = run_experiment(grid, "quick", device="cpu").done
    for result in done:
        (run_folder(result.run.id) / "result.json").unlink()
    trainings.clear()
    other = dataclasses.replace(grid, name="other", cells=grid.cells[:1])
    assert len(run_experiment(other, "quick", device="cpu").done) == 2
    assert trainings == []
    assert len(read_packed("other-quick")) == 2


def test_only_some_are_done(grid: Experiment, store: Path, trainings: list[str]) -> None:
    first, *_, last = grid.runs("quick")
    run_experiment(grid, "quick", device="cpu", only=["rever", "seed=1"])
    assert trainings == [last.id]
    run_experiment(grid, "quick", device="cpu", only=[first.id[:5]], packing=False)
    assert trainings == [last.id, first.id]
    assert [result.run.id for result in read_packed("tiny-quick")] == [last.id]


@pytest.mark.parametrize("only", [["sideways"], ["seed=7"], ["teacher", "reversed"], ["abc"]])
def test_a_key_that_no_run_answers_to_is_refused(only: list[str], grid: Experiment, store: Path) -> None:
    with pytest.raises(LookaheadError, match=r"no run answers to '.*': take an id's beginning, seed="):
        run_experiment(grid, "quick", device="cpu", only=only)


def test_a_run_that_another_process_does_is_passed_over(grid: Experiment, store: Path, trainings: list[str]) -> None:
    busy = list(grid.runs("quick"))[1]
    run_folder(busy.id).mkdir(parents=True)
    said: list[str] = []
    with FileLock(run_folder(busy.id) / ".grid.lock"):
        outcome = run_experiment(grid, "quick", device="cpu", wait=False, log=said.append)
    assert busy.id not in trainings
    assert [entry.run.id for entry in outcome.elsewhere] == [busy.id]
    assert len(outcome.done) == len(trainings) == 3
    assert len(read_packed("tiny-quick")) == 3
    assert said[-1] == "1 of 4 runs are being done elsewhere"


def test_a_run_is_taken_up_when_the_process_that_did_it_is_gone(
    grid: Experiment, store: Path, trainings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "WAIT", 0.01)
    busy = list(grid.runs("quick"))[1]
    run_folder(busy.id).mkdir(parents=True)
    lock = FileLock(run_folder(busy.id) / ".grid.lock", thread_local=False)
    lock.acquire()

    def die_when_the_others_are_done() -> None:
        while len(trainings) < 3:
            time.sleep(0.01)
        lock.release()

    threading.Thread(target=die_when_the_others_are_done, daemon=True).start()
    outcome = run_experiment(grid, "quick", device="cpu")
    assert trainings[-1] == busy.id
    assert len(outcome.done) == 4


def test_a_corrupt_result_is_set_aside_and_made_again(grid: Experiment, store: Path, trainings: list[str]) -> None:
    corrupt = next(grid.runs("quick"))
    run_folder(corrupt.id).mkdir(parents=True)
    (run_folder(corrupt.id) / "result.json").write_text("{")
    said: list[str] = []
    outcome = run_experiment(grid, "quick", device="cpu", log=said.append)
    aside = run_folder(corrupt.id) / "result.json.corrupt"
    assert (
        said[0] == f"G(2,3) teacher_forcing, seed 0: its result could not be read: set aside as {aside}, and done again"
    )
    assert aside.read_text() == "{"
    assert len(outcome.done) == len(trainings) == 4


def test_a_corrupt_file_of_an_experiment_is_set_aside_before_anything_is_trained(
    grid: Experiment, store: Path, trainings: list[str]
) -> None:
    run_experiment(grid, "quick", device="cpu")
    shutil.rmtree(store / "runs")
    path, other = packed_path("tiny-quick"), packed_path("other-quick")
    other.write_bytes(path.read_bytes())
    cut = path.read_bytes()[:-100]
    path.write_bytes(cut)
    with pytest.warns(UserWarning, match=r"left out: .*tiny-quick\.parquet is corrupt or holds no results"):
        assert [entry.state for entry in grid_state(grid, "quick")] == ["done"] * 4
    other.unlink()
    said: list[tuple[str, int]] = []
    trainings.clear()
    outcome = run_experiment(grid, "quick", device="cpu", log=lambda line: said.append((line, len(trainings))))
    aside = path.with_name("tiny-quick.parquet.corrupt")
    assert said[0] == (f"{path} is corrupt: set aside as {aside}; what is stored nowhere else is done again", 0)
    assert aside.read_bytes() == cut
    assert len(outcome.done) == len(trainings) == len(read_packed("tiny-quick")) == 4
    path.write_bytes(b"")
    with pytest.warns(UserWarning, match=r"is corrupt: set aside as .*\.corrupt-2"):
        assert pack_experiment(grid, "quick") == (path, 4)


def test_a_file_that_holds_runs_of_a_newer_library_is_not_set_aside(
    grid: Experiment, store: Path, trainings: list[str]
) -> None:
    """Nor is anything trained that could not be packed."""
    run_experiment(grid, "quick", device="cpu")
    path = packed_path("tiny-quick")
    frame = pd.read_parquet(path).drop(columns="sha256", errors="ignore")
    frame["run"] = [text.replace('"path_length"', '"length_of_paths"') for text in frame["run"]]
    frame.to_parquet(path)
    trainings.clear()
    with pytest.raises(
        LookaheadError, match=r"tiny-quick.parquet: unknown option of task 'path_star': length_of_paths"
    ):
        run_experiment(grid, "quick", device="cpu")
    assert trainings == []
    assert path.exists()


def test_the_time_limit_is_kept_while_waiting_for_another_runner(
    grid: Experiment, store: Path, trainings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether that is a runner of the grid, or a chapter."""
    monkeypatch.setattr(runner_module, "WAIT", 0.05)
    busy = next(grid.runs("quick"))
    run_folder(busy.id).mkdir(parents=True)
    for lock in (".grid.lock", ".lock"):
        said: list[str] = []
        begun = time.monotonic()
        with FileLock(run_folder(busy.id) / lock):
            outcome = run_experiment(grid, "quick", device="cpu", only=[busy.id], time_limit=0.5, log=said.append)
        assert time.monotonic() - begun < 20
        assert [entry.run.id for entry in outcome.elsewhere] == [busy.id]
        assert "waiting for 1 of 1 runs, which others are doing" in said
        assert said[-1] == "1 of 1 runs are being done elsewhere"
    assert trainings == []
    with FileLock(run_folder(busy.id) / ".lock"), pytest.raises(harness.Busy, match="by another process"):
        harness.run(busy, deadline=time.monotonic() + 0.1)


def test_it_is_said_who_holds_a_run_on_a_file_system_without_locks(
    grid: Experiment, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", flock)
    monkeypatch.setattr(runner_module, "WAIT", 0.05)
    busy = next(grid.runs("quick"))
    held = run_folder(busy.id) / ".grid.lock.held"
    held.parent.mkdir(parents=True)
    held.write_text("4711\nanother-machine\n")
    said: list[str] = []
    outcome = run_experiment(grid, "quick", device="cpu", time_limit=0.5, only=[busy.id], log=said.append)
    assert [entry.run.id for entry in outcome.elsewhere] == [busy.id]
    told = f"process 4711 on another-machine holds it; if that is gone, remove {held}"
    assert f"G(2,3) teacher_forcing, seed 0: {told}" in said


def test_one_odd_folder_stops_no_other_run(grid: Experiment, store: Path) -> None:
    odd = next(grid.runs("quick"))
    (store / "runs").mkdir(parents=True)
    run_folder(odd.id).write_text("a file where a folder should be")
    outcome = run_experiment(grid, "quick", device="cpu")
    assert len(outcome.done) == 3
    assert [entry.run.id for entry in outcome.failed] == [odd.id]
    assert f"{run_folder(odd.id)} could not be made (File exists)" in str(outcome.failed[0].error)


# -- a store that cannot be written ----------------------------------------------------------------------------


def test_what_is_stored_is_read_without_a_lock_and_without_a_write(
    grid: Experiment, store: Path, trainings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is missing is told in one line, with the file and the remedy, before anything is trained."""
    run_experiment(grid, "quick", device="cpu", only=["seed=0"])
    trainings.clear()
    with monkeypatch.context() as patch:
        make_read_only(store, patch)
        first, *_ = grid.runs("quick")
        assert harness.run(first, device="cpu").run == first
        assert [entry.state for entry in grid_state(grid, "quick")] == ["done", "done", "missing", "missing"]
        assert len(run_experiment(grid, "quick", device="cpu", only=["seed=0"]).done) == 2
        remedy = (
            r"could not be locked \(Read-only file system\): the environment variable LOOKAHEAD_RESULTS names another"
        )
        with pytest.raises(LookaheadError, match=rf"{store}/runs/\.writable {remedy}"):
            run_experiment(grid, "quick", device="cpu")
        with pytest.raises(LookaheadError, match=rf"{store}/runs/\.tiny-quick\.lock {remedy}"):
            pack_experiment(grid, "quick")
        with pytest.raises(LookaheadError, match=rf"/\.lock {remedy}"):
            harness.run(first, device="cpu", again=True)
    assert trainings == []


def test_committed_results_are_read_wherever_the_store_is(
    grid: Experiment, store: Path, trainings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in the store comes first; nothing is trained again, nothing is copied."""
    run_experiment(grid, "quick", device="cpu", only=["teacher_forcing"])
    monkeypatch.setattr(results, "committed_folder", lambda: store)
    monkeypatch.setenv("LOOKAHEAD_RESULTS", str(tmp_path / "mine"))
    trainings.clear()
    assert len(read_packed("tiny-quick")) == 2
    assert len(run_experiment(grid, "quick", device="cpu", only=["teacher_forcing"]).done) == 2
    assert trainings == []
    assert not (tmp_path / "mine").exists()
    before = packed_path("tiny-quick")
    run_experiment(grid, "quick", device="cpu", only=["reversed"])
    assert packed_path("tiny-quick") == before == tmp_path / "mine" / "tiny-quick.parquet"
    assert [len(pd.read_parquet(folder / "tiny-quick.parquet")) for folder in (store, tmp_path / "mine")] == [2, 2]
    assert len(read_packed("tiny-quick")) == 4
    harness.run(next(grid.runs("quick")), device="cpu")
    again = pack("tiny-quick", [read_result(next(grid.runs("quick")))])  # type: ignore[list-item]
    newest = json.loads(pd.read_parquet(again).set_index("id").loc[next(grid.runs("quick")).id, "manifest"])
    assert newest in [result.manifest for result in read_packed("tiny-quick")]
    assert len(read_packed("tiny-quick")) == 4


@pytest.fixture
def one_fails(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception | None], None]:
    """Whether the backward runs fail."""
    train = harness.train
    failing: list[Exception | None] = [None]

    def fail(members: list[Member], *rest: Any, **more: Any) -> Any:
        objective = members[0].settings.objective  # type: ignore[attr-defined]
        if objective["name"] == "reversed" and failing[0] is not None:
            raise failing[0]
        return train(members, *rest, **more)

    monkeypatch.setattr(harness, "train", fail)

    def choose(error: Exception | None) -> None:
        failing[0] = error

    return choose


def test_a_run_that_fails_is_recorded_and_stops_no_other(
    grid: Experiment, store: Path, one_fails: Callable[..., None]
) -> None:
    """It is not tried again in vain, but where it is asked for, and under other code."""
    said: list[str] = []
    one_fails(RuntimeError("a device-side error"))
    first = run_experiment(grid, "quick", device="cpu", log=said.append)
    assert [entry.error for entry in first.failed] == ["RuntimeError: a device-side error"] * 2
    assert len(first.done) == len(read_packed("tiny-quick")) == 2
    assert said[1] == "2/4 G(2,3) reversed, seed 0: failed: RuntimeError: a device-side error"
    assert [entry.state for entry in grid_state(grid, "quick")] == ["done", "failed", "done", "failed"]

    one_fails(None)
    said.clear()
    again = run_experiment(grid, "quick", device="cpu", log=said.append)
    assert len(again.failed) == 2
    assert said[0].endswith("reversed, seed 0: RuntimeError: a device-side error (again with --retry)")
    third = run_experiment(grid, "quick", device="cpu", retry=True)
    assert (len(third.failed), len(third.done)) == (0, 4)
    assert counts(grid_state(grid, "quick"))["done"] == 4


def test_a_failure_under_other_code_is_no_reason(
    grid: Experiment, store: Path, one_fails: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    one_fails(LookaheadError("no"))
    run_experiment(grid, "quick", device="cpu")
    one_fails(None)
    monkeypatch.setattr(grid_module, "stamp", lambda run: "other code")
    assert len(run_experiment(grid, "quick", device="cpu").done) == 4


def test_a_full_disk_stops_the_grid_and_loses_nothing(
    grid: Experiment, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no fault of the run, and the next one would meet it, too."""
    written: list[Path] = []
    fsync = os.fsync

    def full(handle: int) -> None:
        if written:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    write = harness.write_result

    def write_and_fill(*given: Any) -> None:
        write(*given)
        written.append(store)

    monkeypatch.setattr(harness, "write_result", write_and_fill)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NoRoom, match=r"could not be written \(No space left on device\); what was there before is"):
        run_experiment(grid, "quick", device="cpu")
    monkeypatch.setattr(os, "fsync", fsync)
    assert [entry.state for entry in grid_state(grid, "quick")][:2] == ["done", "missing"]
    assert len(run_experiment(grid, "quick", device="cpu").done) == 4


def test_the_time_limit_stops_in_the_middle_of_a_run(
    grid: Experiment, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the next call goes on there, until all is as in one outcome. The clock is counted in steps here."""
    monkeypatch.setitem(SMALL, "steps", 20)
    monkeypatch.setattr(Sitting, "late", lambda self: self.deadline is not None and self.steps >= 8)
    sittings = 0
    while True:
        said: list[str] = []
        outcome = run_experiment(grid, "quick", device="cpu", time_limit=3600, log=said.append)
        if not outcome.left:
            break
        sittings += 1
        assert said[-1].startswith(f"time limit: {len(outcome.left)} of 4 runs are left; the same call goes on")
        assert sittings <= 8
    assert sittings == 8, "each of four runs is stopped after steps 8 and 16"
    found = {result.run.id: result for result in outcome.done}
    monkeypatch.setenv("LOOKAHEAD_RESULTS", str(store / "undisturbed"))
    for result in run_experiment(grid, "quick", device="cpu").done:
        assert json.dumps(result.curve) == json.dumps(found[result.run.id].curve)
        assert json.dumps(result.measures) == json.dumps(found[result.run.id].measures)


def test_a_time_limit_shorter_than_one_step_is_refused(grid: Experiment, store: Path) -> None:
    with pytest.raises(LookaheadError, match=r"a time limit of 0.001 s is shorter than one step with what it needs, "):
        run_experiment(grid, "quick", device="cpu", time_limit=0.001)
    assert not packed_path("tiny-quick").exists()


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"time_limit": 0}, "time_limit must be above 0"),
        ({"time_limit": float("nan")}, "time_limit must be a number or None, not nan"),
        ({"time_limit": "5"}, "time_limit must be a number or None, not '5'"),
        ({"stack": 0}, "stack must be at least 1"),
        ({"stack": 1.5}, "stack must be a whole number"),
    ],
)
def test_a_wrong_limit_or_stack_leaves_no_failure(
    how: dict[str, Any], told: str, grid: Experiment, store: Path
) -> None:
    with pytest.raises(LookaheadError, match=told):
        run_experiment(grid, "quick", device="cpu", **how)
    assert not list(store.rglob("failure.json"))


def test_seeds_that_are_trained_as_one_are_stored_one_by_one(
    grid: Experiment, store: Path, trainings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both methods in a stack of their own, with what solo runs measure, up to rounding."""
    said: list[str] = []
    done = run_experiment(grid, "quick", device="cpu", stack=8, log=said.append).done
    assert len(trainings) == 4
    assert [result.manifest["stacked"] for result in done] == [2] * 4
    assert [line.split("/")[0] for line in said] == ["1", "3", "2", "4"]
    assert counts(grid_state(grid, "quick"))["done"] == 4
    monkeypatch.setenv("LOOKAHEAD_RESULTS", str(tmp_path / "solo"))
    for one, other in zip(done, run_experiment(grid, "quick", device="cpu").done, strict=True):
        assert one.run == other.run
        assert one.curve[-1]["training_loss"] == pytest.approx(other.curve[-1]["training_loss"], rel=1e-4)


def test_of_a_stack_only_what_is_missing_and_free_is_done(grid: Experiment, store: Path, trainings: list[str]) -> None:
    run_experiment(grid, "quick", device="cpu", only=["teacher_forcing", "seed=0"])
    busy = list(grid.runs("quick"))[1]
    run_folder(busy.id).mkdir(parents=True)
    trainings.clear()
    with FileLock(run_folder(busy.id) / ".grid.lock"):
        outcome = run_experiment(grid, "quick", device="cpu", stack=8, wait=False)
    assert [entry.run.id for entry in outcome.elsewhere] == [busy.id]
    assert len(outcome.done) == 3
    assert len(trainings) == 2, "a stack of one is a run"


def test_ctrl_c_ends_the_grid(
    grid: Experiment, store: Path, monkeypatch: pytest.MonkeyPatch, trainings: list[str]
) -> None:
    def stop(*given: Any, **more: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(harness, "train", stop)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(grid, "quick", device="cpu")


# -- packed on several machines ------------------------------------------------------------------------------


def test_what_two_machines_packed_is_joined(
    grid: Experiment, store: Path, trainings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_experiment(grid, "quick", device="cpu", only=["teacher_forcing"])
    monkeypatch.setenv("LOOKAHEAD_RESULTS", str(tmp_path / "other"))
    run_experiment(grid, "quick", device="cpu", only=["reversed"])
    theirs = packed_path("tiny-quick")
    monkeypatch.setenv("LOOKAHEAD_RESULTS", str(store))
    path, count = pack_experiment(grid, "quick", [theirs])
    assert (path, count) == (packed_path("tiny-quick"), 4)
    assert len(pd.read_parquet(path)) == 4
    assert counts(grid_state(grid, "quick"))["done"] == 4


def test_a_file_of_another_experiment_is_not_joined(
    grid: Experiment, store: Path, tiny_run: Callable[..., Run]
) -> None:
    harness.run(strange := tiny_run(steps=5), device="cpu")
    file = pack("strange", [read_result(strange)])  # type: ignore[list-item]
    with pytest.raises(LookaheadError, match=r"strange.parquet holds 1 of 1 runs that are none of tiny"):
        pack_experiment(grid, "quick", [file])
    with pytest.raises(LookaheadError, match="no results of tiny at profile quick to pack"):
        pack_experiment(grid, "quick")


# -- where a grid stands -------------------------------------------------------------------------------------


def test_every_state_is_told_apart(
    grid: Experiment, store: Path, one_fails: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SMALL, "steps", 4000)
    monkeypatch.setitem(SMALL, "evaluate_every", 4000)
    one_fails(LookaheadError("no"))
    run_experiment(grid, "quick", device="cpu", only=["reversed", "seed=0"])
    run_experiment(grid, "quick", device="cpu", only=["teacher_forcing", "seed=0"], time_limit=1.5)
    found = {(entry.run.objective["name"], entry.run.seed): entry for entry in grid_state(grid, "quick")}
    assert found["reversed", 0].state == "failed"
    assert found["teacher_forcing", 0].state == "begun"
    assert 0 < found["teacher_forcing", 0].steps < 4000
    assert found["teacher_forcing", 1].state == found["reversed", 1].state == "missing"
    assert seconds_left(list(found.values())) is None


def test_a_stale_result_is_shown_as_stale_and_made_again(
    grid: Experiment, store: Path, trainings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_experiment(grid, "quick", device="cpu")
    monkeypatch.setattr(Result, "current", False)
    stale = grid_state(grid, "quick")
    assert [entry.state for entry in stale] == ["stale"] * 4
    assert "4 STALE: today's code would give others" in summary_line(stale)
    monkeypatch.undo()


def test_a_look_that_takes_long_says_what_it_does(
    grid: Experiment, store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the code has changed, the first steps of every result are replayed, once."""
    monkeypatch.setattr(grid_module, "wants_bar", lambda: True)
    grid_state(grid, "quick")
    assert capsys.readouterr().err == ""
    look = grid_module.look
    monkeypatch.setattr(grid_module, "look", lambda *given: time.sleep(0.15) or look(*given))
    monkeypatch.setattr(grid_module, "SILENCE", 0.1)
    grid_state(grid, "quick")
    assert "comparing with today's code" in capsys.readouterr().err


def test_the_time_left_is_that_of_the_cells_own_runs(grid: Experiment, store: Path) -> None:
    run_experiment(grid, "quick", device="cpu", only=["seed=0"])
    fast, slow, *missing = grid_state(grid, "quick")
    assert fast.result is not None
    assert slow.result is not None
    fast.result.manifest["seconds"], slow.result.manifest["seconds"] = 10, 100
    assert seconds_left([fast, slow, *missing]) == 110
    half = dataclasses.replace(missing[1], state="begun", steps=2)
    assert seconds_left([fast, slow, missing[0], half]) == 60


def test_the_table_says_what_the_seeds_say(grid: Experiment, store: Path) -> None:
    run_experiment(grid, "quick", device="cpu")
    text = table(grid_state(grid, "quick"))
    assert text.splitlines()[0].split("  ")[-1] == "95%"
    assert [line.split("  ")[0] for line in text.splitlines()[1:]] == ["G(2,3) teacher_forcing", "G(2,3) reversed"]
    assert " never" in text
    assert summary_line(grid_state(grid, "quick")).startswith("4 of 4 runs, 2 seeds, ")
