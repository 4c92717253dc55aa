"""Killed at any moment, begun by two at once, done twice: the same run ends in the same weights."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from lookahead.errors import LookaheadError
from lookahead.runs import harness
from lookahead.runs.parquet import read_packed
from lookahead.runs.result import read_result
from lookahead.runs.run import Run
from lookahead.training.checkpoints import load
from nursery import Nursery, wait_until

MakeRun = Callable[..., Run]

KILLS = 24

ONE_RUN = """
from lookahead.runs import examples, harness
from lookahead.runs.run import Run
from lookahead.runs.staleness import stamp
from lookahead.training.step import Step
examples.TEST_EXAMPLES = 128
run, device = Run.from_json(sys.argv[1]), sys.argv[2]
stamp(run)
Step(*reversed(run.build()), run, run.seed).optimizers.step()

def work():
    harness.run(run, device=device, checkpoint_every=2)
"""
"""Loads what a first step loads, too."""


@pytest.fixture
def nursery(store: Path) -> Iterator[Callable[..., Nursery]]:
    opened: list[Nursery] = []

    def make(run: Run, device: str = "cpu") -> Nursery:
        opened.append(Nursery(ONE_RUN, run.to_json(), device, store=store))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def steps_saved(checkpoint: Path) -> int:
    """Steps done in the latest checkpoint (the previous one, between its two renames); 0 where there is none."""
    for path in (checkpoint, checkpoint.with_name("checkpoint.previous.safetensors")):
        with contextlib.suppress(OSError, RuntimeError), safe_open(path, framework="pt") as file:
            return json.loads(file.metadata()["record"])["steps"]
    return 0


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load(folder / "weights.safetensors")[0]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_killed_again_and_again_a_run_ends_as_an_undisturbed_one(
    device: str,
    tiny_run: MakeRun,
    store: Path,
    nursery: Callable[..., Nursery],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SIGKILL at random moments, most of them within a step, some within the writing of a checkpoint.

    A fixed training set (so the order of the data counts), Muon and AdamW, a cosine schedule, clipping. On a CPU
    the weights and the curve are the same to the bit. A GPU adds in no fixed order: a relative 1e-3 of the largest
    weight.
    """
    run = tiny_run(
        steps=6 * KILLS + 20, evaluate_every=10, optimizer="muon", schedule="cosine", train_examples=100, seed=4
    )
    folder, chance, started = store / "runs" / run.id, random.Random(0), nursery(run, device)
    checkpoint, died_at = folder / "checkpoint.safetensors", []
    for _ in range(KILLS):
        before, child = steps_saved(checkpoint), started.start()
        wait_until(lambda before=before: steps_saved(checkpoint) > before)
        time.sleep(chance.random() * 0.02)
        os.kill(child, signal.SIGKILL)
        assert started.status() == -signal.SIGKILL, "it ended before it could be killed: give it more steps"
        died_at.append(steps_saved(checkpoint))
        assert not (folder / "result.json").exists()
    assert died_at == sorted(died_at)
    assert len(set(died_at)) == KILLS
    started.start()
    assert started.status() == 0
    assert not list(folder.glob(".*.part")), "what the killed ones left is swept away"
    found, resumed = weights(folder), read_result(run)

    monkeypatch.setenv("LOOKAHEAD_RESULTS", str(tmp_path / "undisturbed"))
    undisturbed = harness.run(run, device=device)
    expected = weights(tmp_path / "undisturbed" / "runs" / run.id)
    assert resumed is not None
    assert found.keys() == expected.keys()
    if device == "cpu":
        assert [name for name in expected if not torch.equal(found[name], expected[name])] == []
        assert json.dumps(resumed.curve) == json.dumps(undisturbed.curve)
    else:
        for name in expected:
            largest = expected[name].abs().max().item()
            torch.testing.assert_close(found[name], expected[name], rtol=0, atol=1e-3 * largest)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_signal_leaves_a_run_that_goes_on(
    stop: signal.Signals, tiny_run: MakeRun, store: Path, nursery: Callable[..., Nursery]
) -> None:
    run = tiny_run(steps=2000, evaluate_every=1000)
    started, checkpoint = nursery(run), store / "runs" / run.id / "checkpoint.safetensors"
    child = started.start()
    wait_until(lambda: steps_saved(checkpoint) > 0)
    os.kill(child, stop)
    assert started.status() not in (0, -stop)
    done = steps_saved(checkpoint)
    assert 0 < done < 2000
    child = started.start()
    wait_until(lambda: steps_saved(checkpoint) > done)
    os.kill(child, signal.SIGKILL)
    started.status()


