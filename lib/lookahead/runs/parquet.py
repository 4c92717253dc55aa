"""Packed results: one tidy Parquet file an experiment, mergeable, readable by pandas in a line."""

from __future__ import annotations

import dataclasses
import errno
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lookahead.errors import Corrupt, LookaheadError
from lookahead.files import regular, replacing, set_aside
from lookahead.runs import staleness
from lookahead.runs.result import Result, locked_to_write, store_folder, store_folders
from lookahead.runs.run import KINDS, Run
from lookahead.runs.sealed import SEAL, sealed

JSON_COLUMNS = ("run", "curve", "measures", "manifest", "replay")


class Packed(Result):
    """A result that was read from an experiment's file: measured before the process that reads it began."""


def pack(name: str, results: Iterable[Result]) -> Path:
    """Merges results into the store's file of an experiment: one row a run, readable by pandas.

    The whole configuration (defaults too) and the scalar measures are columns; curve, manifest and the rest are strict
    JSON, with null for NaN. A result of a run that is there already takes its place. What is current gets today's
    stamp, so that reading it need not replay it, and a whole replay.

    Returns:
        the file.
    """
    path = packed_path(name)
    with locked_to_write(_lock(name)):  # two that merge at once would lose rows
        merged = {r.run.id: r for r in [*(read_pack(path) if path.exists() else []), *results]}
        ordered = sorted(merged.values(), key=lambda r: (json.dumps({**r.run.config, "seed": None}), r.run.seed))
        rows = [_row(_restamped(result)) for result in ordered]
        columns = {key: None for row in rows for key in row}
        table = pa.table({key: _column([row.get(key) for row in rows]) for key in columns})
        with replacing(path) as temporary:
            pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)
    return path


def _column(values: list[Any]) -> pa.Array:
    """A column; as JSON where an option is a number in one run and a word in another."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if value is None else json.dumps(value) for value in values])


def _restamped(result: Result) -> Result:
    """A current result with today's stamp, and with a whole replay where earlier code stored the losses alone."""
    if not result.current:
        return result
    replayed = result.replay
    if isinstance(replayed, list):
        replayed = staleness.replay_today(result.run, stacked="stacked" in result.manifest)
    return dataclasses.replace(result, stamp=staleness.stamp(result.run), replay=replayed)


def _lock(name: str) -> Path:
    return store_folder() / "runs" / f".{name}.lock"


def read_packed(name: str) -> list[Result]:
    """All results of an experiment: those of the store, and of other runs those that are committed in the checkout.

    Raises:
        LookaheadError: no such file, or corrupt.
    """
    paths = [path for folder in store_folders() if (path := folder / f"{name}.parquet").exists()]
    if not paths:
        raise LookaheadError(f"no stored results of {name!r}: {packed_path(name)} is missing")
    return list(without_doubles(result for path in paths for result in read_pack(path)).values())


def without_doubles(results: Iterable[Result]) -> dict[str, Result]:
    """Results by their run: of several the first that is current, or else the first."""
    found: dict[str, Result] = {}
    for result in results:
        if result.run.id not in found or (not found[result.run.id].current and result.current):
            found[result.run.id] = result
    return found


def read_pack(path: Path) -> list[Result]:
    """All results in one file.

    Raises:
        LookaheadError: it cannot be read, or holds runs that this library does not know. `Corrupt`: it holds something
            else.
    """
    try:
        data = regular(path).read_bytes()  # at once: the file may be replaced while it is read
    except OSError as error:
        kind = Corrupt if error.errno == errno.EINVAL else LookaheadError
        raise kind(f"{path} cannot be read ({error.strerror or error})") from error
    try:
        rows = pq.read_table(pa.BufferReader(data), page_checksum_verification=True).to_pylist()
        wanted = [item.name for item in dataclasses.fields(Result)] + ["id"]
        found = [{key: _plain(key, row[key]) for key in wanted} | {SEAL: row.get(SEAL)} for row in rows]
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError, RecursionError) as error:
        raise Corrupt(f"{path} is corrupt or holds no results ({error})") from error
    return [Packed.from_dict(data, str(path)) for data in found]


def set_aside_if_corrupt(name: str) -> Path | None:
    """Renames the store's file of an experiment if it is corrupt, so that it can be made again.

    Returns:
        its new path; None if it is fine or not there.

    Raises:
        LookaheadError: it cannot be read for another reason.
    """
    path = packed_path(name)
    if not path.exists() or not _corrupt(path):
        return None
    with locked_to_write(_lock(name)):
        return set_aside(path) if _corrupt(path) else None  # another process may have been quicker


def _corrupt(path: Path) -> bool:
    try:
        read_pack(path)
    except Corrupt:
        return True
    except LookaheadError as error:
        raise LookaheadError(f"{error}. Move the file away, and what only it holds is done again") from error
    return False


def _plain(key: str, value: Any) -> Any:
    """What stands in a cell, as plain data; earlier code wrote the losses of a replay as a list of numbers."""
    return json.loads(value) if key in JSON_COLUMNS and not (key == "replay" and isinstance(value, list)) else value


def packed_path(name: str) -> Path:
    """The file of an experiment."""
    return store_folder() / f"{name}.parquet"


def _row(result: Result) -> dict[str, Any]:
    """One run as a row: scalars for people, JSON for the rest."""
    data = sealed(result.to_dict())
    for key in JSON_COLUMNS:
        data[key] = json.dumps(data[key])
    for item in dataclasses.fields(Run):
        value = getattr(result.run, item.name)
        if item.name in KINDS:
            data[item.name] = value["name"]
            data |= {f"{item.name}.{k}": v for k, v in value.items() if k != "name"}
        else:
            data[item.name] = value
    data |= {k: v for k, v in result.measures.items() if isinstance(v, int | float)}
    return {**data, "step_of_success": result.step_of_success}
