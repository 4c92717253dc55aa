"""What sums and products have in common: two numbers in decimal digits, and a result whose digits need carries."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor

from lookahead.contracts import Split, Task
from lookahead.errors import LookaheadError
from lookahead.random import integers
from lookahead.tasks.rendering import refuse_wrong, rendered
from lookahead.tasks.splits import classes, hashed, shuffled

LAST_DIGITS = 3
"""So many digits of the second number say, given all others, which class an example is of."""


def number(digits: Tensor) -> Tensor:
    """The numbers that digits [B, n] write, the most significant first: [B]."""
    powers = 10 ** torch.arange(digits.shape[1] - 1, -1, -1, device=digits.device)
    return (digits * powers).sum(dim=1)


def digits_of(numbers: Tensor, count: int) -> Tensor:
    """The last `count` digits of numbers [B], the most significant first: [B, count]."""
    powers = 10 ** torch.arange(count - 1, -1, -1, device=numbers.device)
    return numbers[:, None] // powers % 10


class Arithmetic(Task):
    """An operation on two numbers of fixed length, zeros in front: a prompt such as `0427+0598=`, the result after it.

    `first` says which digit of the result comes first. With the most significant one first, a digit needs the carry
    from all those that are still to come. With the least significant one first every carry is past; nothing has to be
    looked ahead for, and no digit is a decision (Lee et al., 2023, "Teaching arithmetic to small transformers",
    "reverse").

    The class of an example is the same for a, b and b, a, so that no example is tested whose mirror image was taught.

    Ids: digits 0 ... 9, the operation's sign, `=`.
    """

    sign: ClassVar[str]
    digits: int
    second: int
    """Digits of the second number."""
    first: Literal["most", "least"]

    @property
    def title(self) -> str:
        return f"{self.digits} {self.sign} {self.second} digits, {self.first} significant first"

    @property
    def prompt_length(self) -> int:
        return self.digits + self.second + 2

    @property
    def labels(self) -> int:
        return 10

    @property
    def vocab_size(self) -> int:
        return 12

    @property
    def last_prompt_token(self) -> int:
        return 11

    @property
    def decision_known(self) -> bool:
        return self.first == "most"

    @property
    def decision(self) -> int:
        """Where every example has another, the last place that any has."""
        if not self.decision_known:
            raise LookaheadError(
                "with the least significant digit first no digit needs those to come: there is no decision"
            )
        return self.last_decision

    @property
    @abstractmethod
    def commonest(self) -> list[int]:
        """The commonest result, in the answer's order."""

    @property
    @abstractmethod
    def last_decision(self) -> int:
        """The last place, most significant first, of a digit that needs to look ahead."""

    @property
    def test_size(self) -> float:
        """Different pairs of numbers in the test split, order ignored."""
        return 10 ** (self.digits + self.second) // 20

    @abstractmethod
    def result(self, a: Tensor, b: Tensor) -> Tensor:
        """The operation's results, [B]."""

    @abstractmethod
    def columns(self, a: Tensor, b: Tensor) -> Tensor:
        """What stands in each column of the result before anything is carried, most significant first, [B, A].

        Args:
            a: digits [B, digits].
            b: digits [B, second].
        """

    def draws(self, split: Split, indices: Tensor) -> Tensor:
        """What examples are made of, [K, B]: their class, the digits of a, the first digits of b."""
        key = (self.name, self.digits, self.second, self.seed, split)
        free = self.digits + self.second - self.pivots
        return integers(key, indices, [classes(split, 10**self.pivots)[1], *[10] * free])

    @property
    def pivots(self) -> int:
        """How many digits of b follow from the class."""
        return min(self.digits, self.second, LAST_DIGITS)

    def sample(self, split: Split, indices: Tensor) -> tuple[Tensor, Tensor]:
        rank, *free = self.draws(split, indices).unbind()
        a, high = torch.stack(free[: self.digits], dim=1), free[self.digits :]
        wanted = classes(split, 10**self.pivots)[0] + rank - self.part(a) - hashed(high, "digits")
        _, places = shuffled(("digits",), 10**self.pivots, indices.device)
        low = digits_of(places[wanted % 10**self.pivots], self.pivots)
        b = torch.cat([*(digit[:, None] for digit in high), low], dim=1)
        return self.prompts(a, b), self.shown(digits_of(self.result(number(a), number(b)), self.answer_length))

    def part(self, digits: Tensor) -> Tensor:
        """What a number, by its digits [B, n], adds to the class of its example, [B]; for both numbers alike."""
        order, _ = shuffled(("digits",), 10**self.pivots, digits.device)
        high = digits[:, : -self.pivots].unbind(dim=1)
        return order[number(digits[:, -self.pivots :])] + hashed(high, "digits")

    def class_of(self, prompts: Tensor) -> Tensor:
        """The class of each example, which says what split it is for, [B]."""
        a, b = self.numbers(prompts)
        return (self.part(a) + self.part(b)) % 10**self.pivots

    def prompts(self, a: Tensor, b: Tensor) -> Tensor:
        """Prompts [B, P] of two numbers by their digits."""
        sign, equals = (torch.full_like(a[:, :1], mark) for mark in (10, 11))
        return torch.cat([a, sign, b, equals], dim=1)

    def numbers(self, prompts: Tensor) -> tuple[Tensor, Tensor]:
        """The digits of both numbers, [B, digits] and [B, second]."""
        return prompts[:, : self.digits], prompts[:, self.digits + 1 : -1]

    def shown(self, result: Tensor) -> Tensor:
        """The digits [B, A] of results in the answer's order, from most significant first, or back."""
        return result if self.first == "most" else result.flip(1)

    def correct(self, prompts: Tensor, answers: Tensor, given: Tensor) -> Tensor:
        """Whether all digits are right, [B]."""
        return (answers == given).all(dim=1)

    def check_examples(self, prompts: Tensor, answers: Tensor) -> None:
        super().check_examples(prompts, answers)
        a, b = self.numbers(prompts)
        true = self.shown(digits_of(self.result(number(a), number(b)), self.answer_length))
        good = (true == answers).all(dim=1) & (self.prompts(a, b) == prompts).all(dim=1)
        good &= torch.cat([a, b], dim=1).lt(10).all(dim=1)
        refuse_wrong(self, good, prompts, answers)

    def text(self, tokens: Tensor) -> list[str]:
        """Rows of tokens [B, T] as they are written."""
        return rendered(tokens, [*map(str, range(10)), self.sign, "="])


