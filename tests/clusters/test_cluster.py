"""Through Snakemake, a job a run: on this machine, and on a Slurm of one node that the test brings up.

Run by `make test-cluster`, which installs Snakemake. Debian: apt-get install slurmctld slurmd slurm-client munge
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import MODEL, TASK

from lookahead.runs.parquet import packed_path, read_packed
from lookahead.runs.result import Result, run_folder
from slurm_node import not_installed, one_node

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]

TINY = f"""
import atexit
import os
from pathlib import Path

from lookahead.errors import LookaheadError
from lookahead.experiments import Experiment

SMALL = {{"task": {TASK}, "model": {MODEL}, "steps": 3, "batch_size": 8, "evaluate_every": 3}}
taken = []


def probe(objective, task):
    '''Notes the GPU that it sees, and insists on having it alone. Backward, it fails.'''
    if objective.name == "reversed":
        raise LookaheadError("this run fails")
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES")
    if gpu and not taken:
        taken.append(Path(os.environ["LOOKAHEAD_RESULTS"]) / f"gpu-{{gpu}}")
        taken[0].touch(exist_ok=False)
        atexit.register(taken[0].unlink)
    return {{"gpu": gpu}}


def find_experiment(name, seeds, *objectives):
    cells = [{{"objective": objective, **SMALL}} for objective in objectives]
    return Experiment(name, "?", cells=cells, seeds={{"quick": seeds}}, probe=probe)


EXPERIMENTS = {{
    "tiny": find_experiment("tiny", 3, "teacher_forcing"),
    "faulty": find_experiment("faulty", 1, "reversed", "teacher_forcing"),
    **{{name: find_experiment(name, 1, "teacher_forcing") for name in ("2024_10", "1e3")}},
}}
"""
"""Experiments of a second a run."""

Snakemake = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def snakemake(store: Path, tmp_path: Path) -> Snakemake:
    """Calls it, with the tiny experiments and in a folder of its own; the store is empty.

    `names` may be followed by further settings; without it there is no --config.
    """
    experiments = tmp_path / "experiments.py"
    experiments.write_text(TINY)

    def call(*options: str, names: str | None = "tiny", **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        command += ["--directory", str(tmp_path / "folder"), *options]
        command += [] if names is None else ["--config", *f"experiments={names}".split()]
        mine = {"LOOKAHEAD_EXPERIMENTS": str(experiments), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        settings: dict[str, Any] = {"env": {**os.environ, **mine, **environment}, "capture_output": True, "text": True}
        return subprocess.run(command, cwd=tmp_path, timeout=300, check=False, **settings)

    return call


def times(store: Path) -> dict[str, int]:
    """When every result, and every packed file, was written."""
    files = [*store.glob("runs/*/result.json"), *store.glob("*.parquet")]
    return {file.parent.name if file.name == "result.json" else file.name: file.stat().st_mtime_ns for file in files}


def gpus(results: list[Result]) -> set[str]:
    return {result.curve[0]["gpu"] for result in results}


def test_only_what_is_missing_is_done(snakemake: Snakemake, store: Path) -> None:
    """Three runs on two GPUs, each seeing one; then nothing; then the one that was deleted, newer than all the rest."""
    done = snakemake("-c3", CUDA_VISIBLE_DEVICES="7,8")
    assert done.returncode == 0, done.stderr
    results = read_packed("tiny-quick")
    assert sorted(result.run.seed for result in results) == [0, 1, 2]
    assert gpus(results) == {"7", "8"}
    first = times(store)
    assert sorted(first) == sorted([*(result.run.id for result in results), "tiny-quick.parquet"])

    again = snakemake("-c2")
    assert again.returncode == 0, again.stderr
    assert not re.search("rule (train|pack):", again.stderr)
    assert times(store) == first

    lost = results[1].run.id
    (run_folder(lost) / "result.json").unlink()
    packed_path("tiny-quick").unlink()
    mended = snakemake("-c2")
    assert mended.returncode == 0, mended.stderr
    second = times(store)
    assert {name for name in first if second[name] != first[name]} == {lost, "tiny-quick.parquet"}
    assert len(read_packed("tiny-quick")) == 3


def test_a_run_that_fails_stops_no_other(snakemake: Snakemake, store: Path) -> None:
    """What succeeded is packed, the exit status says that not all did; that of the next call, too."""
    for _ in range(2):
        done = snakemake("-c1", names="faulty")
        assert done.returncode != 0
        assert "this run fails" in done.stdout + done.stderr
    (succeeded,) = read_packed("faulty-quick")
    assert succeeded.run.objective == {"name": "teacher_forcing"}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("", "name experiments: --config experiments="),
        ("nosuch", "'nosuch'"),
        ("--help", "unknown experiment '--help'"),
        ("tiny profile=--help", "unknown profile '--help'"),
        ("tiny retry=maybe", "retry is yes or no, not 'maybe'"),
        ("tiny retrry=yes", "unknown in --config: retrry; known: experiments, profile, retry"),
    ],
)
def test_what_cannot_be_planned_is_said(names: str, said: str, snakemake: Snakemake, store: Path) -> None:
    refused = snakemake("-c1", names=names)
    assert refused.returncode != 0
    assert said in refused.stderr
    assert not store.exists()


@pytest.mark.parametrize(
    ("name", "retry", "retries"),
    [("2024_10", "yes", True), ("1e3", "no", False), ("tiny", "False", False), ("tiny", "null", False)],
)
def test_settings_mean_what_they_say(name: str, retry: str, retries: bool, snakemake: Snakemake) -> None:
    """No is no, and a name that looks like a number is a name."""
    planned = snakemake("-n", "-p", names=f"{name} retry={retry}")
    assert planned.returncode == 0, planned.stderr
    assert f"-- {name}\n" in planned.stdout
    assert ("--retry" in planned.stdout) == retries


def test_names_in_a_file_of_settings(snakemake: Snakemake, tmp_path: Path) -> None:
    """A list, of names: what YAML made a number is refused."""
    settings = tmp_path / "settings.yaml"
    settings.write_text("experiments: [tiny, '1e3']\n")
    assert snakemake("-n", "--configfile", str(settings), names=None).returncode == 0
    settings.write_text("experiments: 2024_10\n")
    refused = snakemake("-n", "--configfile", str(settings), names=None)
    assert refused.returncode != 0
    assert "experiments are names, not 202410: put it in quotation marks" in refused.stdout + refused.stderr


@pytest.mark.slurm
@pytest.mark.skipif(not_installed() != [], reason=f"Slurm is not installed: no {', '.join(not_installed())}")
def test_on_slurm(snakemake: Snakemake, store: Path) -> None:
    """Three runs, a job each, on two GPUs that Slurm deals out; and nothing of it stays but the results."""
    with one_node() as slurm:
        profile = ["--profile", str(ROOT / "clusters" / "slurm"), "--slurm-init-seconds-before-status-checks=6"]
        done = snakemake(*profile, PATH=slurm.environment["PATH"])
        assert done.returncode == 0, done.stdout + done.stderr
        assert slurm.say("squeue", "--noheader", "--states=all", "--format=%T").split() == ["COMPLETED"] * 3
    assert not slurm.folder.exists()
    assert all(daemon.returncode is not None for daemon in slurm.daemons)
    results = read_packed("tiny-quick")
    assert sorted(result.run.seed for result in results) == [0, 1, 2]
    assert gpus(results) == {"0", "1"}
    assert len(list(store.glob("runs/*/result.json"))) == 3
