"""Path-star graphs of several lengths from a file in the published format, to be trained on."""

from __future__ import annotations

import functools
import warnings
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from lookahead.contracts import SPLITS, Split
from lookahead.errors import LookaheadError
from lookahead.tasks.mixed_lengths import MixedLengths
from lookahead.tasks.own_data.file_task import FileTask
from lookahead.tasks.own_data.reading import refuse_changed, refuse_useless, remarks
from lookahead.tasks.own_data.records import checksum
from lookahead.tasks.own_data.table import Table, Tokens
from lookahead.tasks.path_star import text
from lookahead.tasks.path_star.text import ROWS
from lookahead.tasks.path_star_file import digest, identity


@dataclass(frozen=True)
class MixedLengthsFile(FileTask, MixedLengths, name="mixed_lengths_file"):
    """The graphs of a file whose arms differ in length from line to line; everything else is as in `MixedLengths`.

        lookahead.run(task=MixedLengthsFile.of("graphs.txt", num_nodes=50), objective="teacherless")

    Splits and duplicates are as in `PathStarFile`; the lengths come as often as they stand in the file.

    Args:
        degree, shortest, longest, num_nodes: as of `MixedLengths`; those of the file, which `of` reads.
        file: its path; a relative one is from the working directory.
        checksum: of its content; taken from the file if not given. A file with another content is refused.

    Raises:
        LookaheadError: as `MixedLengths`; a malformed line (the message names file, line and fault); graphs of several
            degrees, or whose question comes first; too few graphs to hold something out.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {}

    file: str = ""
    checksum: str = ""

    def __post_init__(self) -> None:
        if not self.file:
            raise LookaheadError("mixed_lengths_file needs file, the path of a file in the published format")
        FileTask.__post_init__(self)
        MixedLengths.__post_init__(self)

    @classmethod
    def of(cls, path: str | Path, num_nodes: int | None = None) -> MixedLengthsFile:
        """The task of a file, its sizes read off the file.

        Args:
            num_nodes: labels that the graphs were drawn from; one more than the largest if not given, with a warning,
                since it moves the ids of the marks.

        Raises:
            LookaheadError: as the class.
        """
        degree, by_length, _ = _read(path, num_nodes)
        if num_nodes is None:
            num_nodes = 1 + max(max(labels) for labels in by_length.values())
            warnings.warn(
                f"{path}: num_nodes is not given and taken to be {num_nodes}, one more than the largest label. A model "
                "made for another one would take labels for marks: give the num_nodes that the graphs were drawn from",
                stacklevel=2,
            )
        return cls(degree, min(by_length), max(by_length), num_nodes, file=str(path))

    @functools.cached_property
    def table(self) -> Table:
        """The graphs of the file, as tokens of this task without the filling.

        Raises:
            LookaheadError: the file has another content than expected, or other graphs.
        """
        refuse_changed(self.file, checksum(self.file), self.checksum)
        prompts, answers = self.read_examples(self.file)
        splits = np.zeros(len(answers), np.int8)
        hashes = np.zeros(len(answers), np.uint64)
        for star, rows in self.by_length(answers):
            for some in rows.nonzero()[:, 0].split(ROWS):
                asked = self.as_star(star, prompts[some])
                splits[some.numpy()] = [SPLITS.index(split) for split in star.split_of(asked)]
                hashes[some.numpy()] = [digest(one) for one in identity(star, asked, answers[some])]
        read = Table.of(self._flat(prompts), self._flat(answers), splits, hashes, hashes, {}, {})
        refuse_useless(read, self.file)
        for line in remarks(read.facts):
            warnings.warn(f"{self.file}: {line}", stacklevel=2)
        return read

    def _flat(self, rows: Tensor) -> Tokens:
        """Rows of tokens without what fills them up."""
        starts = np.concatenate([[0], (rows != self.filling).sum(dim=1).cumsum(dim=0).numpy()])
        return Tokens(rows[rows != self.filling].to(torch.int16).numpy(), starts)

    def sample(self, split: Split, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Examples `indices` [B] of a split: prompts [B, P], answers [B, A], int64; see `OwnData.sample`."""
        return self.at(self.table.draw(("mixed_lengths_file", self.checksum, self.seed), split, indices))

    def at(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Prompts [B, P] and answers [B, A] of some rows of the table, [B]."""
        return (
            self.table.prompts.rows(rows, self.prompt_length, self.filling, at_end=False),
            self.table.answers.rows(rows, self.answer_length, self.filling, at_end=True),
        )

    def identity(self, prompts: Tensor, answers: Tensor) -> list[bytes]:
        """The edges, whatever their order, and the path."""
        found = [b""] * len(answers)
        for star, rows in self.by_length(answers):
            chosen = rows.nonzero()[:, 0]
            same = identity(star, self.as_star(star, prompts[chosen]), answers[chosen])
            for row, one in zip(chosen.tolist(), same, strict=True):
                found[row] = one
        return found

    def read_examples(self, path: str | Path) -> tuple[Tensor, Tensor]:
        """The graphs of a file in the published format, of this task's degree and lengths: prompts, answers.

        Raises:
            LookaheadError: a malformed line, or graphs of another size.
        """
        degree, by_length, lengths = _read(path, self.num_nodes)
        odd = sorted(length for length in by_length if not self.shortest <= length <= self.longest)
        if degree != self.degree or odd:
            found = f"G({degree},{min(by_length)}-{max(by_length)})"
            raise LookaheadError(f"{path} holds {found}; asked for is {self.title}")
        prompts = torch.full((len(lengths), self.prompt_length), self.filling)
        answers = torch.full((len(lengths), self.answer_length), self.filling)
        order = torch.from_numpy(np.frombuffer(lengths, np.uint16).astype(np.int64))
        for star in self.stars:
            if star.path_length in by_length:
                rows = order == star.path_length
                asked, paths = text._tokens(star, np.frombuffer(by_length[star.path_length], np.uint16))
                asked = asked + (asked >= self.num_nodes)  # the marks stand behind the filling here
                prompts[rows, -star.prompt_length :], answers[rows, : star.path_length] = asked, paths
        return prompts, answers


def _read(path: str | Path, num_nodes: int | None) -> tuple[int, dict[int, array[int]], array[int]]:
    """What a file holds: its degree; by path length the labels of every graph, edges and path; the length of each.

    Blanks at the ends of lines, blank lines at the end of the file and a byte-order mark are passed over.

    Raises:
        LookaheadError: a malformed line; the message names file, line and fault.
    """
    by_length: dict[int, array[int]] = {}
    lengths, degree, blank = array("H"), 0, 0
    try:
        with Path(path).open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    blank = blank or number
                    continue
                try:
                    if blank:
                        number = blank
                        raise ValueError("an empty line")
                    graph = text._parse_line(line.strip())
                    if graph.question_first:
                        raise ValueError(
                            "the question stands before the edges; in files of several lengths behind them"
                        )
                    here, length = graph.size
                    degree = degree or here
                    if here != degree:
                        raise ValueError(f"a {graph.title}, but the first line's has {degree} arms")
                    largest = max(max(edge) for edge in graph.edges)
                    if num_nodes is not None and largest >= num_nodes:
                        raise ValueError(
                            f"label {largest}, but num_nodes is {num_nodes}: labels run to {num_nodes - 1}"
                        )
                except ValueError as fault:
                    raise LookaheadError(f"{path}, line {number}: {fault}") from None
                labels = by_length.setdefault(length, array("H"))
                for edge in graph.edges:
                    labels.extend(edge)
                labels.extend(graph.path)
                lengths.append(length)
    except (OSError, UnicodeDecodeError) as error:
        raise LookaheadError(f"{path} cannot be read as text ({error})") from error
    if not lengths:
        raise LookaheadError(f"{path}: no examples in it")
    return degree, by_length, lengths
