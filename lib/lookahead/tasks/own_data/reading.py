"""A file's examples as a table: read line by line once, kept as compact tokens."""

from __future__ import annotations

import functools
import hashlib
import json
import warnings
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lookahead.contracts import SPLITS
from lookahead.errors import LookaheadError
from lookahead.tasks.own_data import records, table, tokens
from lookahead.tasks.own_data.records import Malformed, checksum
from lookahead.tasks.own_data.table import Collector, Facts, Table
from lookahead.tasks.own_data.tokens import BETWEEN, LARGEST_VOCABULARY, Growing, Tokenizer

MARKS = ("<end>", "<pad>", "<answer>")
"""Ids after the file's own tokens: what ends an answer, what fills up a prompt, what a prompt ends with."""
SMALLEST_HELD_OUT = 20
"""Different prompts below which a split is refused: no accuracy could be told from another."""
HELD_OUT_PARTS = 10
"""One part of so many is for testing, and one for validation."""
CACHED_FROM = 2**20
"""Bytes from which on a file's tokens are kept on disk, to be mapped into memory."""


def padded(read: Table, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Prompts [B, P] and answers [B, A] of some rows of a table, [B], filled up as `OwnData` says."""
    lengths, size = read.answers.lengths, len(read.info["vocabulary"])
    width = read.answers.longest + int(lengths.min() < read.answers.longest)
    prompts = padded_prompts(read.prompts, rows, read.prompts.longest + 1, size)
    return prompts, read.answers.rows(rows, width, read.info["answer_tokens"], at_end=True)


def padded_prompts(prompts: table.Tokens, rows: Tensor, width: int, vocab_size: int) -> Tensor:
    """Prompts [B, width] after their padding, the mark `<answer>` last."""
    found = prompts.rows(rows, width - 1, vocab_size - 2, at_end=False)
    return torch.cat([found, torch.full_like(found[:, :1], vocab_size - 1)], dim=1)


def content(file: str, tokenizer: str) -> str:
    """The checksum of a file's content, and of a tokenizer's that lies in a folder."""
    own = Tokenizer(tokenizer).checksum
    return checksum(file) + (f"-{own}" if own else "")


@functools.lru_cache(maxsize=8)
def read_table(
    file: str,
    prompt_field: str,
    answer_fields: tuple[str, ...],
    tokenizer: str,
    longest: int,
    skip_bad: int,
    expected: str,
) -> Table:
    """The examples of a file; from the cache where they were read before.

    Raises:
        LookaheadError: the file cannot be read, holds a malformed line, or has another content than expected.
    """
    if Path(file).expanduser().exists():
        refuse_changed(file, content(file, tokenizer), expected)
    key = [expected, prompt_field, answer_fields, tokenizer, longest, skip_bad]
    fields = (prompt_field, *answer_fields)
    return kept_table(file, key, [records, tokens], lambda: _fresh_table(file, fields, tokenizer, longest, skip_bad))


def refuse_changed(file: str, found: str, expected: str) -> None:
    """Refuses a file with another content than that which a run is of.

    Raises:
        LookaheadError: the checksums differ.
    """
    if found != expected:
        raise LookaheadError(
            f"{file} is not what it was: its checksum is {found}, and {expected} is asked for. Leave the checksum out "
            "for a run on what it is now"
        )


def kept_table(file: str, key: list[Any], readers: list[ModuleType], fresh: Callable[[], Table]) -> Table:
    """The examples of a file; from the cache where they were read before. Warns of what a user should know of it.

    Args:
        key: what the table depends on beside code, the file's checksum among it.
        readers: modules that say what is read.
        fresh: reads the file.
    """
    modules = [module.__file__ or "" for module in (*readers, table)]
    code = [Path(name).read_bytes() for name in (*modules, __file__)]
    digest = hashlib.sha256(json.dumps(key).encode() + b"".join(code))
    folder, path = table.cache_folder() / digest.hexdigest()[:24], Path(file).expanduser()
    read = Table.load(folder)
    if read is None:
        read = fresh()
        if path.stat().st_size >= CACHED_FROM:
            try:
                read.save(folder)
            except OSError as error:
                warnings.warn(
                    f"the tokens of {file} are kept in memory: {folder} cannot be written ({error})", stacklevel=3
                )
            else:
                read = Table.load(folder) or read
    for line in remarks(read.facts):
        warnings.warn(f"{file}: {line}", stacklevel=3)
    return read


def remarks(facts: Facts) -> list[str]:
    """What a user should know of a file."""
    said = []
    if facts.skipped:
        said.append(f"{facts.skipped} lines left out; the first: {facts.first_skipped}")
    if facts.duplicates:
        said.append(f"{facts.duplicates} of {facts.examples} examples repeat one before them; held-out ones count once")
    if facts.ambiguous:
        said.append(f"{facts.ambiguous} prompts have more than one answer: at most one of them can be right")
    return said


def refuse_one_answer(facts: Facts, file: str | Path) -> None:
    """Refuses a file that has one answer for all.

    Raises:
        LookaheadError: it has.
    """
    if facts.commonest_answer == 1:
        raise LookaheadError(f"{file}: all {facts.examples} answers are the same, so that there is nothing to learn")


def refuse_useless(read: Table, file: str) -> None:
    """Refuses a file that nothing can be learnt from, or measured on.

    Raises:
        LookaheadError: why.
    """
    counts = read.facts.prompts
    refuse_one_answer(read.facts, file)
    if min(counts.values()) < SMALLEST_HELD_OUT:
        told = ", ".join(f"{count} for {split}" for split, count in counts.items())
        raise LookaheadError(
            f"{file} is too small to hold anything out from: its {sum(counts.values())} prompts are split into "
            f"{told}. Each part needs {SMALLEST_HELD_OUT}, so some {2 * HELD_OUT_PARTS * SMALLEST_HELD_OUT} are wanted"
        )


def each_example(
    file: str | Path,
    fields: tuple[str, ...],
    tokenizer: str,
    longest: int,
    skip_bad: int,
    take: Callable[[Sequence[str], Sequence[str]], None],
) -> tuple[int, str]:
    """Gives the tokens of every example to `take`, which may raise `Malformed`.

    Args:
        fields: that of the prompt, then those of the answer, between whose tokens stands `BETWEEN`.

    Returns:
        how many lines were left out, and what was wrong with the first.
    """
    cutter, left_out = Tokenizer(tokenizer), records.LeftOut(file, skip_bad)
    for number, *found in records.records(file, *fields):
        try:
            if isinstance(found[0], Malformed):
                raise found[0]
            prompt, *parts = (cutter.cut(text) for text in found)  # type: ignore[arg-type]
            named = ["answer"] if len(parts) == 1 else [f"answer's field {field!r}" for field in fields[1:]]
            for name, part in zip(("prompt", *named), (prompt, *parts), strict=True):
                if not part:
                    raise Malformed(f"the {name} is empty")
            answer = parts[0]
            for part in parts[1:]:
                answer = [*answer, BETWEEN, *part]
            if len(prompt) + len(answer) > longest:
                raise Malformed(f"prompt and answer have {len(prompt) + len(answer)} tokens; `longest` is {longest}")
            take(prompt, answer)
        except Malformed as fault:
            left_out.add(f"line {number}: {fault}")
    return left_out.count, left_out.first


def _fresh_table(file: str, fields: tuple[str, ...], tokenizer: str, longest: int, skip_bad: int) -> Table:
    """Reads a file line by line; tokens are held in one or two bytes each."""
    growing = Growing()
    columns = Collector(), Collector()
    prompt_hashes, answer_hashes, hashes = array("Q"), array("Q"), array("Q")
    in_answers: set[str] = set()

    def take(prompt: Sequence[str], answer: Sequence[str]) -> None:
        columns[0].add(growing.ids(prompt))
        columns[1].add(growing.ids(answer))
        if len(growing) > LARGEST_VOCABULARY:
            raise LookaheadError(f"{file} holds more than {LARGEST_VOCABULARY} different {tokenizer}: cut it finer")
        in_answers.update(answer)
        first, second = (_hash(part) for part in (prompt, answer))
        prompt_hashes.append(int.from_bytes(first.digest(), "little"))
        answer_hashes.append(int.from_bytes(second.digest(), "little"))
        first.update(second.digest())
        hashes.append(int.from_bytes(first.digest(), "little"))

    skipped, first = each_example(file, fields, tokenizer, longest, skip_bad, take)
    if not len(hashes):
        raise LookaheadError(f"{file}: no examples in it")
    vocabulary = [*sorted(in_answers), MARKS[0], *sorted(growing.keys() - in_answers), *MARKS[1:]]
    new = {token: number for number, token in enumerate(vocabulary[:-2]) if number != len(in_answers)}
    ids = np.array([new[token] for token in growing], np.int32)
    told = np.frombuffer(prompt_hashes, np.uint64)
    facts = {
        "skipped": skipped,
        "first_skipped": first,
        "commonest_answer": share_of_commonest(np.frombuffer(answer_hashes, np.uint64)),
    }
    info = {"vocabulary": vocabulary, "answer_tokens": len(in_answers)}
    prompts, answers = (column.tokens(ids) for column in columns)
    return Table.of(prompts, answers, splits_by(told), told, np.frombuffer(hashes, np.uint64), facts, info)


def splits_by(hashes: np.ndarray) -> np.ndarray:
    """The number of the split that each hash [N] belongs to, [N]: a tenth for testing, a tenth for validation."""
    parts = (hashes % HELD_OUT_PARTS).astype(np.int8)
    numbers = [SPLITS.index(split) for split in ("test", "validation", "train")]
    return np.select([parts == 0, parts == 1], numbers[:2], numbers[2]).astype(np.int8)


def share_of_commonest(hashes: np.ndarray) -> float:
    """How often the commonest of some hashes [N] is there, as a share."""
    return int(np.unique(hashes, return_counts=True)[1].max()) / len(hashes)


def _hash(tokens: Sequence[str]) -> Any:
    """A hash of a row of tokens, the same on every machine."""
    return hashlib.blake2b("\0".join(tokens).encode(errors="surrogatepass"), digest_size=8)