def test_where_one_was_killed_the_one_that_waits_goes_on(
    tiny_run: MakeRun, store: Path, nursery: Callable[..., Nursery], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two want the same run; the one that does it is killed. A third who reads meanwhile never sees a torn file."""
    run = tiny_run(steps=300, evaluate_every=50)
    folder, one, other = store / "runs" / run.id, nursery(run), nursery(run)
    checkpoint, torn, watching = folder / "checkpoint.safetensors", [], threading.Event()

    def watch() -> None:
        while not watching.is_set():
            try:
                read_result(run)
                if checkpoint.exists():
                    load(checkpoint)
            except LookaheadError as error:
                if "No such file" not in str(error):  # it was moved after it was seen
                    torn.append(error)
            time.sleep(0.005)

    reader = threading.Thread(target=watch)
    reader.start()
    first = one.start()
    wait_until(lambda: steps_saved(checkpoint) > 10)
    other.start()  # it can only wait: the first one holds the run
    os.kill(first, signal.SIGKILL)
    assert one.status() == -signal.SIGKILL
    assert other.status() == 0
    watching.set()
    reader.join()
    assert torn == []
    found = weights(folder)

    monkeypatch.setenv("LOOKAHEAD_RESULTS", str(tmp_path / "undisturbed"))
    harness.run(run, device="cpu")
    expected = weights(tmp_path / "undisturbed" / "runs" / run.id)
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []


AT_ONCE = """
import sys
from lookahead.runs import harness
from lookahead.runs.parquet import pack
from lookahead.runs.result import Result, read_result
from lookahead.runs.run import Run
train = harness.train
harness.train = lambda *given, **more: print("trained", flush=True) or train(*given, **more)
run = Run.from_json(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
result = harness.run(run, device="cpu")
for seed in range(20):
    other = Run.of({**run.config, "seed": 100 + 20 * int(sys.argv[2]) + seed})
    data = {**result.to_dict(), "run": other.config, "id": other.id}
    pack("together", [Result.from_dict(data)])
"""


def test_two_processes_that_want_the_same_run_do_it_once_and_pack_together(tiny_run: MakeRun, store: Path) -> None:
    run = tiny_run(steps=60, evaluate_every=60)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-c", AT_ONCE, run.to_json()]
    processes = [subprocess.Popen([*command, str(i)], env=environment, text=True, **pipes) for i in range(2)]
    assert [process.stdout.readline() for process in processes] == ["ready\n", "ready\n"]  # type: ignore[union-attr]
    for process in processes:
        process.stdin.write("go\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
    said = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert sorted(out for out, _ in said) == ["", "trained\n"]
    assert sorted(result.run.seed for result in read_packed("together")) == list(range(100, 140))


@pytest.mark.parametrize(
    "fields", [{}, {"optimizer": "muon", "objective": "reversed"}, {"precision": "bfloat16"}], ids=str
)
def test_the_same_run_twice_is_the_same_to_the_bit(
    fields: dict[str, Any], tiny_run: MakeRun, store: Path, nursery: Callable[..., Nursery], tmp_path: Path
) -> None:
    """In another process and here, after other random numbers were drawn."""
    run = tiny_run(steps=20, evaluate_every=10, **fields)
    started = nursery(run)
    started.start()
    assert started.status() == 0
    first, expected = weights(store / "runs" / run.id), read_result(run)
    torch.rand(7)
    again = harness.run(run, device="cpu", again=True)
    second = weights(store / "runs" / run.id)
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    assert expected is not None
    for told in ("curve", "measures", "replay"):
        assert json.dumps(getattr(again, told)) == json.dumps(getattr(expected, told))


def test_a_checkpoint_of_other_code_is_not_gone_on_from(
    tiny_run: MakeRun, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted, then the loss changes: the run starts anew, and says so."""
    run = tiny_run(steps=30, evaluate_every=10)
    train, begun = harness.train, []

    def interrupted(*given: Any, **more: Any) -> Any:
        objective = given[0][0].objective
        steps = iter(range(100))

        def stop(*_: object) -> None:
            if next(steps) == 11:
                signal.raise_signal(signal.SIGINT)

        hook = objective.register_forward_pre_hook(stop)
        try:
            return train(*given, **more)
        finally:
            hook.remove()

    def noted(*given: Any, **more: Any) -> Any:
        (done,) = train(*given, **more)
        begun.append(len(done.curve))
        return [done]

    monkeypatch.setattr(harness, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        harness.run(run, device="cpu", checkpoint_every=3)
    monkeypatch.setattr(harness, "train", noted)
    monkeypatch.setattr(harness, "is_current", lambda *_: False)
    with pytest.warns(
        UserWarning, match=f"run {run.id} was interrupted, and .* was written by other code.* starts anew"
    ):
        harness.run(run, device="cpu")
    assert begun == [4], "all evaluations are its own"
