"""Path-star graphs as text, in the tokens of a pretrained model's own tokenizer."""

from __future__ import annotations

import functools
import hashlib
import itertools
import re
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from lookahead.contracts import RESERVED_TOKENS, Split, Task
from lookahead.errors import LookaheadError, shown
from lookahead.hub import from_hub
from lookahead.kinds import Seed, settle
from lookahead.tasks.path_star import PathStar
from lookahead.tasks.path_star.text import MARKS
from lookahead.tasks.rendering import refuse_wrong

CHECKED = 64
"""Examples on which it is tried that a text is cut into the tokens that are expected."""
A_WORD = re.compile(" [a-z]+")


@dataclass(frozen=True)
class WrittenStar(Task, name="written_star"):
    """The graphs of `PathStar` written out, each label with a blank before it, and cut by a tokenizer.

        ` dog cat| sun dog| sun tree| tree sky/ sun cat= sun dog cat`  labels_are="words"
        ` 7 2| 4 7| 4 9| 9 1/ 4 2= 4 7 2`                              labels_are="numerals"

    Words are the first of the tokenizer's vocabulary that are one token each, a blank and small letters; so an example
    has as many tokens as in `PathStar`, and the decision is where it is there. Numerals are whatever the tokenizer
    makes of numbers: where a label may be several tokens, prompts are filled up in front and answers at the end, and
    the decision is the first token that tells the right arm from the wrong one. That text is cut as expected, whatever
    stands beside a label, is tried on examples. Graphs are held out exactly where `PathStar` holds them out.

        WrittenStar(2, 5, 50, tokenizer="openai-community/gpt2")

    Ids are the tokenizer's. Any model can be taught them; a pretrained one must have the same vocabulary.

    Args:
        degree, path_length, num_nodes: as of `PathStar`.
        tokenizer: a folder with a `tokenizer.json`, or a name on the hub.
        revision: which of the hub's.
        labels_are: "words" or "numerals".
        checksum: of the tokens of labels and marks; taken from the tokenizer if not given. Others are refused.

    Raises:
        LookaheadError: as of `PathStar` and `hub.from_hub`; too few words of one token, a mark of several, an example
            that is cut otherwise (the message shows it), or a tokenizer that has changed.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {}

    degree: int
    path_length: int
    num_nodes: int
    tokenizer: str
    revision: str = "main"
    labels_are: Literal["words", "numerals"] = "words"
    checksum: str = ""
    seed: Seed = 0

    def __post_init__(self) -> None:
        settle(self)
        if not self.checksum:
            object.__setattr__(self, "checksum", self.cut.checksum)
        if self.cut.checksum != self.checksum:
            raise LookaheadError(
                f"{self.tokenizer} is not what it was: the checksum of its tokens is {self.cut.checksum}, and "
                f"{self.checksum} is asked for. Leave the checksum out for a run with what it is now"
            )

    @classmethod
    def checked(cls, **options: Any) -> dict[str, Any]:
        """As `Named.checked`; the checksum of the tokens is added, so that it is a part of a run's id."""
        options = super().checked(**options)
        if {"degree", "path_length", "num_nodes", "tokenizer"} <= set(options) and not options.get("checksum"):
            options["checksum"] = cls(**options).checksum
        return options

    @functools.cached_property
    def star(self) -> PathStar:
        """The task in ids of its own."""
        return PathStar(self.degree, self.path_length, self.num_nodes, self.seed)

    @functools.cached_property
    def cut(self) -> Cut:
        """What the tokenizer makes of labels and marks."""
        return _cut(self.tokenizer, self.revision, self.labels_are, (self.degree, self.path_length, self.num_nodes))

    @property
    def title(self) -> str:
        return f"{self.star.title} in {self.labels_are}"

    @property
    def prompt_length(self) -> int:
        return self.cut.longest * (2 * self.star.num_edges + 2) + self.star.num_edges + 1

    @property
    def answer_length(self) -> int:
        return self.cut.longest * self.path_length

    @property
    def vocab_size(self) -> int:
        """All ids of the tokenizer."""
        return self.cut.vocab_size

    @property
    def last_prompt_token(self) -> int:
        return self.cut.pieces[-1][0]

    @property
    def decision(self) -> int:
        """The last token of the first label after the start, where labels are the longest."""
        return 2 * self.cut.longest - 1

    @property
    def one_length(self) -> bool:
        """Whether all labels are as many tokens."""
        return len({len(piece) for piece in self.cut.pieces[: self.num_nodes]}) == 1

    def taught(self, answers: Tensor) -> Tensor | None:
        """All but the filling, [B, A]; None where there is none."""
        return None if self.one_length else answers != self.cut.filling

    @property
    def chance_accuracy(self) -> float:
        """Accuracy of an arm chosen blindly, then followed without a fault: 1/degree."""
        return self.star.chance_accuracy

    @property
    def test_size(self) -> float:
        return self.star.test_size

    def sample(self, split: Split, indices: Tensor) -> tuple[Tensor, Tensor]:
        prompts, answers = self.star.sample(split, indices)
        return self.written(prompts, self.prompt_length, at_end=False), self.written_answers(answers)

    def written(self, tokens: Tensor, width: int, at_end: bool) -> Tensor:
        """Rows of ids of `PathStar` [B, T] in the tokenizer's, [B, width], filled up at the end or in front."""
        table = _table(self.cut.pieces, tokens.device)
        flat = table[tokens].flatten(1)
        kept = flat >= 0
        order = (~kept if at_end else kept).byte().argsort(dim=1, stable=True)
        flat = torch.where(kept, flat, self.cut.filling).gather(1, order)
        return flat[:, :width] if at_end else flat[:, flat.shape[1] - width :]

    def written_answers(self, answers: Tensor) -> Tensor:
        """Paths [B, l] in the tokenizer's ids, [B, A]."""
        return self.written(answers, self.answer_length, at_end=True)

    def unwritten(self, tokens: Tensor, length: int) -> Tensor:
        """Rows of the tokenizer's ids [B, T] as ids of `PathStar`, [B, length]; a row that is none as -1."""
        known = {tuple(piece): number for number, piece in enumerate(self.cut.pieces)}
        rows = []
        for row in tokens.tolist():
            rest, found = [token for token in row if token != self.cut.filling], []
            while rest:
                sizes = [size for size in range(1, self.cut.longest + 1) if tuple(rest[:size]) in known]
                size = max(sizes, default=1)  # a label begins with a blank, so that what goes on belongs to it
                found.append(known.get(tuple(rest[:size]), -1))
                rest = rest[size:]
            rows.append(found if len(found) == length and min(found) >= 0 else [-1] * length)
        return torch.tensor(rows, device=tokens.device).view(len(tokens), length)

    def correct(self, prompts: Tensor, answers: Tensor, given: Tensor) -> Tensor:
        """Whether the whole path is right, [B]."""
        mask = self.taught(answers)
        same = answers == given
        return (same if mask is None else same | ~mask).all(dim=1)

    def decoys(self, prompts: Tensor, answers: Tensor) -> Tensor:
        """The first wrong arm in the order of the prompt, start included, [B, A]."""
        asked, paths = self.as_star(prompts, answers)
        return self.written_answers(self.star.decoys(asked, paths))

    def as_star(self, prompts: Tensor, answers: Tensor) -> tuple[Tensor, Tensor]:
        """Prompts and answers in ids of `PathStar`."""
        return self.unwritten(prompts, self.star.prompt_length), self.unwritten(answers, self.path_length)

    def decisions(self, prompts: Tensor, answers: Tensor) -> Tensor:
        """The first token in which the right arm and the wrong one differ, [B]."""
        return (self.decoys(prompts, answers) != answers).int().argmax(dim=1)

    def check_examples(self, prompts: Tensor, answers: Tensor) -> None:
        super().check_examples(prompts, answers)
        asked, paths = self.as_star(prompts, answers)
        good = (asked >= 0).all(dim=1) & (paths >= 0).all(dim=1)
        again = [
            self.written(asked.clamp(min=0), self.prompt_length, at_end=False),
            self.written_answers(paths.clamp(0)),
        ]
        good &= (again[0] == prompts).all(dim=1) & (again[1] == answers).all(dim=1)
        refuse_wrong(self, good, prompts, answers)
        self.star.check_examples(asked, paths)

    def text(self, tokens: Tensor) -> list[str]:
        """Rows of tokens [B, T] as the tokenizer writes them, without what fills them up."""
        decode = _tokenizer(self.tokenizer, self.revision).decode
        lines = []
        for row in tokens.tolist():
            if min(row) < 0 or max(row) >= self.vocab_size + len(RESERVED_TOKENS):
                raise LookaheadError(
                    f"ids from {min(row)} to {max(row)}: those of this task are 0 to {self.vocab_size}"
                )
            parts = itertools.groupby(
                (token for token in row if token != self.cut.filling), lambda t: t >= self.vocab_size
            )
            signs = [
                "".join(RESERVED_TOKENS[t - self.vocab_size] for t in p) if r else decode(list(p)) for r, p in parts
            ]
            lines.append("".join(signs))
        return lines


