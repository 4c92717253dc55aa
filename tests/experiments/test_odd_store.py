"""One odd file in the store: it is named, no command ends in a traceback, and the others work."""

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import MODEL, TASK

from lookahead import cli
from lookahead.experiments import EXPERIMENTS, Experiment
from lookahead.runs import harness, parquet, result
from lookahead.runs.parquet import pack, packed_path, read_pack, read_packed
from lookahead.runs.result import Result, read_result, run_folder, verdict
from lookahead.runs.run import Run
from read_only import make_read_only

ODD_TEXT = ["", "{", "5", "null", "[]", '{"run": 5}', "[" * 100_000, '"' + "x" * 100]
ODD_BYTES = [b"\xff\xfe", b"\x00" * 50, b"PAR1", b"PAR1" * 30]

RUN = Run(task=TASK, model=MODEL, steps=3, batch_size=8, evaluate_every=3)


@dataclasses.dataclass(frozen=True)
class OneRun(Experiment):
    """A grid of one tiny run."""

    seed: int = 0

    def runs(self, profile: str) -> Any:
        yield dataclasses.replace(RUN, seed=self.seed)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a result of two experiments, `one` and `other`, packed."""
    folder = tmp_path_factory.mktemp("measured")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOOKAHEAD_RESULTS", str(folder))
        patch.setenv("LOOKAHEAD_PROGRESS", "")
        patch.setattr(result, "committed_folder", lambda: None)
        for seed, name in enumerate(("one", "other")):
            pack(f"{name}-quick", [harness.run(dataclasses.replace(RUN, seed=seed), device="cpu")])
    return folder


@pytest.fixture
def full(measured: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, to break."""
    shutil.copytree(measured, store)
    for name in reversed(EXPERIMENTS.copy()):  # undone from the end: the order stays
        monkeypatch.delitem(EXPERIMENTS, name)
    for seed, name in enumerate(("one", "other")):
        monkeypatch.setitem(EXPERIMENTS, name, OneRun(name=name, question="?", cells=[], seed=seed))
    return store


def write(path: Path, content: Any) -> None:
    """Puts a text, bytes, a folder (None) or a pipe (...) where a file is."""
    path.unlink(missing_ok=True)
    if content is None:
        path.mkdir()
    elif content is ...:
        os.mkfifo(path)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def changed(path: Path, column: str, value: Any) -> None:
    """Writes a pack anew with one column changed, or (...) without it."""
    table = pq.read_table(path)
    table = table.drop_columns([name for name in table.column_names if name == "sha256"])  # as a forger would
    place = table.column_names.index(column)
    table = table.remove_column(place)
    if value is not ...:
        table = table.add_column(place, column, pa.array([value]))
    pq.write_table(table, path)


def without(path: Path, column: str, key: str) -> None:
    """Takes a key out of the JSON in a column of a pack."""
    data = json.loads(pq.read_table(path).column(column)[0].as_py())
    del (data[0] if isinstance(data, list) else data)[key]
    changed(path, column, json.dumps(data))


def exits(*names: str) -> set[int]:
    """The exit statuses of the commands, on some experiments."""
    return {cli.main([command, name]) for name in names for command in ("list", "status", "show", "run", "pack")}


WRONG_PACKS: dict[str, Callable[[Path], None]] = {
    **{f"text {text[:9]}": lambda path, text=text: write(path, text) for text in ODD_TEXT[:3]},
    **{f"bytes {data[:4]!r}": lambda path, data=data: write(path, data) for data in ODD_BYTES},
    "folder": lambda path: write(path, None),
    "pipe": lambda path: write(path, ...),
    "another table": lambda path: pq.write_table(pa.table({"x": [1]}), path),
    **{
        f"run {value}": lambda path, value=value: changed(path, "run", value)
        for value in ("5", "null", "{", "[" * 100_000, None)
    },
    "id": lambda path: changed(path, "id", "0123456789ab"),
    "id a number": lambda path: changed(path, "id", 5),
    "stamp": lambda path: changed(path, "stamp", 5),
    **{
        f"no {name}": lambda path, name=name: changed(path, name, ...) for name in ("run", "curve", "manifest", "stamp")
    },
    **{
        f"{name} {value}": lambda path, name=name, value=value: changed(path, name, value)
        for name in ("curve", "measures", "manifest")
        for value in ("null", "[5]", '{"x": 1}')
    },
    **{
        f"{column} without {key}": lambda path, column=column, key=key: without(path, column, key)
        for column, key in (
            ("manifest", "device"),
            ("manifest", "seconds"),
            ("manifest", "steps"),
            ("measures", "examples"),
            ("measures", "autoregressive_accuracy"),
            ("curve", "step"),
        )
    },
}


