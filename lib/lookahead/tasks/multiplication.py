"""Multiplication, the digits of the product from the most or from the least significant on."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from lookahead.errors import LookaheadError
from lookahead.kinds import Range, Seed, settle
from lookahead.tasks.digits import Arithmetic, digits_of, look_right, number

MOST_DIGITS = 6
"""Of both numbers together: the cheat's accuracy is counted over all pairs of numbers."""


@dataclass(frozen=True)
class Multiplication(Arithmetic, name="multiplication"):
    """The product of two numbers.

        27*48=1296        most significant digit first
        27*48=6921        least significant digit first

    In each column of the product several digits meet, and the carries are large. Most significant digit first, the
    first digit needs all columns at once: it is the decision. The cheat looks one column to the right for the carry, no
    further. What follows from a wrong first digit nobody can say: there is no decoy.

    Args:
        digits: of the first number.
        second: of the second one. Together at most 6: the cheat is judged on all pairs of numbers.
        first: "most" or "least" significant digit of the product.

    Raises:
        LookaheadError: more digits.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "multiplication(2,2)": {"digits": 2, "second": 2, "first": "most"},
        "multiplication(2,2), reversed": {"digits": 2, "second": 2, "first": "least"},
    }
    sign: ClassVar[str] = "*"

    digits: Annotated[int, Range(least=2)]
    second: Annotated[int, Range(least=2)]
    first: Literal["most", "least"] = "most"
    seed: Seed = 0

    def __post_init__(self) -> None:
        settle(self)
        if self.digits + self.second > MOST_DIGITS:
            raise LookaheadError(
                f"digits and second are together at most {MOST_DIGITS}, not {self.digits} and {self.second}: the cheat "
                "is judged on all pairs of numbers"
            )

    @property
    def answer_length(self) -> int:
        return self.digits + self.second

    @property
    def last_decision(self) -> int:
        return 0

    def result(self, a: Tensor, b: Tensor) -> Tensor:
        return a * b

    def columns(self, a: Tensor, b: Tensor) -> Tensor:
        found = a.new_zeros(len(a), self.answer_length)
        for place, digit in enumerate(b.unbind(dim=1)):
            found[:, place + 1 : place + 1 + self.digits] += a * digit[:, None]
        return found

    @property
    def commonest(self) -> list[int]:
        """The commonest product: zero."""
        return [0] * self.answer_length

    @property
    def chance_accuracy(self) -> float:
        """Most significant first that of the cheat, over all pairs of numbers; else that of the commonest product."""
        if self.first == "least":
            return 0.1**self.digits + 0.1**self.second - 0.1 ** (self.digits + self.second)
        return _cheated(Multiplication(self.digits, self.second))

    def decoys(self, prompts: Tensor, answers: Tensor) -> None:
        """None: no other product is what a wrong first digit leads to."""


@functools.cache
def _cheated(task: Multiplication) -> float:
    """The share of all pairs of numbers whose product comes out if the carry is looked for one column away."""
    every = torch.arange(10 ** (task.digits + task.second))
    right = 0
    for part in every.split(2**16):
        a, b = part // 10**task.second, part % 10**task.second
        columns = task.columns(digits_of(a, task.digits), digits_of(b, task.second))
        right += int((number(look_right(columns)) == a * b).sum())
    return right / len(every)
