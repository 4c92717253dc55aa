"""Drills: look-ups, copying and sorting in the tokens of path-star, to be learnt before it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

import torch
from torch import Tensor

from lookahead.contracts import Split
from lookahead.errors import LookaheadError
from lookahead.kinds import Seed, settle
from lookahead.random import distinct, integers
from lookahead.tasks.like_star import LikeStar
from lookahead.tasks.path_star import PathStar
from lookahead.tasks.path_star.text import MARKS
from lookahead.tasks.rendering import refuse_wrong, rendered
from lookahead.tasks.splits import classes, hashed

VALUES, KEYS, COPY, SORT = range(4)
KINDS = ("values", "keys", "copies", "sorted")
"""What is asked for, by the number that a prompt says."""


@dataclass(frozen=True)
class Drills(LikeStar, name="drills"):
    """What a network may have been taught before it meets path-star: a mixture of four plain tasks.

    Prompts and answers are as long as those of G(degree, path_length) and have the same tokens, so that a network goes
    on with that graph as it is. But where a graph has edges there are pairs of a key and a value, which form no paths,
    and where it has start and goal there are the kind of the task and a label:

        7,2|4,0|2,9|9,1/0,4=4,0,4        0: the key 4 and its value, again and again
        7,2|4,0|2,9|9,1/1,9=9,2,9        1: the value 9 and its key, likewise
        7,2|4,0|2,9|9,1/2,4=7,4,2        2: the first keys, copied
        7,2|4,0|2,9|9,1/3,4=2,4,7        3: the smallest keys, in rising order

    Each kind is a quarter of the examples. Nothing has to be planned: no token of an answer needs those to come.

    Keys differ from one another, and so do values; a label may be both, since pairs are drawn with no regard to that.
    Prompts are held out by their pairs, whatever is asked of them: the class of pairs is (first key + hash of the
    others as offsets from it) mod N.

    Args:
        degree, path_length, num_nodes: as of `PathStar`.

    Raises:
        LookaheadError: as of `PathStar`.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "drills for G(2,4)": {"degree": 2, "path_length": 4, "num_nodes": 10}
    }

    degree: int
    path_length: int
    num_nodes: int
    seed: Seed = 0

    def __post_init__(self) -> None:
        settle(self)
        PathStar(self.degree, self.path_length, self.num_nodes)

    @property
    def star(self) -> PathStar:
        """The task of the same tokens and lengths."""
        return PathStar(self.degree, self.path_length, self.num_nodes, self.seed)

    @property
    def title(self) -> str:
        return f"drills for {self.star.title}"

    @property
    def pairs(self) -> int:
        """Pairs in a prompt, as many as the graph has edges."""
        return self.degree * (self.path_length - 1)

    @property
    def decision_known(self) -> bool:
        """No: there is none."""
        return False

    @property
    def decision(self) -> NoReturn:
        raise LookaheadError(f"{self.title} have no decision: no token of an answer needs those to come")

    @property
    def chance_accuracy(self) -> float:
        """Of the commonest answer, the smallest labels in rising order: where all of them are keys that are to be
        sorted, and in a few copies."""
        n, length = self.num_nodes, self.path_length
        sorts = math.comb(n - length, self.pairs - length) / math.comb(n, self.pairs)
        return (sorts + 1 / math.perm(n, length)) / len(KINDS)

    @property
    def test_size(self) -> float:
        """Different prompts in the test split."""
        n, pairs = self.num_nodes, self.pairs
        drawn = math.perm(n - 1, pairs - 1) * math.perm(n, pairs) * len(KINDS) * pairs
        return float(classes("test", n)[1] * drawn)

    def draws(self, split: Split, indices: Tensor) -> Tensor:
        """What examples are made of, [K, B]: class, Lehmer codes of the other keys and of the values, kind, place."""
        n, pairs = self.num_nodes, self.pairs
        key = ("drills", self.degree, self.path_length, n, self.seed, split)
        free = [*(n - k for k in range(1, pairs)), *(n - k for k in range(pairs))]
        return integers(key, indices, [classes(split, n)[1], *free, len(KINDS), pairs])

    def sample(self, split: Split, indices: Tensor) -> tuple[Tensor, Tensor]:
        n, pairs = self.num_nodes, self.pairs
        draws = self.draws(split, indices)
        others = distinct(draws[1:pairs].short()).long() + 1
        values = distinct(draws[pairs : 2 * pairs].short()).long()
        first = (classes(split, n)[0] + draws[0] - hashed([*others, *values], "drills")) % n
        keys = (first + torch.cat([torch.zeros_like(others[:1]), others])) % n
        values = (first + values) % n
        kind, place = draws[-2], draws[-1]
        key, value = (part.gather(0, place[None])[0] for part in (keys, values))
        prompts = self.star.prompt_tokens(keys, values, torch.stack([kind, torch.where(kind == KEYS, value, key)]))
        return prompts.T.contiguous(), self.asked(keys.T, kind, key, value)

    def asked(self, keys: Tensor, kind: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """The answers [B, A] to a kind [B] of task, asked of a key and its value [B] among all keys [B, E]."""
        pair, length = torch.stack([key, value], dim=1), self.path_length
        answers = [pair.repeat(1, length), pair.flip(1).repeat(1, length), keys, keys.sort(dim=1).values]
        every = torch.stack([one[:, :length] for one in answers])  # [kinds, B, A]
        return every.gather(0, kind[None, :, None].expand(1, -1, length))[0]

    def kind_of(self, prompts: Tensor) -> Tensor:
        """The number of the kind of each example, [B]."""
        return self.star.question(prompts)[:, 0]

    def check_examples(self, prompts: Tensor, answers: Tensor) -> None:
        super().check_examples(prompts, answers)
        keys, values = self.star.edges(prompts)
        kind, named = self.star.question(prompts).unbind(dim=1)
        bounded = kind.clamp(max=SORT)
        among = torch.where((bounded == KEYS)[:, None], values, keys) == named[:, None]
        key, value = (part.gather(1, among.byte().argmax(dim=1, keepdim=True))[:, 0] for part in (keys, values))
        expected = self.asked(keys, bounded, key, value)
        tokens = self.star.prompt_tokens(keys.T, values.T, torch.stack([kind, named])).T
        good = (tokens == prompts).all(dim=1) & (answers == expected).all(dim=1) & among.any(dim=1) & (kind == bounded)
        for part in (keys, values):
            ordered = part.sort(dim=1).values
            good &= (ordered[:, 1:] != ordered[:, :-1]).all(dim=1) & (ordered[:, -1] < self.num_nodes)
        refuse_wrong(self, good, prompts, answers)

    def correct(self, prompts: Tensor, answers: Tensor, given: Tensor) -> Tensor:
        """Whether the whole answer is right, [B]."""
        return (answers == given).all(dim=1)

    def decoys(self, prompts: Tensor, answers: Tensor) -> None:
        """None: there is nothing to decide."""

    def text(self, tokens: Tensor) -> list[str]:
        """Rows of tokens [B, T] as they are shown above."""
        return rendered(tokens, [*map(str, range(self.num_nodes)), *MARKS], self.labels)


def sample_one(task: Drills, split: Split, index: int) -> tuple[list[int], list[int]]:
    """Prompt and answer of one example, as `Drills.sample` gives them."""
    rank, *codes, kind, place = task.draws(split, torch.tensor([index]))[:, 0].tolist()

    def picked(labels: list[int], codes: Sequence[int]) -> list[int]:
        return [labels.pop(code) for code in codes]

    n, pairs = task.num_nodes, task.pairs
    others = picked(list(range(1, n)), codes[: pairs - 1])
    offsets = picked(list(range(n)), codes[pairs - 1 :])
    salted = int(hashed([torch.tensor([one]) for one in (*others, *offsets)], "drills"))
    first = (classes(split, n)[0] + rank - salted) % n
    keys, values = ([(first + offset) % n for offset in some] for some in ([0, *others], offsets))
    prompt = [token for pair in zip(keys, values, strict=True) for token in (*pair, n)]
    prompt[-1] = n + MARKS.index("/")
    named = values[place] if kind == KEYS else keys[place]
    prompt += [kind, named, task.last_prompt_token]
    return prompt, solve(task, prompt)


def solve(task: Drills, prompt: Sequence[int]) -> list[int]:
    """Do what the kind says."""
    keys, values = list(prompt[: 3 * task.pairs : 3]), list(prompt[1 : 3 * task.pairs : 3])
    kind, named = prompt[-3:-1]
    if kind == VALUES:
        found = [named, values[keys.index(named)]] * task.path_length
    elif kind == KEYS:
        found = [named, keys[values.index(named)]] * task.path_length
    else:
        found = keys if kind == COPY else sorted(keys)
    return found[: task.path_length]


def cheat(task: Drills, prompt: Sequence[int]) -> list[int]:
    """The commonest answer, whatever is asked."""
    return list(range(task.path_length))
