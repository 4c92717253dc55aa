"""Files that are whole or refused: checkpoints, atomic writes, a full disk."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import lookahead
from lookahead.errors import LookaheadError
from lookahead.files import make_folder, replacing, write_text
from lookahead.runs import harness
from lookahead.runs.run import Run
from lookahead.training.checkpoints import Checkpoints, load, save, state_tensors

TENSORS = {
    "weight": torch.arange(12.0).view(3, 4),
    "step": torch.tensor(7.0),
    "half": torch.ones(3, dtype=torch.bfloat16),
    "none": torch.zeros(0),
    "count": torch.tensor([1, 2**40]),
}
RECORD = {"steps": 7, "curve": [{"step": 0, "loss": [1.5, None]}]}


def folder_contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# -- one file ------------------------------------------------------------------------------------------------


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    save(tmp_path / "new folder" / "file", TENSORS, RECORD)
    tensors, record = load(tmp_path / "new folder" / "file")
    assert record == RECORD
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in tensors.items():
        assert tensor.dtype == TENSORS[name].dtype
        assert torch.equal(tensor, TENSORS[name])
    assert [path.name for path in (tmp_path / "new folder").iterdir()] == ["file"]


def test_tied_tensors_are_saved_once() -> None:
    module = torch.nn.ModuleList([torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)])
    module[1].weight = module[0].weight
    assert set(state_tensors(module)) == {"0.weight", "0.bias", "1.bias"}


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    save(path, TENSORS, RECORD)
    whole = path.read_bytes()
    for length in (0, 1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 8, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(LookaheadError, match=f"{re.escape(str(path))} (cannot be read|is corrupt)"):
            load(path)


@pytest.mark.parametrize("bit", [0, 3, 5])
def test_a_flipped_bit_is_refused_wherever_it_is(bit: int, tmp_path: Path) -> None:
    """In the header, the names, the record, the checksum or the numbers. (Blanks that pad the header say nothing.)"""
    path = tmp_path / "file"
    save(path, TENSORS, RECORD)
    whole = path.read_bytes()
    padding = range(8 + len(whole[8:].split(b"}}", 1)[0]), 8 + int.from_bytes(whole[:8], "little"))
    for place in range(len(whole)):
        if place in padding and whole[place] == ord(" "):
            continue
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
        with pytest.raises(LookaheadError, match=f"{re.escape(str(path))} (cannot be read|is corrupt)"):
            load(path)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "foreign")
    with pytest.raises(LookaheadError, match="is corrupt: its checksum does not match"):
        load(tmp_path / "foreign")
    with pytest.raises(LookaheadError, match="cannot be read"):
        load(tmp_path / "missing")


# -- the latest and the one before ---------------------------------------------------------------------------


def saved(folder: Path, *steps: int, run_id: str = "one run", code: str = "this") -> Checkpoints:
    refuses = {"this": None, "other": "was written by other code"}
    checkpoints = Checkpoints(folder, run_id, code, refuses.get)
    for step in steps:
        checkpoints.save({"weight": torch.full((4,), float(step))}, {"steps": step})
    return checkpoints


def steps_of(checkpoints: Checkpoints) -> int | None:
    """The steps of the checkpoint that is taken up."""

    def use(tensors: dict[str, torch.Tensor], record: dict[str, Any]) -> int:
        assert tensors["weight"][0].item() == record["steps"]
        return record["steps"]

    return checkpoints.take_up(use)


def test_the_latest_is_taken_up_and_the_one_before_is_kept(tmp_path: Path) -> None:
    assert steps_of(Checkpoints(tmp_path, "one run")) is None
    checkpoints = saved(tmp_path, 1, 2, 3)
    assert steps_of(checkpoints) == 3
    assert checkpoints.steps_found() == 3
    assert len(list(tmp_path.iterdir())) == 2
    checkpoints.latest.unlink()
    assert steps_of(checkpoints) == 2
    checkpoints.remove()
    assert list(tmp_path.iterdir()) == []


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def of_another_run(path: Path) -> None:
    saved(path.parent / "other", 9, run_id="another run").latest.replace(path)


def of_other_code(path: Path) -> None:
    saved(path.parent / "other", 9, code="other").latest.replace(path)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (cut, "cannot be read .* truncated, corrupt"),
        (of_another_run, "belongs to run another run, not to one run"),
        (of_other_code, "was written by other code"),
        (a_folder, "cannot be read"),
    ],
)
def test_where_the_latest_cannot_be_used_the_one_before_is(
    damage: Callable[[Path], None], fault: str, tmp_path: Path
) -> None:
    checkpoints = saved(tmp_path, 1, 2)
    damage(checkpoints.latest)
    with pytest.warns(
        UserWarning, match=f"^run one run was interrupted, and .*{fault}.*: set aside, .* goes on from the one before"
    ):
        assert steps_of(checkpoints) == 1
    assert (tmp_path / "checkpoint.unusable").exists()
    assert steps_of(checkpoints) == 1, "without a word, the second time"
    checkpoints.save({"weight": torch.full((4,), 3.0)}, {"steps": 3})
    assert checkpoints.previous.exists(), "what was gone on from is kept, not what was set aside"
    assert steps_of(checkpoints) == 3


def test_where_neither_can_be_used_both_are_set_aside(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1, 2)
    cut(checkpoints.latest)
    of_another_run(checkpoints.previous)
    with pytest.warns(
        UserWarning, match=r"cannot be read.*; .*belongs to run another run.*: set aside, and it starts anew"
    ):
        assert steps_of(checkpoints) is None
    assert not checkpoints.latest.exists()
    assert not checkpoints.previous.exists()
    checkpoints.remove()
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_a_checkpoint_that_does_not_fit_is_refused_by_who_uses_it(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1, 2)

    def use(tensors: dict[str, torch.Tensor], record: dict[str, Any]) -> int:
        if record["steps"] == 2:
            raise LookaheadError("these weights belong to another model")
        return record["steps"]

    with pytest.warns(UserWarning, match="these weights belong to another model: set aside"):
        assert checkpoints.take_up(use) == 1


def test_what_a_damaged_header_says_is_not_told(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1)
    whole = checkpoints.latest.read_bytes()
    damaged = whole.replace(b'steps\\": 1', b'steps\\": 7')
    assert damaged != whole
    checkpoints.latest.write_bytes(damaged)
    assert checkpoints.steps_found() == 0


@pytest.mark.parametrize(
    ("record", "steps"),
    [('{"steps": 3}', 3), ('{"steps"; 3}', 0), ("5", 0), ("[1]", 0), ('{"steps": "x"}', 0), ('{"steps": -1}', 0)],
)
def test_a_record_without_a_checksum_of_its_own_is_not_trusted(record: str, steps: int, tmp_path: Path) -> None:
    """As earlier code wrote them."""
    checkpoints = saved(tmp_path, 1)
    save_file({"x": torch.zeros(1)}, checkpoints.latest, {"record": record, "sha256": "0" * 64})
    assert checkpoints.steps_found() == steps


@pytest.mark.parametrize("spared", ["previous", None])
def test_a_run_goes_on_from_what_damage_has_spared(
    spared: str | None, tiny_run: Callable[..., Run], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the checkpoint before, or from nothing: to the same weights as an undisturbed run."""
    run = tiny_run(steps=9)
    harness.run(run, device="cpu")
    folder = store / "runs" / run.id
    expected, _ = load(folder / "weights.safetensors")
    (folder / "result.json").unlink()
    with monkeypatch.context() as patched:  # interrupted behind its last step: two checkpoints, no result
        patched.setattr(harness, "write_result", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            harness.run(run, device="cpu", checkpoint_every=2)
    for name in ("checkpoint.safetensors", *(() if spared else ("checkpoint.previous.safetensors",))):
        content = bytearray((folder / name).read_bytes())
        content[-5] ^= 4
        (folder / name).write_bytes(content)
    then = "goes on from the one before it" if spared else "starts anew"
    with pytest.warns(UserWarning, match=f"its checksum does not match: set aside, and it {then}"):
        harness.run(run, device="cpu")
    found, _ = load(folder / "weights.safetensors")
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.items())
    assert {path.name for path in folder.iterdir()} <= {".lock", "result.json", "weights.safetensors"}


