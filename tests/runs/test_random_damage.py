"""Random damage to each kind of file that is kept: it is refused or made anew, never believed, never a traceback."""

import dataclasses
import json
import random
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from lookahead.errors import LookaheadError
from lookahead.experiments.grid import read_failure, write_failure
from lookahead.runs.parquet import pack, read_pack
from lookahead.runs.result import read_result, run_folder, store_folder, verdict, write_result
from lookahead.runs.run import Run
from lookahead.tasks import OwnData
from lookahead.tasks.own_data import reading
from lookahead.training.checkpoints import Checkpoints, load
from made_up import made_up
from own_file import copies
from own_file import write as write_records

MakeRun = Callable[..., Run]
Read = Callable[[], Any]

FEW, EACH = 15, 200
"""Damages of a file: in CI, and for `make test-long`."""
MANY = {"result": 400, "pack": 1500, "weights": 300}
"""Of the files that numbers are read from, more."""


def damaged(data: bytes, drawn: random.Random) -> bytes:
    """Bytes with something wrong: bits flipped, a piece cut, lost, repeated, moved or overwritten."""
    start, length = drawn.randrange(len(data)), min(drawn.choice((1, 2, 8, 64, 512)), len(data))
    piece, rest = data[start : start + length], data[start + length :]
    other = drawn.randrange(len(data))
    return drawn.choice(
        (
            data[:start] + bytes(byte ^ 1 << drawn.randrange(8) for byte in piece[:1]) + data[start + 1 :],
            data[:start] + bytes(byte ^ 1 << drawn.randrange(8) for byte in piece) + rest,
            data[:start] + drawn.randbytes(len(piece)) + rest,
            data[:start],
            data[:start] + rest,
            data[:start] + piece + piece + rest,
            (data[:start] + rest)[:other] + piece + (data[:start] + rest)[other:],
            data[:start] + bytes(len(piece)) + rest,
        )
    )


def as_text(tensors: dict[str, torch.Tensor], record: Any) -> str:
    return json.dumps([{name: tensor.tolist() for name, tensor in sorted(tensors.items())}, record])


def stored_result(run: Run) -> tuple[Path, Read]:
    write_result(made_up(run), run.build()[1])
    return run_folder(
        run.id
    ) / "result.json", lambda: json.dumps(found.to_dict()) if (found := read_result(run)) else None


def packed(run: Run) -> tuple[Path, Read]:
    results = [made_up(dataclasses.replace(run, seed=seed)) for seed in range(3)]
    path = pack("some", results)
    return path, lambda: json.dumps([found.to_dict() for found in read_pack(path)])


def weights(run: Run) -> tuple[Path, Read]:
    write_result(made_up(run), run.build()[1])
    path = run_folder(run.id) / "weights.safetensors"
    return path, lambda: as_text(*load(path))


def checkpoint(run: Run, which: str) -> tuple[Path, Read]:
    """The one of two that is damaged; what is taken up is the other, or nothing."""
    checkpoints = Checkpoints(run_folder(run.id), run.id)
    spared = {"latest": checkpoints.previous, "previous": checkpoints.latest}[which]

    def save_both() -> dict[Path, bytes]:
        for step in (1, 2):
            checkpoints.save({"weight": torch.arange(64.0) / step}, {"steps": step})
        return {path: path.read_bytes() for path in (checkpoints.latest, checkpoints.previous)}

    whole = save_both()

    def read() -> Any:
        spared.write_bytes(whole[spared])
        checkpoints.steps_found()
        tensors, record = checkpoints.take_up(lambda tensors, record: (tensors, record)) or ({}, {})
        assert torch.equal(tensors["weight"], torch.arange(64.0) / record["steps"])

    return getattr(checkpoints, which), read


def failure(run: Run) -> tuple[Path, Read]:
    write_failure(run, LookaheadError("out of memory"))
    return run_folder(run.id) / "failure.json", lambda: read_failure(run)


def verdicts(run: Run) -> tuple[Path, Read]:
    """What is remembered is asked again where it cannot be read; what is found is right."""
    keys = {f"{number:024x}": number % 2 == 0 for number in range(1, 40)}
    for key, right in keys.items():
        verdict(key, lambda right=right: right)
    path = store_folder() / "runs" / ".verdicts"
    return path, lambda: {key: verdict(key, lambda right=right: right) for key, right in keys.items()}


def own_data(run: Run, part: str) -> tuple[Path, Read]:
    """A part of what is kept of a file of one's own."""
    file = write_records(store_folder().parent / "own.jsonl", copies())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that some repeat others
        task = OwnData(str(file), prompt_field="question")

    def read() -> Any:
        reading.read_table.cache_clear()
        return [part.tolist() for part in dataclasses.replace(task).sample("train", torch.arange(300))]

    read()
    (folder,) = (path for path in reading.table.cache_folder().iterdir() if path.is_dir())
    return folder / part, read


KINDS: dict[str, Callable[[Run], tuple[Path, Read]]] = {
    "result": stored_result,
    "pack": packed,
    "weights": weights,
    "latest checkpoint": lambda run: checkpoint(run, "latest"),
    "previous checkpoint": lambda run: checkpoint(run, "previous"),
    "failure": failure,
    "verdicts": verdicts,
    **{
        f"own data {part}": lambda run, part=part: own_data(run, part)
        for part in ("facts.json", "prompts.npy", "answer_starts.npy", "train.npy", "sha256")
    },
}


def damages(kind: str, count: int) -> Iterator[random.Random]:
    """A source of chance for each damage: a failure tells its number, and can be had again."""
    return (random.Random(f"{kind} {number}") for number in range(count))


def damage_again_and_again(kind: str, count: int, run: Run, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many of the damages were refused, or read as nothing; all others gave what was written."""
    monkeypatch.setattr(reading, "CACHED_FROM", 0)
    path, read = KINDS[kind](run)
    whole, expected, refused = path.read_bytes(), read(), 0
    for drawn in damages(kind, count):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(broken := damaged(whole, drawn))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = read()
            except LookaheadError:
                refused += 1
                continue
        refused += found is None
        assert found == expected or found is None or broken == whole, f"{drawn} was believed"
    return refused


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_damaged_is_not_believed(
    kind: str, tiny_run: MakeRun, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage_again_and_again(kind, FEW, tiny_run(), monkeypatch)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_damaged_many_times_is_not_believed(
    kind: str, tiny_run: MakeRun, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = MANY.get(kind, EACH)
    print(f"{kind}: {count} damages, {damage_again_and_again(kind, count, tiny_run(), monkeypatch)} refused")
