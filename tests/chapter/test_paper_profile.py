"""Chapters at the paper's size without a GPU: from the store, and they say so; else they say what to do."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from test_claims import ROOT

from bookmaker.execution import environment
from bookmaker.notebooks import code_cells, read
from lookahead.chapter import Chapter, begin
from lookahead.errors import LookaheadError
from lookahead.experiments import find_experiment, stored
from lookahead.runs.result import Result, run_folder
from lookahead.runs.staleness import stamp


def printed(notebook: Path) -> str:
    """All that its cells printed."""
    return "".join(o.text for cell in code_cells(read(notebook)) for o in cell.outputs if o.output_type == "stream")


pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU they train, for hours")


@pytest.fixture
def chapter(monkeypatch: pytest.MonkeyPatch) -> Chapter:
    """One at the paper's profile."""
    return begin({"profile": "paper"}, experiment="direction", cell={"objective": "reversed"})


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Puts a result into an empty store: that of a cell of an experiment at the paper's profile, with the numbers of a
    small run."""
    measured = stored("architecture").where(model="mamba-tiny", objective="teacher_forcing", path_length=5)[0]
    monkeypatch.setenv("LOOKAHEAD_RESULTS", str(tmp_path / "store"))

    def make(name: str, **fields: str) -> Result:
        run = find_experiment(name).cell("paper", fields)
        result = dataclasses.replace(measured, run=run, stamp=stamp(run), replay=[])
        run_folder(run.id).mkdir(parents=True)
        (run_folder(run.id) / "result.json").write_text(json.dumps(result.to_dict()))
        return result

    return make


def test_the_stored_result_is_taken_and_it_is_said(
    chapter: Chapter, put: Callable[..., Result], capsys: pytest.CaptureFixture[str]
) -> None:
    made = put("direction", objective="reversed")
    assert chapter.run().run.id == made.run.id
    told = f"no GPU here: run {made.run.id} is taken from the store, trained on {made.manifest['device']}\n"
    assert capsys.readouterr().out == told


def test_a_stale_one_is_marked(
    chapter: Chapter, put: Callable[..., Result], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put("direction", objective="reversed")
    monkeypatch.setattr(Result, "current", False)
    chapter.run()
    assert capsys.readouterr().out.endswith("; OUT OF DATE: today's code would give another\n")


def test_with_nothing_stored_the_command_is_named(
    chapter: Chapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOKAHEAD_RESULTS", str(tmp_path))
    run = find_experiment("direction").cell("paper", {"objective": "reversed"})
    command = f"`lookahead run direction --profile paper --only {run.id}` on a machine with one"
    with pytest.raises(LookaheadError, match=re.escape(command)):
        chapter.run()
    with pytest.raises(LookaheadError, match="execute this chapter on a machine with one"):
        chapter.run(steps=7)


def test_a_chapter_that_looks_into_its_network_cannot_do_with_the_result(
    chapter: Chapter, put: Callable[..., Result]
) -> None:
    put("direction", objective="reversed")
    with pytest.raises(LookaheadError, match="looks into the network, and no weights are kept of run"):
        chapter.run(weights=True)


def execute(name: str, folder: Path) -> tuple["subprocess.CompletedProcess[str]", Path]:
    """A chapter by papermill at the paper's profile."""
    copy = folder / f"{name}.ipynb"
    command = [sys.executable, "-m", "papermill", ROOT / "chapters" / copy.name, copy, "--no-progress-bar"]
    command += ["--cwd", ROOT / "chapters", "-p", "profile", "paper"]
    told = environment(folder / "journal")
    return subprocess.run([*map(str, command)], env=told, capture_output=True, text=True, check=False), copy


@pytest.mark.long
@pytest.mark.parametrize("name", ["03-clever-hans", "04-indecipherable-token", "05-not-the-architecture"])
def test_what_a_chapter_trains_at_the_papers_size_is_a_run_of_an_experiment(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an empty store it says which, instead of training for days."""
    monkeypatch.setenv("LOOKAHEAD_RESULTS", str(tmp_path / "store"))
    done, _ = execute(name, tmp_path)
    assert done.returncode != 0
    assert re.search(r"`lookahead run (direction|architecture) --profile paper --only [0-9a-f]{12}`", done.stderr)


@pytest.mark.long
def test_chapter_5_at_the_papers_size_shows_what_is_stored(put: Callable[..., Result], tmp_path: Path) -> None:
    made = put("architecture", model="mamba-mini", objective="teacher_forcing")
    for file in (ROOT / "results").glob("*.parquet"):
        shutil.copy(file, tmp_path / "store")
    done, copy = execute("05-not-the-architecture", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"run {made.run.id} is taken from the store" in printed(copy)