def test_weights_of_another_model_are_refused(tiny_run: Callable[..., Run], store: Path) -> None:
    small, large = tiny_run(), tiny_run(model={"name": "transformer", "layers": 2, "width": 16, "heads": 2})
    harness.run(small, device="cpu")
    with pytest.raises(LookaheadError, match=r"these weights belong to another model: .* does not fit"):
        lookahead.runs.result.load_weights(large.build()[1].model, small.id)
    with pytest.raises(LookaheadError, match=f"no weights of run {large.id} in .*: do that run first"):
        lookahead.trained(large)


# -- written whole or not at all -----------------------------------------------------------------------------


def test_a_failure_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "old")

    def fail_half_way() -> None:
        with replacing(tmp_path / "file") as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert folder_contents(tmp_path) == {"file": b"old"}
    write_text(tmp_path / "file", "new")
    assert folder_contents(tmp_path) == {"file": b"new"}


def test_who_reads_a_file_while_it_is_replaced_reads_the_old_one_whole(tmp_path: Path) -> None:
    """It is moved into place, never written over."""
    write_text(tmp_path / "file", "old")
    with (tmp_path / "file").open() as reader:
        write_text(tmp_path / "file", "new")
        assert reader.read() == "old"
    assert (tmp_path / "file").read_text() == "new"


