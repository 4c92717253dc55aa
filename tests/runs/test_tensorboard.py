"""What TensorBoard is given is the curve that is stored, and to give it changes nothing."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lookahead import LookaheadError, Run, run, trained
from lookahead.cli import main
from lookahead.runs.tensorboard import TensorBoard, scalars


def written(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """All scalars of a training, as TensorBoard reads them: step and value."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def curve(result: Any) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for row in result.curve:
        for name, value in scalars(row):
            found.setdefault(name, []).append((row["step"], pytest.approx(value)))
    return found


def test_the_curve_is_written(tiny_run: Callable[..., Run], store: Path, tmp_path: Path) -> None:
    config = tiny_run(objective={"name": "multi_token", "tokens": 2})
    result = run(config, follow=TensorBoard(tmp_path / "logs"))
    found = written(tmp_path / "logs" / config.id)
    assert found == curve(result)
    assert [step for step, _ in found["training_loss"]] == [3, 6]
    assert [step for step, _ in found["autoregressive_accuracy"]] == [0, 3, 6]
    weights = trained(config)[1].state_dict()
    run(config, again=True)
    assert all(torch.equal(weights[name], value) for name, value in trained(config)[1].state_dict().items())


def test_one_that_is_done_again_takes_its_place(tiny_run: Callable[..., Run], store: Path, tmp_path: Path) -> None:
    """What an interrupted one wrote after its checkpoint is no second line."""

    class Broken(TensorBoard):
        def __call__(self, run: Run, row: dict[str, Any]) -> None:
            super().__call__(run, row)
            if row["step"] == 3:
                raise OSError("the disk is full")

    config = tiny_run(steps=9)
    with pytest.raises(OSError, match="the disk is full"):
        run(config, follow=Broken(tmp_path))
    result = run(config, follow=TensorBoard(tmp_path))
    assert [step for step, _ in written(tmp_path / config.id)["training_loss"]] == [3, 6, 9]
    assert result.manifest["steps"] == 9
    again = run(config, again=True, follow=TensorBoard(tmp_path))
    assert written(tmp_path / config.id) == curve(again)


def test_a_training_that_stops_early_leaves_no_open_file(
    tiny_run: Callable[..., Run], store: Path, tmp_path: Path
) -> None:
    board = TensorBoard(tmp_path)
    run(tiny_run(stop_at=1e-9, objective="reversed", steps=300, evaluate_every=20), follow=board)
    run(tiny_run(), follow=board)
    assert board.writers == {}


def test_without_the_package_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(LookaheadError, match="pip install tensorboard"):
        TensorBoard(tmp_path)
    assert main(["run", "direction", "--tensorboard", str(tmp_path)]) != 0
    assert "pip install tensorboard" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LookaheadError, match="cannot be made"):
        TensorBoard(tmp_path / "file" / "logs")
