"""What all tasks share whose examples stand in a file."""

from __future__ import annotations

import os
from typing import Any

from lookahead.contracts import Task
from lookahead.kinds import settle
from lookahead.tasks.own_data.records import checksum
from lookahead.tasks.own_data.table import Facts, Table


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