@pytest.mark.parametrize("wrong", WRONG_PACKS.values(), ids=WRONG_PACKS)
def test_an_odd_pack_is_named_and_the_other_works(
    wrong: Callable[[Path], None], full: Path, capsys: pytest.CaptureFixture[str], trainings: list[str]
) -> None:
    """That of its own experiment is set aside and made again, from the working results."""
    path = packed_path("one-quick")
    wrong(path)
    assert cli.main(["status"]) == 0
    assert f"lookahead: left out: {path}" in capsys.readouterr().err
    assert exits("other", "one") == {0}
    assert len(read_packed("one-quick")) == len(read_packed("other-quick")) == 1
    assert path.with_name(f"{path.name}.corrupt").exists()
    assert trainings == []


@pytest.mark.parametrize("run", ["[]", '{"task": 5}', '{"task": "G(2,3)", "objective": "of another library"}'])
def test_a_pack_of_runs_that_nobody_knows_is_named_and_left(
    run: str, full: Path, capsys: pytest.CaptureFixture[str], trainings: list[str]
) -> None:
    """They may be another library's: nothing is trained that could not be packed."""
    path = packed_path("one-quick")
    changed(path, "run", run)
    before = path.read_bytes()
    shutil.rmtree(run_folder(RUN.id))
    assert exits("other") == {0}
    capsys.readouterr()
    assert cli.main(["run", "one"]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"lookahead: {path}: ")
    assert told.endswith(". Move the file away, and what only it holds is done again\n")
    assert (path.read_bytes(), trainings) == (before, [])


WRONG_RESULTS = [*ODD_TEXT, *ODD_BYTES, None, ...]


@pytest.mark.parametrize("content", WRONG_RESULTS, ids=range(len(WRONG_RESULTS)))
def test_an_odd_result_is_named_and_made_again(
    content: Any, full: Path, capsys: pytest.CaptureFixture[str], trainings: list[str]
) -> None:
    packed_path("one-quick").unlink()
    path = run_folder(RUN.id) / "result.json"
    write(path, content)
    assert cli.main(["status", "one"]) == 0
    assert f"lookahead: {path}" in capsys.readouterr().err
    assert exits("other") == {0}
    assert cli.main(["run", "one"]) == 0
    assert trainings == [RUN.id]


@pytest.mark.parametrize("key", ["device", "seconds", "steps", "finished", "torch"])
def test_a_result_with_another_key_in_its_manifest_is_named(key: str, full: Path) -> None:
    path = run_folder(RUN.id) / "result.json"
    data = json.loads(path.read_text())
    data["manifest"][f"{key}s"] = data["manifest"].pop(key)
    del data["sha256"]
    with pytest.raises(
        result.Corrupt, match=f"one: its manifest has no {key}, or what stands there is of another kind"
    ):
        Result.from_dict(data, "one")


