"""lookahead ... on the command line."""

import argparse
import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import MODEL, TASK

from lookahead import cli
from lookahead.errors import LookaheadError
from lookahead.experiments import EXPERIMENTS, Experiment
from lookahead.runs import harness, staleness
from lookahead.runs.parquet import packed_path, read_packed
from lookahead.runs.run import Run
from lookahead.training.sitting import OutOfTime


@dataclasses.dataclass(frozen=True)
class OneRun(Experiment):
    """A grid of one tiny run."""

    def runs(self, profile: str) -> Any:
        list(super().runs(profile))  # refuses an unknown profile
        yield Run(task=TASK, model=MODEL, steps=3, batch_size=8, evaluate_every=3)


@pytest.fixture
def tiny(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXPERIMENTS, "tiny", OneRun(name="tiny", question="Does it run?", cells=[]))


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("9m", 540), ("2h", 7200), ("1.5h", 5400), ("0", 0)]
)
def test_durations(text: str, seconds: float) -> None:
    assert cli.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "soon", "1d", "1h30m", "-5m", "nan", "inf"])
def test_no_durations(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no duration such as 90s, 9m or 2h"):
        cli.duration(text)


def test_list_names_every_experiment(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(EXPERIMENTS)
    assert all(line.endswith("?") for line in lines)


def test_list_of_an_experiment_names_its_runs(tiny: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "tiny"]) == 0
    title, head, row = capsys.readouterr().out.splitlines()
    assert title == "Does it run? (quick profile)"
    assert head.split() == ["id", "seed", "label"]
    assert row.split() == [next(EXPERIMENTS["tiny"].runs("quick")).id, "seed=0", "G(2,3)", "teacher_forcing"]


def test_run_does_an_experiment(tiny: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "tiny", "--device", "cpu", "--time-limit", "1h"]) == 0
    assert capsys.readouterr().out.startswith("1/1 G(2,3) teacher_forcing, seed 0: 0.")
    assert len(read_packed("tiny-quick")) == 1
    assert cli.main(["run", "tiny", "--device", "cpu"]) == 0
    assert capsys.readouterr().out == "nothing to do: all 1 runs are there\n"
    assert cli.main(["run", "tiny", "--profile", "census", "--device", "cpu"]) == 0
    assert len(read_packed("tiny-census")) == 1


