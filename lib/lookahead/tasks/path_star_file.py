"""Path-star graphs from a file in the published format, to be trained on."""

from __future__ import annotations

import functools
import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from lookahead.contracts import SPLITS, Split, Task
from lookahead.errors import LookaheadError
from lookahead.tasks.own_data.file_task import FileTask
from lookahead.tasks.own_data.reading import refuse_changed, refuse_useless, remarks
from lookahead.tasks.own_data.records import checksum
from lookahead.tasks.own_data.table import Table, Tokens
from lookahead.tasks.path_star.task import PathStar
from lookahead.tasks.path_star.text import ROWS


@dataclass(frozen=True)
class PathStarFile(FileTask, PathStar, name="path_star_file"):
    """The graphs of a file in the published format; everything else is as in `PathStar`.

        lookahead.run(task=PathStarFile.of("graphs.txt", num_nodes=50), objective="teacherless")

    Graphs are split as `PathStar` splits those that it draws, by shape and start: a graph of the file that is for
    training never is one that `PathStar` tests on, whatever the order of its edges. Training graphs come once an epoch,
    each with its edges in the file's order. A graph that stands in the file again, in whatever order, is counted
    (`facts`), and counts once where it is held out.

    Args:
        degree, path_length, num_nodes, question_first: as of `PathStar`; those of the file, which `of` reads.
        file: its path; a relative one is from the working directory.
        checksum: of its content; taken from the file if not given. A file with another content is refused.

    Raises:
        LookaheadError: as `PathStar`, and what `PathStar.read` says of the file; graphs of path length 2, whose answer
            stands in the prompt, can be read but not trained on; too few graphs to hold something out.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {}

    file: str = ""
    checksum: str = ""

    def __post_init__(self) -> None:
        if not self.file:
            raise LookaheadError("path_star_file needs file, the path of a file in the published format")
        FileTask.__post_init__(self)
        PathStar.__post_init__(self)

    @classmethod
    def of(cls, path: str | Path, num_nodes: int | None = None) -> PathStarFile:
        """The task of a file, its sizes read off the file.

        Args:
            num_nodes: labels that the graphs were drawn from; one more than the largest if not given, with a warning,
                since it moves the ids of the marks.

        Raises:
            LookaheadError: as the class.
        """
        task, _, _ = PathStar.read(path, num_nodes)
        return cls(task.degree, task.path_length, task.num_nodes, question_first=task.question_first, file=str(path))

    @functools.cached_property
    def table(self) -> Table:
        """The graphs of the file: the labels of their edges, and of their paths."""
        return _table(self.file, self.degree, self.path_length, self.num_nodes, self.question_first, self.checksum)

    def sample(self, split: Split, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Examples `indices` [B] of a split: prompts [B, P], answers [B, A], int64; see `OwnData.sample`."""
        return self.at(self.table.draw(("path_star_file", self.checksum, self.seed), split, indices))

    def at(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Prompts [B, P] and answers [B, A] of some rows of the table, [B]."""
        edges = self.table.prompts.rows(rows, 2 * self.num_edges, filling=0, at_end=True).T  # [2 d (l - 1), B]
        answers = self.table.answers.rows(rows, self.answer_length, filling=0, at_end=True)
        prompts = self.prompt_tokens(edges[::2], edges[1::2], answers.T)
        return prompts.T.contiguous(), answers

    def identity(self, prompts: Tensor, answers: Tensor) -> list[bytes]:
        """The edges, whatever their order, and the path."""
        return identity(self, prompts, answers)

    @classmethod
    def sample_each(cls, tasks: Sequence[PathStar], split: Split, indices: Tensor) -> tuple[Tensor, Tensor]:
        """As `Task.sample_each`; nothing is drawn for all members at once."""
        return Task.sample_each(tasks, split, indices)


def identity(task: PathStar, prompts: Tensor, answers: Tensor) -> list[bytes]:
    """The edges of each graph, whatever their order, and the path."""
    begins, ends = task.edges(prompts)
    codes = (begins * task.num_nodes + ends).sort(dim=1).values
    return [row.tobytes() for row in torch.cat([codes, answers], dim=1).numpy()]


def digest(one: bytes) -> int:
    """A hash of 64 bits."""
    return int.from_bytes(hashlib.blake2b(one, digest_size=8).digest(), "little")


@functools.lru_cache(maxsize=4)
def _table(file: str, degree: int, path_length: int, num_nodes: int, question_first: bool, expected: str) -> Table:
    """The graphs of a file, split.

    Raises:
        LookaheadError: the file has another content than expected, or other graphs.
    """
    refuse_changed(file, checksum(file), expected)
    task = PathStar(degree, path_length, num_nodes, question_first=question_first)
    prompts, answers = task.read_examples(file)
    splits, hashes, edges = [], [], []
    for some, paths in zip(prompts.split(ROWS), answers.split(ROWS), strict=True):
        splits += [SPLITS.index(split) for split in task.split_of(some)]
        listed = torch.stack(task.edges(some), dim=2)  # [b, d (l - 1), 2]
        edges.append(listed.flatten(1).to(torch.int16).numpy())
        hashes += map(digest, identity(task, some, paths))
    graphs = np.array(hashes, np.uint64)
    starts = np.arange(len(graphs) + 1)
    read = Table.of(
        Tokens(np.concatenate(edges).ravel(), starts * 2 * task.num_edges),
        Tokens(answers.to(torch.int16).numpy().ravel(), starts * path_length),
        np.array(splits, np.int8), graphs, graphs, {}, {},
    )  # fmt: skip
    refuse_useless(read, file)
    for line in remarks(read.facts):
        warnings.warn(f"{file}: {line}", stacklevel=2)
    return read
