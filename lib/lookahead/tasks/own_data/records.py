"""Fields of a JSON Lines, CSV or Parquet file, such as prompt and answer, one record at a time."""

from __future__ import annotations

import csv
import functools
import gzip
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from tqdm import tqdm

from lookahead.errors import LookaheadError, shown

FORMATS = {".jsonl": "JSON Lines", ".ndjson": "JSON Lines", ".json": "JSON Lines", ".csv": "CSV", ".tsv": "CSV"}
PACKED = (".gz", ".zst")
LONG_FILE = 50 * 2**20
"""Bytes from which on a bar says how far the reading is."""
CHECKSUM_DIGITS = 16


class Malformed(ValueError):
    """What is wrong with one record; the reader adds file and line."""


@dataclass
class LeftOut:
    """The malformed records of a file: so many may be left out, and are counted; one more ends the reading."""

    file: str | Path
    most: int
    count: int = 0
    first: str = ""
    """What was wrong with the first."""

    def add(self, said: str) -> None:
        """Counts one.

        Raises:
            LookaheadError: it is one too many; the message names the file.
        """
        self.count, self.first = self.count + 1, self.first or said
        if self.count > self.most:
            more = f" (left out before: {self.most}, as many as skip_bad allows)" if self.most else ""
            raise LookaheadError(f"{self.file}, {said}{more}") from None


def checksum(path: str | Path) -> str:
    """What tells a file's content from others: the first hexadecimal digits of its SHA-256.

    Raises:
        LookaheadError: the file cannot be read.
    """
    try:
        status = os.stat(Path(path).expanduser())
        return _checksum(str(Path(path).expanduser()), status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise LookaheadError(f"{path} cannot be read ({error.strerror or error}; looked from {os.getcwd()})") from error


@functools.lru_cache(maxsize=64)
def _checksum(path: str, changed: int, size: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:CHECKSUM_DIGITS]


def records(path: str | Path, *fields: str) -> Iterator[Any]:
    """Line number and fields of every record of a file, (number, text, text, ...); or (number, `Malformed`).

    Args:
        path: `.jsonl`, `.csv` (or `.tsv`), each also with `.gz` or `.zst` at the end; or `.parquet`.
        fields: their names, such as those of prompt and answer.

    Raises:
        LookaheadError: the file cannot be read, or is in another format, or a CSV or Parquet file has no such field.
    """
    path = Path(path).expanduser()
    endings = [ending.lower() for ending in path.suffixes]
    packed = endings.pop() if endings and endings[-1] in PACKED else ""
    kind = endings[-1] if endings else ""
    try:
        if kind == ".parquet" and not packed:
            yield from _from_parquet(path, fields)
        elif kind in FORMATS:
            with _opened(path, packed) as file:
                lines = _Lines(file)
                if FORMATS[kind] == "CSV":
                    yield from _from_csv(path, lines, fields, "\t" if kind == ".tsv" else ",")
                else:
                    yield from _from_json(path, lines, fields)
        else:
            raise LookaheadError(
                f"{path}: its name tells no format: .jsonl, .csv or .tsv (also with .gz or .zst), or .parquet"
            )
    except (OSError, EOFError) as error:
        raise LookaheadError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error})") from error


def _opened(path: Path, packed: str) -> BinaryIO:
    """A file of bytes, unpacked, with a bar where it is long."""
    raw: Any = open(path, "rb")  # noqa: SIM115 (closed by whoever reads)
    size = os.stat(path).st_size
    if size >= LONG_FILE:
        bar = tqdm(total=size, unit="B", unit_scale=True, desc=f"reading {path.name}", disable=None, leave=False)
        raw = _Counted(raw, bar)
    if packed == ".gz":
        return gzip.GzipFile(fileobj=raw)  # type: ignore[return-value]
    if packed == ".zst":
        import pyarrow

        return io.BufferedReader(_Unpacked(pyarrow.CompressedInputStream(pyarrow.PythonFile(raw, "r"), "zstd")))  # type: ignore[return-value]
    return raw


