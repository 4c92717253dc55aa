"""lookahead ... on the command line."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import pytest
from conftest import MODEL, TASK

from lookahead import cli, harness
from lookahead.experiments import EXPERIMENTS, Experiment
from lookahead.results import read_packed
from lookahead.runs import Run


@dataclasses.dataclass(frozen=True)
class OneRun(Experiment):
    """A grid of one tiny run."""

    def runs(self, profile: str) -> Any:
        list(super().runs(profile))  # refuses an unknown profile
        yield "forward", Run(task=TASK, model=MODEL, steps=3, batch_size=8, evaluate_every=3)


@pytest.fixture
def tiny(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXPERIMENTS, "tiny", OneRun(name="tiny", question="Does it run?", graphs=(), cells={}))


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


def test_run_does_an_experiment(tiny: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "tiny", "--device", "cpu", "--time-limit", "1h"]) == 0
    assert capsys.readouterr().out.startswith("1/1 3 forward seed 0: 0.")
    assert len(read_packed("tiny-quick")) == 1
    assert cli.main(["run", "tiny", "--profile", "census", "--device", "cpu"]) == 0
    assert len(read_packed("tiny-census")) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "tinny"], "lookahead: unknown experiment 'tinny'; known: direction, hints"),
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
    def stop(*given: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(harness, "_train", stop)
    assert cli.main(["run", "tiny", "--device", "cpu"]) == 130
    assert capsys.readouterr().err == "lookahead: stopped; the same call goes on from here\n"