def test_a_failure_that_cannot_be_recorded_is_told(
    full: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    packed_path("one-quick").unlink()
    (run_folder(RUN.id) / "result.json").unlink()
    (run_folder(RUN.id) / "failure.json").mkdir()

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("a device-side error")

    monkeypatch.setattr(harness, "train", fail)
    assert cli.main(["run", "one"]) == 1
    assert "seed 0: failed: a device-side error (" in capsys.readouterr().out


@pytest.mark.parametrize("content", WRONG_RESULTS, ids=range(len(WRONG_RESULTS)))
def test_an_odd_record_of_a_failure_is_none(content: Any, full: Path, trainings: list[str]) -> None:
    packed_path("one-quick").unlink()
    (run_folder(RUN.id) / "result.json").unlink()
    write(run_folder(RUN.id) / "failure.json", content)
    assert cli.main(["status", "one"]) == 0
    assert cli.main(["run", "one"]) == 0
    assert trainings == [RUN.id]


@pytest.mark.parametrize(
    "replay", [None, 5, [], ["x"], {}, {"stacked": False}, {"stacked": False, "losses": 5, "measures": 5}]
)
def test_an_odd_replay_is_no_reason_to_trust_a_result(replay: Any, full: Path) -> None:
    (found,) = read_packed("one-quick")
    assert not dataclasses.replace(found, stamp="another", replay=replay).current


def test_a_pack_that_is_replaced_while_it_is_read_is_whole(full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Schema and data are of one file."""
    one, other = packed_path("one-quick"), packed_path("other-quick").read_bytes()
    read = pq.read_table

    def replaced(source: Any, **more: Any) -> pa.Table:
        one.write_bytes(other)
        return read(source, **more)

    monkeypatch.setattr(parquet.pq, "read_table", replaced)
    assert [found.run.seed for found in read_pack(one)] == [0]
    assert [found.run.seed for found in read_pack(one)] == [1]


# -- the cache of verdicts -------------------------------------------------------------------------------------

KEY, OTHER = "0123456789abcdef01234567", "f" * 24


@pytest.fixture
def asked() -> Callable[[str], bool]:
    """Asks for a verdict, which is always true; it is an error if nobody knew it and `unknown` is not set."""

    def ask(key: str, unknown: bool = False) -> bool:
        def find() -> bool:
            assert unknown, "it was known"
            return True

        return verdict(key, find)

    return ask


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe\x00", b"\n\n", f"{KEY}\n{KEY} Tru".encode(), f"{KEY} yes\n {KEY} False\n".encode(), b"x" * 50],
)
def test_a_cut_or_odd_line_is_no_verdict(content: bytes, store: Path, asked: Callable[..., bool]) -> None:
    cache = store / "runs" / ".verdicts"
    cache.parent.mkdir(parents=True)
    cache.write_bytes(content)
    assert asked(KEY, unknown=True)
    assert asked(OTHER, unknown=True)
    assert asked(OTHER)


@pytest.mark.parametrize("why", ["read-only", "a folder", "none"])
def test_a_verdict_is_remembered_where_the_store_cannot_be_written(
    why: str, store: Path, tmp_path: Path, asked: Callable[..., bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    if why == "none":
        store.write_text("a file")
    else:
        (store / "runs").mkdir(parents=True)
    if why == "a folder":
        (store / "runs" / ".verdicts").mkdir()
    if why == "read-only":
        make_read_only(store, monkeypatch)
    assert asked(KEY, unknown=True)
    assert asked(KEY)
    assert (tmp_path / "cache" / "lookahead" / "verdicts").read_text() == f"{KEY} True\n"


def test_where_nothing_can_be_remembered_it_is_found_again(
    store: Path, asked: Callable[..., bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(store))
    assert asked(KEY, unknown=True)
    assert asked(KEY, unknown=True)


# -- what a file says is not what a terminal does --------------------------------------------------------------


def test_no_command_lets_a_file_steer_the_terminal(full: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = read_packed("one-quick")
    packed_path("one-quick").unlink()
    shutil.rmtree(run_folder(RUN.id))
    foreign = "AMD \x1b]0;owned\x07\x1b[2J $\\frac{$"
    pack("one-quick", [dataclasses.replace(found, manifest={**found.manifest, "device": foreign})])
    run_folder("x").mkdir(parents=True)
    assert cli.main(["show", "one", "--figure", str(full / "figure.svg")]) == 0
    shown = capsys.readouterr()
    assert r"AMD \x1b]0;owned\x07\x1b[2J" in shown.out
    packed_path("one-quick").unlink()
    failure = {"error": "\x1b[2J no", "stamp": result.staleness.stamp(RUN)}
    run_folder(RUN.id).mkdir(exist_ok=True)
    (run_folder(RUN.id) / "failure.json").write_text(json.dumps(failure))
    (full / "\x1b[2J.parquet").write_text("odd")
    assert cli.main(["status", "one"]) == 0
    assert cli.main(["run", "one"]) == 1
    shown = capsys.readouterr()
    assert r"failed: G(2,3) teacher_forcing, seed 0 (" in shown.out
    assert r"\x1b[2J no" in shown.out
    assert r"\x1b[2J.parquet" in shown.err
    assert "\x1b" not in shown.out + shown.err
    assert read_result(RUN) is None
