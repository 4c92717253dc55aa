"""A grid whose runners are killed, or share it, ends as an undisturbed one."""

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lookahead.experiments import find_experiment, run_experiment
from lookahead.experiments.grid import counts, grid_state
from lookahead.runs.parquet import packed_path, read_packed
from lookahead.training.checkpoints import Checkpoints
from nursery import Nursery, wait_until

KILLS, STEPS = 20, 60

GRID = f"""
from lookahead.experiments import Experiment

model = {{"name": "transformer", "layers": 1, "width": 16, "heads": 2}}
task = {{"name": "path_star", "degree": 2, "path_length": 3}}
EXPERIMENTS = {{"small": Experiment(
    name="small",
    question="Does it end as an undisturbed one?",
    cells=[{{"objective": name, "model": model}} for name in ("teacher_forcing", "reversed")],
    fields={{"task": task, "steps": {STEPS}, "evaluate_every": 20, "optimizer": "muon", "schedule": "cosine"}},
    seeds={{"census": 3}},
)}}
"""

RUNNER = """
import time
from lookahead import cli
from lookahead.runs import examples, harness, result
from lookahead.runs.staleness import stamp
from lookahead.experiments import find_experiment, runner
from lookahead.training.checkpoints import Checkpoints
from lookahead.training.step import Step

examples.TEST_EXAMPLES = 128
result.committed_folder = lambda: None
runner.WAIT = 0.01
one = next(find_experiment("small").runs("census"))
stamp(one)
Step(*reversed(one.build()), one, one.seed).optimizers.step()
train = harness.train

def told(members, *rest, **more):
    with open(os.environ["BEGUN"], "a") as file:
        file.write("".join(member.settings.id + "\\n" for member in members))
    return train(members, *rest, **{**more, "checkpoint_every": 5})

harness.train = told

def work():
    sys.stdout = open(os.devnull, "w")  # the other one is the nursery's
    status = cli.main(["run", "small", "--profile", "census", "--device", "cpu"])
    os._exit(status)
"""


@pytest.fixture
def runner(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Nursery]]:
    """Makes what starts runners of the small grid; each writes down the runs that it begins."""
    (tmp_path / "grid.py").write_text(GRID)
    monkeypatch.setenv("LOOKAHEAD_EXPERIMENTS", str(tmp_path / "grid.py"))
    monkeypatch.setenv("BEGUN", str(tmp_path / "begun"))
    opened: list[Nursery] = []

    def make() -> Nursery:
        opened.append(Nursery(RUNNER, store=store))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def begun(tmp_path: Path) -> list[str]:
    """The runs that were begun, as often as they were."""
    file = tmp_path / "begun"
    return file.read_text().split() if file.exists() else []


def progress(store: Path) -> int:
    """Steps that are safe: in results and in checkpoints."""
    folders = list((store / "runs").glob("*/"))
    done = [folder for folder in folders if (folder / "result.json").exists()]
    return STEPS * len(done) + sum(Checkpoints(f, f.name).steps_found() for f in folders if f not in done)


def packed() -> dict[str, Any]:
    """What is packed, without the times and places."""
    found = {}
    for result in read_packed("small-census"):
        data = result.to_dict()
        del data["manifest"]
        found[result.run.id] = json.dumps(data, sort_keys=True)
    return found


def undisturbed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The same grid in one sitting, in a store of its own."""
    monkeypatch.setenv("LOOKAHEAD_RESULTS", str(folder))
    run_experiment(find_experiment("small"), "census", device="cpu")
    return packed()


def test_killed_twenty_times_at_random_moments(
    runner: Callable[[], Nursery], store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between runs, in the middle of a step, of a checkpoint, of a result, of the packing: nothing is lost or torn."""
    chance, started = random.Random(0), runner()
    said: list[int] = []
    for _ in range(KILLS):
        before, child = progress(store), started.start()
        wait_until(lambda before=before: progress(store) > before)
        time.sleep(0.05 * chance.random())
        os.kill(child, signal.SIGKILL)
        said.append(started.status())
    assert said == [-signal.SIGKILL] * KILLS, "it ended before it could be killed: give it more steps"
    started.start()
    assert started.status() == 0
    found = packed()
    assert counts(grid_state(find_experiment("small"), "census"))["done"] == len(found) == 6
    assert not list(store.rglob("*.part")), "what the killed ones left is swept away"
    assert not packed_path("small-census").with_suffix(".tmp").exists()
    assert found == undisturbed(tmp_path / "undisturbed", monkeypatch)


def test_three_runners_share_a_grid_and_one_dies(
    runner: Callable[[], Nursery], store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No run is done twice, none is lost with the one that died."""
    team = [runner() for _ in range(3)]
    children = [one.start() for one in team]
    wait_until(lambda: len(begun(tmp_path)) >= 3)
    os.kill(children[0], signal.SIGKILL)
    assert [one.status() for one in team] == [-signal.SIGKILL, 0, 0]
    times = Counter(begun(tmp_path))
    assert len(times) == 6
    assert sorted(times.values())[:5] == [1] * 5, "only what the dead one had begun was begun again"
    found = packed()
    assert len(found) == 6
    assert found == undisturbed(tmp_path / "undisturbed", monkeypatch)
