"""What all tasks share whose examples stand in a file."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor

from lookahead.contracts import Task
from lookahead.kinds import settle
from lookahead.tasks.own_data.records import checksum
from lookahead.tasks.own_data.table import Facts, Table

ROWS = 4096
"""Examples compared at a time."""


class FileTask(Task):
    """A task whose examples stand in a file; what the file holds is a part of a run's id, by its checksum.

    A subclass is a frozen dataclass with the fields `file` and `checksum`, and says what its `table` is.
    """

    file: str
    checksum: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "file", os.fspath(self.file) if isinstance(self.file, os.PathLike) else self.file)
        settle(self)
        if self.file and not self.checksum:
            object.__setattr__(self, "checksum", self.content(**vars(self)))

    @classmethod
    def checked(cls, **options: Any) -> dict[str, Any]:
        """As `Named.checked`; the content's checksum is added, so that it is a part of a run's id."""
        if isinstance(options.get("file"), os.PathLike):
            options["file"] = os.fspath(options["file"])
        options = super().checked(**options)
        if options.get("file") and not options.get("checksum"):
            options["checksum"] = cls.content(**options)
        return options

    @classmethod
    def content(cls, file: str, **options: Any) -> str:
        """What tells the content of a file, read with some options, from another.

        Raises:
            LookaheadError: the file cannot be read.
        """
        return checksum(file)

    @property
    def table(self) -> Table:
        """The examples; a file is read when they are first asked for."""
        raise NotImplementedError

    @property
    def facts(self) -> Facts:
        """What is told of the file: how many examples, how many that come again, how many in each split."""
        return self.table.facts

    @property
    def test_size(self) -> float:
        """Different prompts in the test split; of what a task holds for the same, one counts."""
        return self.facts.prompts["test"]

    def identity(self, prompts: Tensor, answers: Tensor) -> list[bytes]:
        """What is equal where examples count as the same one, for each of B; here the prompt."""
        return [row.tobytes() for row in prompts.numpy()]

    def trained_on(self, prompts: Tensor, answers: Tensor) -> Tensor:
        """Which of some examples stand in the part of the file that is for training, [B], bool.

        Args:
            prompts: [B, P].
            answers: [B, A].
        """
        asked = self.identity(prompts, answers)
        different, found = set(asked), set[bytes]()
        for rows in self.table.split_rows("train", torch.device("cpu")).split(ROWS):
            found |= different.intersection(self.identity(*self.at(rows.long())))
        return torch.tensor([one in found for one in asked])

    def at(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Prompts [B, P] and answers [B, A] of some rows of the table, [B]."""
        raise NotImplementedError
