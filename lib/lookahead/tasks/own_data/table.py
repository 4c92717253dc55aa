"""The examples of a file as compact tokens, split by what their prompts hold, and drawn by counting."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
from array import array
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lookahead.contracts import SPLITS, Split
from lookahead.errors import LookaheadError
from lookahead.random import Key, integers, words

CHUNK = 2**20
"""Tokens that are held in wide integers while a file is read."""
PARTS = ("prompts", "prompt_starts", "answers", "answer_starts", *SPLITS)
"""The arrays of a table on disk."""
STRIDES = 128
"""Different steps with which a permutation of the training rows can be walked."""


class Tokens:
    """Rows of tokens of different length, one after the other."""

    def __init__(self, flat: np.ndarray, starts: np.ndarray) -> None:
        self.flat, self.starts = flat, starts

    @cached_property
    def lengths(self) -> np.ndarray:
        """[N]."""
        return np.diff(self.starts).astype(np.int32)

    @cached_property
    def longest(self) -> int:
        """Tokens in the longest row."""
        return int(self.lengths.max())

    @cached_property
    def _on(self) -> dict[torch.device, tuple[Tensor, Tensor]]:
        return {}

    def on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Tokens and starts on a device; copied there once, so that a step copies nothing."""
        if device not in self._on:
            self._on[device] = tuple(torch.from_numpy(part).to(device) for part in (self.flat, self.starts))  # type: ignore[assignment]
        return self._on[device]

    def rows(self, chosen: Tensor, width: int, filling: int, at_end: bool) -> Tensor:
        """Some rows [B] as [B, width]; what is missing is filled, at the front or at the end."""
        flat, starts = self.on(chosen.device)
        first, last = starts[chosen, None], starts[chosen + 1, None]
        columns = torch.arange(width, device=chosen.device)
        places = first + columns if at_end else last - width + columns
        there = (places < last) & (places >= first)
        found = flat[places.clamp(0, len(flat) - 1)].long()
        return torch.where(there, found, filling)


class Collector:
    """Takes tokens row by row, in few bytes each."""

    def __init__(self) -> None:
        self.wide, self.chunks, self.lengths = array("i"), list[np.ndarray](), array("i")

    def add(self, tokens: array[int]) -> None:
        self.wide.extend(tokens)
        self.lengths.append(len(tokens))
        if len(self.wide) >= CHUNK:
            self.flush()

    def flush(self) -> None:
        """Puts what is held in wide integers into the narrowest that hold it."""
        found = np.frombuffer(self.wide, np.int32)
        if len(found):
            self.chunks.append(found.astype(_narrow(int(found.max()) + 1)))
        self.wide = array("i")

    def tokens(self, new_ids: np.ndarray) -> Tokens:
        """The rows, every id exchanged for a new one; what was collected is given up."""
        self.flush()
        flat = np.empty(sum(map(len, self.chunks)), _narrow(int(new_ids.max()) + 1))
        place = 0
        for number, chunk in enumerate(self.chunks):
            flat[place : place + len(chunk)] = new_ids[chunk]
            place += len(chunk)
            self.chunks[number] = chunk[:0]
        starts = np.zeros(len(self.lengths) + 1, np.int64)
        np.cumsum(np.frombuffer(self.lengths, np.int32), out=starts[1:])
        return Tokens(flat, starts)


def _narrow(ids: int) -> type[np.generic]:
    """The narrowest integers, of those that torch can look up by, for so many ids."""
    return np.uint8 if ids <= 2**8 else np.int16 if ids <= 2**15 else np.int32


@dataclass(frozen=True)
class Facts:
    """What is told of a file."""

    examples: int
    skipped: int = 0
    """Lines left out, because they were malformed and that was allowed."""
    first_skipped: str = ""
    duplicates: int = 0
    """Examples that are, prompt and answer, as one before them. They stay in the training data; held-out
    ones count once."""
    ambiguous: int = 0
    """Prompts that have more than one answer."""
    prompts: dict[str, int] = field(default_factory=dict)
    """Different prompts in each split."""
    commonest_answer: float = 0.0
    """Share of the examples whose answer is the commonest one."""