def test_a_path_through_a_file_is_refused(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "old")
    path = tmp_path / "file" / "below"
    with pytest.raises(LookaheadError, match=r"file/below could not be written \(.+\); what was there before"):
        write_text(path, "new")
    with pytest.raises(LookaheadError, match="could not be written"):
        save(path, TENSORS, RECORD)
    with pytest.raises(LookaheadError, match=r"the folder .* could not be made"):
        make_folder(path)
    assert folder_contents(tmp_path) == {"file": b"old"}


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import pyarrow, torch
from lookahead.runs.staleness import stamp
from lookahead.errors import LookaheadError
from lookahead.files import write_text
from lookahead.runs.parquet import pack
from lookahead.runs.result import Result
from lookahead.runs.run import Run
from lookahead.training.checkpoints import Checkpoints, save

folder = Path(sys.argv[1])
checkpoints = Checkpoints(folder / "run", "a")
small, large = {"w": torch.zeros(10)}, {"w": torch.zeros(100_000)}
run = Run(task={"name": "path_star", "degree": 2, "path_length": 3, "num_nodes": 10})
noise = torch.rand(60_000, generator=torch.Generator().manual_seed(0)).tolist()
measures = {"autoregressive_accuracy": 0.5, "examples": 16}
manifest = {"steps": 10, "seconds": 1.5, "finished": "2026-01-01", "device": "a CPU", "torch": "2.11.0"}
result = Result(run=run, curve=[], measures=measures, manifest=manifest, stamp=stamp(run), replay=[])
curve = [{"step": 0, "autoregressive_accuracy": 0, "noise": noise}]
other = Run.of({**run.config, "seed": 1})
large_result = Result(run=other, curve=curve, measures=measures, manifest=manifest, stamp=stamp(other), replay=[])
write_text(folder / "text", "old")
save(folder / "tensors", small, {})
for step in (1, 2):
    checkpoints.save(small, {"steps": step})
pack("packed", [result])
before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit then fails as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
for attempt in (
    lambda: write_text(folder / "text", "new" * 100_000),
    lambda: save(folder / "tensors", large, {}),
    lambda: checkpoints.save(large, {"steps": 3}),
    lambda: pack("packed", [large_result]),
):
    try:
        attempt()
    except LookaheadError as error:
        assert "could not be written" in str(error) and "untouched" in str(error), error
    else:
        raise SystemExit("was written")
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert after == before, set(after) ^ set(before)
assert checkpoints.take_up(lambda tensors, record: record)["steps"] == 2
print("survived")
"""


def test_a_full_disk_leaves_every_old_file_whole(tmp_path: Path) -> None:
    environment = {**os.environ, "LOOKAHEAD_RESULTS": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "survived\n"), done.stderr


# -- nothing to run in a file --------------------------------------------------------------------------------


def test_the_library_reads_no_pickle() -> None:
    """Neither by name nor by torch.load, pandas.read_pickle, numpy's allow_pickle, joblib."""
    library = Path(lookahead.__file__).parent
    forbidden = re.compile(r"pickle|torch\.(load|save)\b|joblib|shelve|marshal\.load|\beval\(|\bexec\(")
    found = {
        f"{path.relative_to(library)}: {line.strip()}"
        for path in library.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if forbidden.search(line)
    }
    assert found == set()