class _Unpacked(io.RawIOBase):
    """What pyarrow unpacks, as Python's readers want it."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Counted(io.BufferedReader):
    """A file whose reading moves a bar."""

    def __init__(self, raw: Any, bar: Any) -> None:
        super().__init__(raw.detach() if hasattr(raw, "detach") else raw, buffer_size=2**20)
        self.bar, self.told = bar, 0

    def close(self) -> None:
        self.bar.close()
        super().close()

    def readline(self, *size: Any) -> bytes:
        line = super().readline(*size)
        self.bar.update(len(line))
        return line

    def read(self, *size: Any) -> bytes:
        data = super().read(*size)
        self.bar.update(len(data))
        return data


class _Lines:
    """Lines of bytes as text, counted; a byte-order mark at the front is passed over."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.number = file, 0

    def __iter__(self) -> Iterator[str | Malformed]:
        while line := self.file.readline():
            self.number += 1
            if self.number == 1:
                if line[:2] in (b"\xff\xfe", b"\xfe\xff"):
                    raise LookaheadError("it begins as UTF-16 does: save it as UTF-8")
                line = line.removeprefix(b"\xef\xbb\xbf")
            try:
                yield line.decode()
            except UnicodeDecodeError as error:
                byte = line[error.start]
                yield Malformed(
                    f"no UTF-8: byte 0x{byte:02x} at column {error.start + 1}; the file mixes encodings, or has another"
                )


def _from_json(path: Path, lines: _Lines, fields: tuple[str, ...]) -> Iterator[Any]:
    try:
        for line in lines:
            if isinstance(line, Malformed):
                yield lines.number, line
                continue
            if not line.strip():
                continue
            if lines.number == 1 and line.lstrip().startswith("["):
                raise LookaheadError(
                    "it begins with '[', as one list of all examples does; JSON Lines has an object on each line, "
                    "without commas between them (jq -c '.[]' makes one of the other)"
                )
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield lines.number, Malformed(f"no JSON ({error}): {shown(line.strip())}")
                continue
            if not isinstance(record, dict):
                yield lines.number, Malformed(f"a JSON object is wanted, with fields, not {shown(record)}")
                continue
            yield _chosen(lines.number, record, fields)
    except LookaheadError as error:
        raise LookaheadError(f"{path}: {error}") from None


def _from_csv(path: Path, lines: _Lines, fields: tuple[str, ...], delimiter: str) -> Iterator[Any]:
    bad: list[tuple[int, Malformed]] = []

    def text() -> Iterator[str]:
        for line in lines:
            if isinstance(line, Malformed):
                bad.append((lines.number, line))
            else:
                yield line

    try:
        rows = csv.reader(text(), delimiter=delimiter, strict=True)
        head = next(rows, None)
        if head is None:
            return
        _refuse_missing(path, head, fields)
        while True:
            try:
                row = next(rows)
            except StopIteration:
                break
            except csv.Error as error:
                yield lines.number, Malformed(f"no CSV ({error})")
                continue
            if len(row) == len(head):
                yield _chosen(lines.number, dict(zip(head, row, strict=True)), fields)
            elif row:
                yield (
                    lines.number,
                    Malformed(f"{len(row)} field{'s' * (len(row) > 1)}, but the first line names {len(head)}"),
                )
            while bad:
                yield bad.pop()
        yield from bad
    except LookaheadError as error:
        raise LookaheadError(str(error) if str(path) in str(error) else f"{path}: {error}") from None


def _from_parquet(path: Path, fields: tuple[str, ...]) -> Iterator[Any]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            _refuse_missing(path, file.schema_arrow.names, fields)
            number = 0
            hidden = None if os.stat(path).st_size >= LONG_FILE else True  # None: unless nobody watches
            rows = file.metadata.num_rows
            with tqdm(total=rows, unit=" rows", desc=f"reading {path.name}", disable=hidden, leave=False) as bar:
                for batch in file.iter_batches(2**14, columns=list(dict.fromkeys(fields))):
                    for record in batch.to_pylist():
                        number += 1
                        yield _chosen(number, record, fields)
                    bar.update(len(batch))
    except pyarrow.ArrowException as error:
        raise LookaheadError(f"{path} is no whole Parquet file ({error})") from error


def _refuse_missing(path: Path, there: Iterable[str], fields: tuple[str, ...]) -> None:
    names = list(there)
    for field in fields:
        if field not in names:
            raise LookaheadError(f"{path} has no field {shown(field)}; the fields there are: {', '.join(names)}")


def _chosen(number: int, record: dict[str, Any], fields: tuple[str, ...]) -> Any:
    """Line number and fields; or line number and what is wrong."""
    found = []
    for field in fields:
        if field not in record:
            return number, Malformed(f"no field {shown(field)}; the fields there are: {', '.join(map(str, record))}")
        value = record[field]
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            return number, Malformed(f"the field {field!r} holds {shown(value)}, not text or a whole number")
        found.append(value)
    return number, *found