class Table:
    """Prompts and answers of a file.

    Args:
        parts: the flat arrays of `save`.
        facts: what is told of the file.
        info: whatever else the task wants back.
    """

    def __init__(self, parts: Mapping[str, np.ndarray], facts: Facts, info: Mapping[str, Any]) -> None:
        self.parts, self.facts, self.info = parts, facts, info
        self.prompts = Tokens(parts["prompts"], parts["prompt_starts"])
        self.answers = Tokens(parts["answers"], parts["answer_starts"])
        self._rows: dict[tuple[str, torch.device], Tensor] = {}

    def __deepcopy__(self, memo: Any) -> Table:
        return self  # nothing in it changes

    @classmethod
    def of(
        cls, prompts: Tokens, answers: Tokens, splits: np.ndarray, prompt_hashes: np.ndarray, hashes: np.ndarray,
        facts: Mapping[str, Any], info: Mapping[str, Any],
    ) -> Table:  # fmt: skip
        """From tokens, the number of each row's split [N], and hashes [N] of prompts and of examples."""
        order = np.argsort(hashes, kind="stable")  # the order of the hashes is as good as a random one
        first = np.ones(len(order), bool)
        first[1:] = hashes[order][1:] != hashes[order][:-1]
        distinct = order[first]  # the first of every example
        rows = {
            split: (order[splits[order] == number] if split == "train" else distinct[splits[distinct] == number])
            for number, split in enumerate(SPLITS)
        }
        several = np.unique(prompt_hashes[distinct], return_counts=True)[1]
        parts = {
            "prompts": prompts.flat, "prompt_starts": prompts.starts,
            "answers": answers.flat, "answer_starts": answers.starts,
            **{split: found.astype(np.int32) for split, found in rows.items()},
        }  # fmt: skip
        told = Facts(
            examples=len(order),
            duplicates=int(len(order) - len(distinct)),
            ambiguous=int((several > 1).sum()),
            prompts={split: len(np.unique(prompt_hashes[found])) for split, found in rows.items()},
            **facts,
        )
        return cls(parts, told, info)

    def split_rows(self, split: Split, device: torch.device) -> Tensor:
        """The rows of a split, in an order that has nothing to do with the file's, [n]."""
        if split not in SPLITS:
            raise LookaheadError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
        key = (split, device)
        if key not in self._rows:
            self._rows[key] = torch.from_numpy(self.parts[split]).to(device)
        return self._rows[key]

    def draw(self, key: Key, split: Split, indices: Tensor) -> Tensor:
        """The rows of examples `indices` [B] of a split, [B].

        Held-out examples come in one order, the same for every key, and begin again at their end. Training examples
        come once an epoch, in an order that the key and the number of the epoch tell: two walks by a stride, with a
        fixed shuffle between them. Only integer operations, so that a GPU never waits.
        """
        rows = self.split_rows(split, indices.device)
        n = len(rows)
        if split != "train":
            return rows[indices % n].long()
        strides = self.strides(indices.device)
        draws = integers((*key, "epoch"), indices // n, [len(strides), n, len(strides), n])
        place = (strides[draws[0]] * (indices % n) + draws[1]) % n
        place = (strides[draws[2]] * self.shuffle(indices.device)[place].long() + draws[3]) % n
        return rows[place].long()

    def strides(self, device: torch.device) -> Tensor:
        """Strides that visit every training row once, [K]."""
        key = ("strides", device)
        if key not in self._rows:
            n = len(self.parts["train"])
            found, candidates = list[int](), iter(words("strides", n, count=64 * STRIDES))
            while len(found) < STRIDES:
                stride = next(candidates, 1) % n
                if math.gcd(stride, n) == 1:
                    found.append(stride)
            self._rows[key] = torch.tensor(found, device=device)
        return self._rows[key]

    def shuffle(self, device: torch.device) -> Tensor:
        """A fixed permutation of the training rows, [n]."""
        key = ("shuffle", device)
        if key not in self._rows:
            n = len(self.parts["train"])
            numbers = integers(("own data", "shuffle"), torch.arange(n), [2**31 - 1])[0]
            self._rows[key] = numbers.argsort(stable=True).int().to(device)
        return self._rows[key]

    # -- on disk ---------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Writes it to a folder, whole or not at all; what another process has written there meanwhile stays."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            for name, part in self.parts.items():
                np.save(temporary / f"{name}.npy", part)
            text = json.dumps({"facts": asdict(self.facts), "info": dict(self.info)})
            (temporary / "facts.json").write_text(text, encoding="utf-8")
            (temporary / "sha256").write_text(_checksum(temporary), encoding="utf-8")
            os.replace(temporary, folder)
        except OSError:
            shutil.rmtree(temporary, ignore_errors=True)
            if not folder.is_dir():
                raise

    @classmethod
    def load(cls, folder: Path) -> Table | None:
        """What `save` wrote, mapped into memory, for processes to share; None where it was damaged (it is removed)."""
        try:
            if (folder / "sha256").read_bytes() != _checksum(folder).encode():
                raise ValueError("damaged")
            told = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
            parts = {name: np.load(folder / f"{name}.npy", mmap_mode="c") for name in PARTS}
            return cls(parts, Facts(**told["facts"]), told["info"])
        except (OSError, ValueError, TypeError, KeyError):
            shutil.rmtree(folder, ignore_errors=True)
            return None


def _checksum(folder: Path) -> str:
    """Of all that `save` writes: a byte that is damaged would be another example."""
    digest = hashlib.sha256()
    for name in ("facts.json", *(f"{part}.npy" for part in PARTS)):
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def cache_folder() -> Path:
    """Where tokenized files are kept: `lookahead/data` in the user's cache. It can be removed at any time."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(cache) / "lookahead" / "data"