def look_right(columns: Tensor) -> Tensor:
    """The digits that come out if a carry is what the next column alone says, [B, A]; most significant first."""
    carries = torch.cat([columns[:, 1:] // 10, torch.zeros_like(columns[:, :1])], dim=1)
    return (columns + carries) % 10


def sample_one(task: Arithmetic, split: Split, index: int) -> tuple[list[int], list[int]]:
    """Prompt and answer of one example, as `Arithmetic.sample` gives them: two numbers, and how children calculate."""
    rank, *free = task.draws(split, torch.tensor([index]))[:, 0].tolist()
    a, b = free[: task.digits], free[task.digits :]
    order = shuffled(("digits",), 10**task.pivots, torch.device("cpu"))[0].tolist()
    salted = int(hashed([torch.tensor([digit]) for digit in b], "digits"))
    rest = classes(split, 10**task.pivots)[0] + rank - int(task.part(torch.tensor([a]))) - salted
    last = order.index(rest % 10**task.pivots)
    b = [*b, *map(int, f"{last:0{task.pivots}d}")]
    prompt = [*a, 10, *b, 11]
    return prompt, solve(task, prompt)


def solve(task: Arithmetic, prompt: Sequence[int]) -> list[int]:
    """Column by column from the right, with the carry."""
    a, b = (part[None] for part in (torch.tensor(prompt[: task.digits]), torch.tensor(prompt[task.digits + 1 : -1])))
    found, carry = [], 0
    for column in reversed(task.columns(a, b)[0].tolist()):
        carry, digit = divmod(column + carry, 10)
        found.append(digit)
    return found[::-1] if task.first == "most" else found


def cheat(task: Arithmetic, prompt: Sequence[int]) -> list[int]:
    """With the most significant digit first look one column to the right for the carry, no further. With the least
    significant first there is nothing to cheat about: say the commonest result."""
    if task.first == "least":
        return list(task.commonest)
    a, b = task.numbers(torch.tensor([prompt]))
    return look_right(task.columns(a, b))[0].tolist()
