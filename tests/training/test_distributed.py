"""Several processes train as one does; what ends one ends all."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import lookahead
import several
from lookahead.errors import LookaheadError
from lookahead.experiments import find_experiment, run_experiment
from lookahead.objectives import TeacherForcing
from lookahead.runs import together
from lookahead.runs.harness import run_all
from lookahead.runs.run import Run
from lookahead.training.checkpoints import load
from lookahead.training.distributed import connect, first_failure, launch, write_failure
from lookahead.training.sitting import Interrupted, OutOfTime
from lookahead.training.step import Step

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where two processes have left what they trained, before one of them failed."""
    folder = tmp_path_factory.mktemp("several")
    with pytest.raises(LookaheadError, match="the second process has had enough"):
        launch(several.train_cases, 2, CPU, folder, start_method="fork")
    return folder


@pytest.mark.parametrize("case", several.CASES)
def test_two_processes_go_where_one_goes(case: str, trained: Path) -> None:
    """In float64; they began with other weights than the first."""
    found, record = load(trained / f"{list(several.CASES).index(case)}")
    assert record == {"parts": 1}, "only the process that has no memory splits its rows"
    step = several.in_double(case, Step)
    losses = torch.cat([step(k) for k in range(several.STEPS)])
    torch.testing.assert_close(found.pop("losses"), losses, atol=1e-12, rtol=1e-10)
    assert losses.unique().numel() > 1
    wanted = {name: tensor.detach() for name, tensor in step.checkpoints([0])[0].items()}
    torch.testing.assert_close(found, wanted, atol=1e-9, rtol=1e-8)


def test_a_weight_without_a_gradient_anywhere_keeps_none(trained: Path) -> None:
    found, _ = load(trained / "sums")
    assert {name: tensor.tolist() for name, tensor in found.items()} == {"loss": 1.5, "0": [3, 3], "1": [1, 1]}


def computed(run: Run) -> torch.Tensor:
    """The loss of every token, [B, A], by a run's network.

    Its weights say less: a bias of attention's keys changes no output, and of its gradient, rounding, Adam makes steps.
    """
    task, objective = lookahead.trained(run)
    with torch.no_grad():
        return objective(*task.sample("test", torch.arange(32))).tokens


def test_a_run_goes_on_with_another_number_of_processes(store: Path, tiny_run: Callable[..., Run]) -> None:
    """Begun by one, gone on with by two until they are stopped, ended by one."""
    run = tiny_run(steps=8, evaluate_every=2, optimizer="muon", batch_size=9)

    def fails(run: Run, row: dict[str, Any]) -> None:
        if row["step"] == 2:
            raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        lookahead.run(run, follow=fails)
    with pytest.raises(Interrupted, match="stopped after step 4 of 8"):
        lookahead.run(run, processes=2, follow=several.stops_the_caller)
    with pytest.warns(UserWarning, match="was begun with .* processes 2 and goes on with"):
        result = lookahead.run(run)
    assert [machine.get("processes") for machine in result.manifest["begun_with"]] == [None, 2]
    assert "processes" not in result.manifest
    shared = computed(run)
    alone = lookahead.run(run, again=True)
    torch.testing.assert_close(shared, computed(run), atol=1e-3, rtol=1e-3)
    losses = [[row["training_loss"] for row in one.curve[1:]] for one in (result, alone)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


# -- what is not started ---------------------------------------------------------------------------------------


@pytest.fixture
def no_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    def launched(*_: Any) -> None:
        raise AssertionError("processes were started")

    monkeypatch.setattr(together, "launch", launched)


@pytest.mark.usefixtures("store", "no_launch")
def test_what_is_stored_starts_no_process(tiny_run: Callable[..., Run]) -> None:
    result = lookahead.run(tiny_run())
    assert lookahead.run(tiny_run(), processes=2).manifest == result.manifest


@pytest.mark.usefixtures("store", "no_launch")
def test_what_cannot_be_shared_is_told(tiny_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LookaheadError, match="9 processes cannot share a batch of 8"):
        lookahead.run(tiny_run(), processes=9)
    with pytest.raises(LookaheadError, match="a CUDA graph holds the step of one process"):
        lookahead.run(tiny_run(), processes=2, engine="captured")
    with pytest.raises(LookaheadError, match="probe and follow are called in another process: functions of a module"):
        lookahead.run(tiny_run(), processes=2, follow=lambda run, row: None)
    with monkeypatch.context() as patched:
        patched.setattr(TeacherForcing, "__module__", "<run_path>")
        with pytest.raises(LookaheadError, match="another process cannot find the objective 'teacher_forcing': define"):
            lookahead.run(tiny_run(), processes=2)
    with pytest.raises(LookaheadError, match="2 processes train one run together, not 2 runs"):
        run_all([tiny_run(seed=0), tiny_run(seed=1)], processes=2)
    with pytest.raises(LookaheadError, match="processes"):
        lookahead.run(tiny_run(), processes=0)
    with pytest.raises(LookaheadError, match="take stack or processes"):
        run_experiment(find_experiment("direction"), "quick", stack=2, processes=2)


def test_without_fabric_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(LookaheadError, match="needs the package lightning-fabric: pip install 'lightning-fabric"):
        connect(2, CPU)


def test_fewer_gpus_than_processes_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(LookaheadError, match="2 processes want a GPU each, and here are 1: take fewer"):
        connect(2, torch.device("cuda"))


def test_a_notebook_cannot_start_them(monkeypatch: pytest.MonkeyPatch) -> None:
    connector = pytest.importorskip("lightning_fabric.connector")
    monkeypatch.setattr(connector, "_IS_INTERACTIVE", True)
    with pytest.raises(LookaheadError, match="several processes cannot be started from here"):
        connect(2, CPU)


def test_the_first_failure_is_told_as_it_was(tmp_path: Path) -> None:
    assert first_failure(tmp_path) is None
    write_failure(tmp_path, 1, OutOfTime("late", steps=3))
    write_failure(tmp_path, 0, RuntimeError("connection closed"))
    found = first_failure(tmp_path)
    assert isinstance(found, OutOfTime)
    assert (str(found), found.steps) == ("late", 3)
    odd = RuntimeError(lambda: None)  # cannot be sent
    write_failure(tmp_path, 1, odd)
    assert str(first_failure(tmp_path)) == "connection closed"
    (tmp_path / "0.failure").unlink()
    assert isinstance(found := first_failure(tmp_path), RuntimeError)
    assert str(found).startswith("<function")