@dataclass(frozen=True)
class Cut:
    """What a tokenizer makes of the labels and marks of a path-star task."""

    pieces: tuple[tuple[int, ...], ...]
    """The tokens of every id of `PathStar`: labels, then marks."""
    filling: int
    """The id that fills up: the tokenizer's end of a text."""
    vocab_size: int

    @property
    def longest(self) -> int:
        """Most tokens of a label."""
        return max(map(len, self.pieces))

    @property
    def checksum(self) -> str:
        """Of all that is here."""
        return hashlib.sha256(repr((self.pieces, self.filling, self.vocab_size)).encode()).hexdigest()[:16]


@functools.lru_cache(maxsize=4)
def _tokenizer(source: str, revision: str) -> Any:
    return from_hub("tokenizer", source, revision)


@functools.cache  # as in `random`: a CUDA graph may read it for as long as the process lives
def _table(pieces: tuple[tuple[int, ...], ...], device: torch.device) -> Tensor:
    """The tokens of every id, [ids, longest], -1 behind."""
    longest = max(map(len, pieces))
    return torch.tensor([[*piece, *[-1] * (longest - len(piece))] for piece in pieces], device=device)


@functools.lru_cache(maxsize=16)
def _cut(source: str, revision: str, labels: str, size: tuple[int, int, int]) -> Cut:
    """What the tokenizer makes of labels and marks, tried on examples.

    Raises:
        LookaheadError: as of `WrittenStar`.
    """
    star, cutter = PathStar(*size), _tokenizer(source, revision)

    def encode(text: str) -> list[int]:
        return cutter.encode(text, add_special_tokens=False)

    def split(text: str) -> str:
        return f"{shown(text)} is cut into {shown([cutter.decode([token]) for token in encode(text)])}"

    words = _words(cutter, encode, star.num_nodes, source) if labels == "words" else [
        f" {number}" for number in range(star.num_nodes)
    ]  # fmt: skip
    signs = [*words, *MARKS]
    pieces = tuple(tuple(encode(sign)) for sign in signs)
    for mark, piece in zip(MARKS, pieces[-len(MARKS) :], strict=True):
        if len(piece) != 1:
            raise LookaheadError(f"a mark must be one token of the tokenizer {source}: {split(mark)}")
    if cutter.eos_token_id is None:
        raise LookaheadError(f"the tokenizer {source} has no token that ends a text (eos_token)")
    if cutter.eos_token_id in itertools.chain(*pieces):
        raise LookaheadError(f"the tokenizer {source} ends a text by a token that stands in numbers or marks")
    rows = torch.cat(star.sample("train", torch.arange(CHECKED)), dim=1).tolist()
    for row in [list(range(star.num_nodes)), *rows]:
        line = "".join(signs[number] for number in row)
        if encode(line) != list(itertools.chain(*(pieces[number] for number in row))):
            raise LookaheadError(
                f"the tokenizer {source} cuts labels and marks otherwise where they stand together: {split(line)}"
            )
    return Cut(pieces, cutter.eos_token_id, len(cutter))


def _words(cutter: Any, encode: Any, count: int, source: str) -> list[str]:
    """The first words that are one token each.

    Raises:
        LookaheadError: there are fewer; the message shows a word that is more than one.
    """
    found, instead = [], ""
    for token in range(len(cutter)):
        word = cutter.decode([token])
        if A_WORD.fullmatch(word):
            if encode(word) == [token]:
                found.append(word)
            else:
                instead = f"; {shown(word)} is cut into {shown([cutter.decode([one]) for one in encode(word)])}"
        if len(found) == count:
            return found
    raise LookaheadError(
        f"the tokenizer {source} has {len(found)} words of one token, such as {shown(found[:3])}, and num_nodes is "
        f"{count}{instead}: take fewer nodes, or labels_are='numerals'"
    )
