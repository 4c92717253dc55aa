"""A task from a file of prompts and answers."""

from __future__ import annotations

import functools
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from lookahead.contracts import RESERVED_TOKENS, Split
from lookahead.errors import LookaheadError, shown
from lookahead.kinds import Count, Range, Seed
from lookahead.tasks.own_data.file_task import FileTask
from lookahead.tasks.own_data.reading import (
    content,
    each_example,
    padded,
    padded_prompts,
    read_table,
    refuse_useless,
)
from lookahead.tasks.own_data.records import Malformed
from lookahead.tasks.own_data.table import Collector, Table
from lookahead.tasks.own_data.tokens import Tokenizer


@dataclass(frozen=True)
class OwnData(FileTask, name="own_data"):
    """Prompts and answers from a file: JSON Lines, CSV or Parquet.

        lookahead.run(task=OwnData("questions.jsonl", "question", "answer"), steps=2000)

    A prompt is padded in front to the length of the longest, and ends with the mark `<answer>`. Where answers differ
    in length, each ends with `<end>`, which is taught as well; what comes after it is neither taught nor measured.
    Ids: tokens of answers 0 ... n - 1 (`labels` counts `<end>`, too), those of prompts alone, then the marks.

    **The split.** A hash of the prompt's text says where it belongs: a tenth of all prompts is for testing, a tenth
    for validation, the rest for training. So the three share no prompt, a prompt that stands in the file twice falls
    on one side, and stays there when the file grows. `facts` counts duplicates.

    Nobody knows which token of the answer is the decision, unless `decision_at` says so, and what a cheat would be led
    to: measures that ask for it are absent.

    Args:
        file: `.jsonl`, `.csv` or `.tsv`, each also as `.gz` or `.zst`; or `.parquet`. A relative path is one from the
            working directory. It is a part of a run's id as it is given, and so is the content.
        prompt_field, answer_field: their names. Text, or whole numbers. An answer may have several fields, such as
            `["plan", "result"]`: they come one after the other, the mark `<next field>` between them.
        tokenizer: "characters", "words" (split at blanks), "bytes", or a folder with a `tokenizer.json`.
        decision_at: the index in the answer of the token that needs the lookahead, if it is known.
        longest: most tokens of a prompt and its answer together.
        skip_bad: at most so many malformed lines are left out, and counted.
        checksum: of the file's content; taken from the file if not given. A file with another content is refused.

    Raises:
        LookaheadError: a malformed line (the message names file, line and fault), a missing field, one answer for
            all, too few prompts to hold something out, or a file that has changed.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {}

    file: str
    prompt_field: str = "prompt"
    answer_field: str | Sequence[str] = "answer"
    tokenizer: str = "characters"
    decision_at: Annotated[int, Range(least=0)] | None = None
    longest: Count = 1024
    skip_bad: Annotated[int, Range(least=0)] = 0
    checksum: str = ""
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.answer_field, str):
            object.__setattr__(self, "answer_field", tuple(self.answer_field))
        if not self.answer_fields or len(set(self.answer_fields)) < len(self.answer_fields):
            raise LookaheadError(f"answer_field is a field or several different ones, not {shown(self.answer_field)}")

    @classmethod
    def content(cls, file: str, tokenizer: str = "characters", **options: Any) -> str:
        """As `FileTask.content`; the tokenizer decides what is read."""
        return content(file, tokenizer)

    @property
    def answer_fields(self) -> tuple[str, ...]:
        """The names of the fields that the answer has, one or several."""
        return (self.answer_field,) if isinstance(self.answer_field, str) else tuple(self.answer_field)

    @functools.cached_property
    def table(self) -> Table:
        """The file's examples; read when they are first asked for."""
        read = read_table(
            self.file, self.prompt_field, self.answer_fields, self.tokenizer, self.longest, self.skip_bad, self.checksum
        )
        refuse_useless(read, self.file)
        shortest = int(read.answers.lengths.min())
        if self.decision_at is not None and self.decision_at >= shortest:
            raise LookaheadError(
                f"decision_at={self.decision_at}, but the shortest answer in {self.file} has {shortest} tokens: "
                f"indices from 0 to {shortest - 1}"
            )
        return read

    @property
    def vocabulary(self) -> list[str]:
        """The token of each id, the marks among them."""
        return self.table.info["vocabulary"]

    @property
    def end(self) -> int:
        """The id of `<end>`; those of the answers' own tokens come before it."""
        return self.table.info["answer_tokens"]

    @property
    def title(self) -> str:
        return Path(self.file).name

    @property
    def prompt_length(self) -> int:
        return self.table.prompts.longest + 1

    @property
    def answer_length(self) -> int:
        return self.table.answers.longest + (not self.one_length)

    @property
    def vocab_size(self) -> int:
        return len(self.vocabulary)

    @property
    def labels(self) -> int:
        return self.end + (not self.one_length)

    @property
    def decision_known(self) -> bool:
        return self.decision_at is not None

    @property
    def decision(self) -> int:
        if self.decision_at is None:
            raise LookaheadError(
                f"nobody has said which answer token of {self.title} is the decision: name it by decision_at, which "
                "counts from 0"
            )
        return self.decision_at

    @functools.cached_property
    def one_length(self) -> bool:
        lengths = self.table.answers.lengths
        return bool((lengths == lengths[0]).all())

    def taught(self, answers: Tensor) -> Tensor | None:
        """All up to the first `<end>`, and that."""
        if self.one_length:
            return None
        ends = (answers == self.end).int()
        return ends.cumsum(dim=1) - ends == 0

    @property
    def chance_accuracy(self) -> float:
        """The share of the examples that have the commonest answer."""
        return self.facts.commonest_answer

    def sample(self, split: Split, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Examples `indices` [B] of a split; see `table.Table.draw` for their order.

        Held-out examples do not depend on the seed, and begin again when all have come. Training examples come in
        another order in each epoch.
        """
        return self.at(self.table.draw(("own_data", self.checksum, self.seed), split, indices))

    def at(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Prompts [B, P] and answers [B, A] of some rows of the table, [B]."""
        return padded(self.table, rows)

    def correct(self, prompts: Tensor, answers: Tensor, given: Tensor) -> Tensor:
        """Whether the whole answer is right, to its end, [B]."""
        mask = self.taught(answers)
        same = answers == given
        return (same if mask is None else same | ~mask).all(dim=1)

    def decoys(self, prompts: Tensor, answers: Tensor) -> None:
        """None: what else could have been decided, and what would follow, is not in a file."""

    def text(self, tokens: Tensor) -> list[str]:
        """Rows of tokens [B, T] as text, without the marks that fill up."""
        cutter, words = Tokenizer(self.tokenizer), [*self.vocabulary, *RESERVED_TOKENS]
        unseen = {self.end, len(self.vocabulary) - 2, len(self.vocabulary) - 1}
        return [cutter.join(words[token] for token in row if token not in unseen) for row in tokens.tolist()]

    def read_examples(self, path: str | Path) -> tuple[Tensor, Tensor]:
        """Examples of another file, with the same fields and tokenizer, in the ids of this task.

        Returns:
            prompts [B, P], answers [B, A].

        Raises:
            LookaheadError: a malformed line, a token that this task's file does not hold, or a prompt or an answer that
                is longer than any in it.
        """
        ids = {token: number for number, token in enumerate(self.vocabulary[:-2]) if number != self.end}
        widths = self.table.prompts.longest, self.table.answers.longest
        columns = [Collector(), Collector()]

        def take(prompt: Sequence[str], answer: Sequence[str]) -> None:
            found = []
            for name, part, width in zip(("prompt", "answer"), (prompt, answer), widths, strict=True):
                if len(part) > width:
                    raise Malformed(f"{name} of {len(part)} tokens: none in {self.file} has more than {width}")
                if self.one_length and name == "answer" and len(part) != width:
                    raise Malformed(f"answer of {len(part)} tokens: all in {self.file} have {width}")
                unknown = next((token for token in part if token not in ids), None)
                if unknown is not None or (name == "answer" and any(ids[token] >= self.end for token in part)):
                    what = shown(unknown) if unknown is not None else "a token that stands in prompts alone"
                    raise Malformed(f"the {name} holds {what}, which no {name} in {self.file} does")
                found.append(array("i", [ids[token] for token in part]))
            for column, one in zip(columns, found, strict=True):
                column.add(one)

        each_example(path, (self.prompt_field, *self.answer_fields), self.tokenizer, self.longest, self.skip_bad, take)
        same = np.arange(len(self.vocabulary))
        prompts, answers = (column.tokens(same) for column in columns)
        if not len(prompts.lengths):
            raise LookaheadError(f"{path}: no examples in it")
        rows = torch.arange(len(prompts.lengths))
        return (
            padded_prompts(prompts, rows, self.prompt_length, len(self.vocabulary)),
            answers.rows(rows, self.answer_length, self.end, at_end=True),
        )
