"""Sibling discovery: two children of one parent are to be named before the parent is."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from lookahead.contracts import Split, Task
from lookahead.errors import LookaheadError
from lookahead.kinds import Range, Seed, settle
from lookahead.random import integers
from lookahead.tasks.rendering import refuse_wrong, rendered
from lookahead.tasks.splits import classes, hashed

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Siblings(Task, name="siblings"):
    """Two siblings, then their parent, of families learnt by heart (Nagarajan et al., 2025, "sibling discovery").

        qhzkwa=c17,c12,p1        c17 and c12 are children of p1

    The prompt is a random string that says nothing; it is there for a network to vary its answers with ("hash
    conditioning"), which it does where training examples come again (`train_examples`). Any two children of one parent
    are right. The parent is what a plan would begin with, and it comes last: with a teacher it is a look-up from
    either child, which teaches nothing about the second child. That one is the decision.

    Prompts are held out by their string, and pairs of siblings by their two places in the family, whichever comes
    first. `creativity` is the paper's measure, the share of answers that are right, new and no repetition.

    Several answers are right: measures that compare tokens stay as low as one right answer among several makes them.

    Ids: parents 0 ... p - 1, children by family, then letters and `=`.

    Args:
        parents: how many families.
        children: of each; an odd number from 11, so that a pair has one middle.
        letters: of the random string.

    Raises:
        LookaheadError: another number of children.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {"siblings(10,21)": {"parents": 10, "children": 21}}

    parents: Annotated[int, Range(least=2)]
    children: Annotated[int, Range(least=11)]
    letters: Annotated[int, Range(least=4)] = 6
    seed: Seed = 0

    def __post_init__(self) -> None:
        settle(self)
        if self.children % 2 == 0:
            raise LookaheadError(f"children must be an odd number, not {self.children}: take {self.children + 1}")

    @property
    def title(self) -> str:
        return f"siblings({self.parents},{self.children})"

    @property
    def prompt_length(self) -> int:
        return self.letters + 1

    @property
    def answer_length(self) -> int:
        return 3

    @property
    def labels(self) -> int:
        return self.parents * (1 + self.children)

    @property
    def vocab_size(self) -> int:
        return self.labels + len(LETTERS) + 1

    @property
    def last_prompt_token(self) -> int:
        return self.vocab_size - 1

    @property
    def decision(self) -> int:
        """The second sibling."""
        return 1

    @property
    def chance_accuracy(self) -> float:
        """Share of pairs of two different children that are siblings."""
        return (self.children - 1) / (self.parents * self.children - 1)

    @property
    def test_size(self) -> float:
        """Different random strings in the test split."""
        return classes("test", len(LETTERS))[1] * len(LETTERS) ** (self.letters - 1)

    def draws(self, split: Split, indices: Tensor) -> Tensor:
        """What examples are made of, [K, B]: class and last letters of the string; family, class and rank of a pair."""
        key = ("siblings", self.parents, self.children, self.letters, self.seed, split)
        string = [classes(split, len(LETTERS))[1], *[len(LETTERS)] * (self.letters - 1)]
        return integers(key, indices, [*string, self.parents, classes(split, self.children)[1], self.children - 1])

    def sample(self, split: Split, indices: Tensor) -> tuple[Tensor, Tensor]:
        rank, *rest, family, pair, place = self.draws(split, indices).unbind()
        first_letter = (classes(split, len(LETTERS))[0] + rank - hashed(rest, "siblings string")) % len(LETTERS)
        mark = torch.full_like(family, self.last_prompt_token)
        prompts = torch.stack([*(letter + self.labels for letter in (first_letter, *rest)), mark], dim=1)
        total = classes(split, self.children)[0] + pair
        middle = total * (self.children + 1) // 2 % self.children  # the place that would be its own sibling
        one = (middle + 1 + place) % self.children
        other = (total - one) % self.children
        base = self.parents + family * self.children
        return prompts, torch.stack([base + one, base + other, family], dim=1)

    def parent_of(self, children: Tensor) -> Tensor:
        """The parent of each child, [B]; -1 for what is no child."""
        is_child = (children >= self.parents) & (children < self.labels)
        return torch.where(is_child, (children - self.parents) // self.children, -1)

    def correct(self, prompts: Tensor, answers: Tensor, given: Tensor) -> Tensor:
        """Whether the first two are different children of the third, [B], whichever."""
        one, other, parent = given.unbind(dim=1)
        return (one != other) & (self.parent_of(one) == parent) & (self.parent_of(other) == parent)

    def new(self, given: Tensor) -> Tensor:
        """Which answers [B, 3] are siblings that no training example has together, [B]."""
        places = (given[:, :2] - self.parents) % self.children
        held = places.sum(dim=1) % self.children < classes("train", self.children)[0]
        return self.correct(given, given, given) & held

    def creativity(self, given: Tensor) -> float:
        """The share of answers [B, 3] that are right, new, and no repetition of one before them, in whichever order."""
        new = given[self.new(given)]
        pairs = torch.cat([new[:, :2].sort(dim=1).values, new[:, 2:]], dim=1)
        return len(pairs.unique(dim=0)) / len(given)

    def decoys(self, prompts: Tensor, answers: Tensor) -> Tensor:
        """The same first child, and a child of another family with its parent, [B, A]."""
        one, other, parent = answers.unbind(dim=1)
        next_parent = (parent + 1) % self.parents
        stranger = self.parents + next_parent * self.children + (other - self.parents) % self.children
        return torch.stack([one, stranger, next_parent], dim=1)

    def check_examples(self, prompts: Tensor, answers: Tensor) -> None:
        super().check_examples(prompts, answers)
        strings = (prompts[:, :-1] >= self.labels).all(dim=1) & (prompts[:, :-1] < self.last_prompt_token).all(dim=1)
        good = strings & (prompts[:, -1] == self.last_prompt_token) & self.correct(prompts, answers, answers)
        refuse_wrong(self, good, prompts, answers)

    def text(self, tokens: Tensor) -> list[str]:
        """Rows of tokens [B, T] as they are shown above."""
        words = [f"p{parent}" for parent in range(self.parents)]
        words += [f"c{child}" for child in range(self.parents * self.children)]
        return rendered(tokens, [*words, *LETTERS, "="], self.labels)


def sample_one(task: Siblings, split: Split, index: int) -> tuple[list[int], list[int]]:
    """Prompt and answer of one example, as `Siblings.sample` gives them: a string, a family, two of its children."""
    rank, *rest, family, pair, place = task.draws(split, torch.tensor([index]))[:, 0].tolist()
    salted = int(hashed([torch.tensor([letter]) for letter in rest], "siblings string"))
    letters = [(classes(split, len(LETTERS))[0] + rank - salted) % len(LETTERS), *rest]
    total = classes(split, task.children)[0] + pair
    middle = next(place for place in range(task.children) if 2 * place % task.children == total)
    one = (middle + 1 + place) % task.children
    other = next(there for there in range(task.children) if (one + there) % task.children == total)
    base = task.parents + family * task.children
    return [*(task.labels + letter for letter in letters), task.last_prompt_token], [base + one, base + other, family]


def solve(task: Siblings, prompt: Sequence[int]) -> list[int]:
    """Choose a parent first, then two of its children."""
    pick = random.Random(str(prompt))
    parent = pick.randrange(task.parents)
    children = pick.sample(range(task.children), 2)
    return [*(task.parents + parent * task.children + child for child in children), parent]


def cheat(task: Siblings, prompt: Sequence[int]) -> list[int]:
    """Any child, any other child, and the parent of that."""
    pick = random.Random(str(prompt))
    one, other = pick.sample(range(task.parents, task.labels), 2)
    return [one, other, (other - task.parents) // task.children]