def test_status_says_how_far_it_is(tiny: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "tiny", "--profile", "quick"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["experiment", "profile", "done", "stale", "failed", "begun", "missing", "time", "left"]
    assert row.split() == ["tiny", "quick", "0", "0", "0", "0", "1", "not", "known"]
    cli.main(["status", "tiny", "--missing"])
    (missing,) = capsys.readouterr().out.splitlines()
    assert cli.main(["run", "tiny", "--device", "cpu", "--only", missing, "--no-pack"]) == 0
    capsys.readouterr()
    cli.main(["status", "tiny", "--missing"])
    assert capsys.readouterr().out == ""
    cli.main(["status"])
    assert [line.split()[:3] for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["tiny", profile, "1"] for profile in ("quick", "census", "paper")
    ]


def test_a_failure_is_an_exit_status_and_has_a_line_in_status(
    tiny: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any) -> None:
        raise LookaheadError("the loss of step 3 is nan")

    with monkeypatch.context() as patch:
        patch.setattr(harness, "train", fail)
        assert cli.main(["run", "tiny", "--device", "cpu"]) == 1
    assert "lookahead: 1 runs failed; what succeeded is stored" in capsys.readouterr().err
    cli.main(["status", "tiny"])
    assert "failed: G(2,3) teacher_forcing, seed 0 (" in capsys.readouterr().out
    assert cli.main(["run", "tiny", "--device", "cpu", "--retry"]) == 0


def test_show_draws_a_table_and_a_figure(tiny: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show", "tiny"]) == 1
    assert capsys.readouterr().err.startswith("lookahead: nothing is stored of tiny at profile quick: ")
    cli.main(["run", "tiny", "--device", "cpu"])
    capsys.readouterr()
    figure = tmp_path / "figure.png"
    assert cli.main(["show", "tiny", "--figure", str(figure)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Does it run? (quick profile)\n\n")
    assert "G(2,3) teacher_forcing" in out
    assert "1 of 1 runs, 1 seeds, " in out
    assert figure.read_bytes()[:4] == b"\x89PNG"
    for wrong, message in (
        (tmp_path / "figure.txt", "a figure is a png, svg or pdf file; not "),
        (tmp_path / "nowhere" / "figure.png", "could not be written: there is no folder "),
    ):
        assert cli.main(["show", "tiny", "--figure", str(wrong)]) == 1
        told = capsys.readouterr()
        assert message in told.err
        assert not told.out, "it is refused before anything is read"
        assert not wrong.parent.exists() or wrong.parent == tmp_path


def test_pack_leaves_one_file(tiny: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["pack", "tiny"]) == 1
    assert capsys.readouterr().err == "lookahead: no results of tiny at profile quick to pack\n"
    cli.main(["run", "tiny", "--device", "cpu", "--no-pack"])
    assert cli.main(["pack", "tiny"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("1 results in ")


def test_pack_joins_what_another_machine_collected(
    tiny: None, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.main(["run", "tiny", "--device", "cpu"])
    elsewhere = tmp_path / "elsewhere.parquet"
    packed_path("tiny-quick").rename(elsewhere)
    shutil.rmtree(store / "runs")
    assert cli.main(["pack", "tiny", "--profile", "quick"]) == 1, "nothing is left here"
    assert cli.main(["pack", "--join", str(elsewhere)]) == 1
    assert "--join wants one experiment" in capsys.readouterr().err
    assert cli.main(["pack", "tiny", "--profile", "quick", "--join", str(elsewhere)]) == 0
    assert len(read_packed("tiny-quick")) == 1


def test_pack_without_a_name_stamps_what_is_there_anew(
    tiny: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.main(["run", "tiny", "--device", "cpu"])
    (today,) = read_packed("tiny-quick")
    with monkeypatch.context() as another_code:
        another_code.setattr(staleness, "stamp", lambda run: "earlier")
        cli.main(["pack"])
    assert [result.stamp for result in read_packed("tiny-quick")] == ["earlier"]
    capsys.readouterr()
    assert cli.main(["pack"]) == 0
    assert capsys.readouterr().out == f"compared with today's code: {packed_path('tiny-quick')}\n"
    assert [result.stamp for result in read_packed("tiny-quick")] == [today.stamp]


def test_a_time_limit_that_is_reached_has_an_exit_status_of_its_own(
    tiny: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(*given: Any, **more: Any) -> None:
        raise OutOfTime("stopped after step 2 of 3; the same call goes on from there", 2)

    monkeypatch.setattr(harness, "train", late)
    assert cli.main(["run", "tiny", "--device", "cpu", "--time-limit", "1h"]) == cli.UNFINISHED
    assert "time limit: 1 of 1 runs are left; the same call goes on from here" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["run", "tiny", "--only", "back"],
            "lookahead: no run answers to 'back': take an id's beginning, seed=0 to",
        ),
        (["run", "tiny", "--device", "cpu", "--engine", "fast"], "lookahead: unknown engine 'fast'; known: auto"),
        (["run", "tiny", "--device", "cpu", "--stack", "0"], "lookahead: stack must be at least 1, not 0"),
        (["status", "--missing"], "lookahead: --missing wants one experiment"),
        (
            ["show", "tinny"],
            "lookahead: unknown experiment 'tinny'; known: direction, direction-longer, wrong-arm, hints",
        ),
        (
            ["run", "tinny"],
            "lookahead: unknown experiment 'tinny'; known: direction, direction-longer, wrong-arm, hints",
        ),
        (["run", "tiny", "--profile", "huge"], "lookahead: unknown profile 'huge'; known: quick, census, paper"),
        (["run", "tiny", "--device", "tpu9"], "lookahead: unknown device 'tpu9': take auto, cpu or cuda"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    arguments: list[str], message: str, tiny: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 1
    errors = capsys.readouterr().err
    assert errors.startswith(message)
    assert errors.count("\n") == 1


@pytest.mark.parametrize("device", ["gpu", "mps", "tpu9"])
def test_a_device_that_cannot_be_is_refused_before_any_run(
    device: str, tiny: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", "tiny", "--device", device]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"lookahead: unknown device '{device}': take auto, cpu or cuda\n"


@pytest.mark.parametrize("arguments", [[], ["train"], ["run"], ["run", "tiny", "--time-limit", "soon"]])
def test_a_wrong_call_shows_how(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        cli.main(arguments)
    assert raised.value.code == 2
    assert capsys.readouterr().err.startswith("usage: lookahead")


def test_ctrl_c_is_said(tiny: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*given: Any, **more: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(harness, "train", stop)
    assert cli.main(["run", "tiny", "--device", "cpu"]) == 130
    assert capsys.readouterr().err == "lookahead: stopped; the same call goes on from here\n"


def process(stdout: int, *arguments: str, **environment: str) -> tuple[int, str]:
    """Exit status and errors of a command of its own that writes there."""
    command = [sys.executable, "-m", "lookahead.cli", *arguments]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"} | environment
    done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, env=buffered, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("arguments", [["list"], ["--help"]])
def test_a_reader_that_has_seen_enough_is_no_error(arguments: list[str]) -> None:
    """As in lookahead list | head -3."""
    reader, writer = os.pipe()
    os.close(reader)
    assert process(writer, *arguments) == (cli.BROKEN_PIPE, "")
    os.close(writer)


def test_an_output_that_cannot_be_written_is_said_in_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        assert process(full.fileno(), "list") == (1, "lookahead: [Errno 28] No space left on device\n")


def test_a_missing_compiler_is_said_before_any_run(store: Path, tmp_path: Path) -> None:
    nothing_compiled = {"CXX": "no-such-compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "compiled")}
    command = ["run", "direction", "--device", "cpu", "--engine", "compiled"]
    status, errors = process(subprocess.DEVNULL, *command, **nothing_compiled)
    assert status == 1
    said = "lookahead: engine 'compiled' needs a compiler (g++, or what CXX names): install it, or take 'eager' ("
    assert errors.startswith(said)
    assert "no-such-compiler" in errors
    assert errors.count("\n") == 1
    assert not store.exists()
