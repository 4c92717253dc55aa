"""Countdown: a target is to be reached from some numbers, each used once."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import comb
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from lookahead.contracts import Split, Task
from lookahead.kinds import Range, Seed, settle
from lookahead.random import integers
from lookahead.tasks.rendering import refuse_wrong, rendered
from lookahead.tasks.splits import classes, require_test_set, shuffled

OPERATIONS = ("+", "-", "*", "/")
COUNTED_ON = 1000
"""Examples on which the cheat's accuracy is worked out, exactly for each."""


@dataclass(frozen=True)
class Countdown(Task, name="countdown"):
    """Calculations that lead from `numbers` numbers to a target, all numbers used (Gandhi et al., 2024, "Countdown").

        7,3,12>11=12/3,4,7+4,11      12 / 3 = 4, then 7 + 4 = 11

    A step takes two numbers that are left, the larger one first, and puts the result in their place; every number is
    whole, from 1 to `largest`. Any way to the target is right, so measures that compare tokens stay low. The first step
    is the decision. The cheat takes it blindly, calculates without a fault, and looks for the target in the last step
    alone.

    Prompts are held out by the numbers in them, whatever their order and the target. Ids: the numbers from 1 on, the
    four operations, `>` before the target, `=`.

    Args:
        numbers: how many, 3 or 4.
        largest: of all numbers, results included.

    Raises:
        LookaheadError: too few numbers to hold anything out from.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {"countdown(3,30)": {"numbers": 3, "largest": 30}}

    numbers: Annotated[int, Range(least=3, most=4)]
    largest: Annotated[int, Range(least=10, most=1000)] = 30
    seed: Seed = 0

    def __post_init__(self) -> None:
        settle(self)
        require_test_set(self.title, self.test_size, "a larger largest")

    @property
    def title(self) -> str:
        return f"countdown({self.numbers},{self.largest})"

    @property
    def prompt_length(self) -> int:
        return self.numbers + 3

    @property
    def answer_length(self) -> int:
        return 4 * (self.numbers - 1)

    @property
    def labels(self) -> int:
        return self.largest + len(OPERATIONS)

    @property
    def vocab_size(self) -> int:
        return self.labels + 2

    @property
    def last_prompt_token(self) -> int:
        return self.labels + 1

    @property
    def decision(self) -> int:
        """The first number of the first step."""
        return 0

    @property
    def chance_accuracy(self) -> float:
        """The share of all blind beginnings after which the last step can reach the target, a mean over examples."""
        return _cheated(self.numbers, self.largest)

    @property
    def test_size(self) -> float:
        """About how many different sets of numbers are to test on."""
        return comb(self.largest + self.numbers - 1, self.numbers) * classes("test", self.largest)[1] // self.largest

    def draws(self, split: Split, indices: Tensor) -> Tensor:
        """What examples are made of, [K, B]: class and all numbers but one; their order; for each step pair and
        operation."""
        key = ("countdown", self.numbers, self.largest, self.seed, split)
        steps = [bound for left in range(self.numbers, 1, -1) for bound in (left, left - 1, 12)]
        free = [self.largest] * (self.numbers - 1)
        return integers(key, indices, [classes(split, self.largest)[1], *free, self.numbers, *steps])

    def sample(self, split: Split, indices: Tensor) -> tuple[Tensor, Tensor]:
        rank, *rest = self.draws(split, indices).unbind()
        free, turn, steps = rest[: self.numbers - 1], rest[self.numbers - 1], rest[self.numbers :]
        order, places = shuffled(("countdown",), self.largest, indices.device)
        total = classes(split, self.largest)[0] + rank
        for one in free:
            total = total - order[one]
        pool = torch.stack([*free, places[total % self.largest]], dim=1) + 1  # the numbers, [B, n]
        every = torch.arange(self.numbers, device=pool.device)
        pool = pool.gather(1, (every + turn[:, None]) % self.numbers)  # the one that follows stands anywhere
        shown, said = pool, []
        for one, other, operation in zip(steps[::3], steps[1::3], steps[2::3], strict=True):
            a, pool = _take(pool, one)
            b, pool = _take(pool, other)
            a, b = torch.maximum(a, b), torch.minimum(a, b)
            results = torch.stack([a + b, a - b, a * b, a // b], dim=1)
            allowed = (results >= 1) & (results <= self.largest)
            allowed[:, 3] &= a % b == 0
            chosen = operation % allowed.sum(dim=1)
            kind = ((allowed.cumsum(dim=1) - 1 == chosen[:, None]) & allowed).int().argmax(dim=1)
            result = results.gather(1, kind[:, None])[:, 0]
            said += [a - 1, self.largest + kind, b - 1, result - 1]
            pool = torch.cat([pool, result[:, None]], dim=1)
        mark, equals = (torch.full_like(rank, self.labels + one) for one in (0, 1))
        prompts = torch.cat([shown - 1, torch.stack([mark, pool[:, 0] - 1, equals], dim=1)], dim=1)
        return prompts, torch.stack(said, dim=1)

    def correct(self, prompts: Tensor, answers: Tensor, given: Tensor) -> Tensor:
        """Whether the steps are allowed, calculated well, and end at the target, [B]; whichever they are."""
        pool, target = prompts[:, : self.numbers] + 1, prompts[:, self.numbers + 1] + 1
        right = torch.ones_like(target, dtype=torch.bool)
        for step in given.split(4, dim=1):
            a, kind, b, result = step[:, 0] + 1, step[:, 1] - self.largest, step[:, 2] + 1, step[:, 3] + 1
            for one in (a, b):
                there = pool == one[:, None]
                right &= there.any(dim=1)
                _, pool = _take(pool, there.int().argmax(dim=1))
            results = torch.stack([a + b, a - b, a * b, torch.where(a % b == 0, a // b, 0)], dim=1)
            right &= (kind >= 0) & (kind < 4) & (a >= b)
            right &= results.gather(1, kind.clamp(0, 3)[:, None])[:, 0] == result
            right &= (result >= 1) & (result <= self.largest)
            pool = torch.cat([pool, result[:, None]], dim=1)
        return right & (pool[:, 0] == target)

    def decoys(self, prompts: Tensor, answers: Tensor) -> None:
        """None: what follows a wrong first step is not said by it."""

    def check_examples(self, prompts: Tensor, answers: Tensor) -> None:
        super().check_examples(prompts, answers)
        labels = torch.cat([prompts[:, : self.numbers], prompts[:, self.numbers + 1 : -1]], dim=1) < self.largest
        marks = (prompts[:, self.numbers] == self.labels) & (prompts[:, -1] == self.last_prompt_token)
        good = labels.all(dim=1) & marks
        refuse_wrong(self, good & self.correct(prompts, answers, answers), prompts, answers)

    def text(self, tokens: Tensor) -> list[str]:
        """Rows of tokens [B, T] as they are shown above."""
        return rendered(tokens, [*map(str, range(1, self.largest + 1)), *OPERATIONS, ">", "="], self.largest)


def _take(pool: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """The number at a place [B] of each row of a pool [B, n], and the others, [B, n - 1]."""
    others = torch.arange(pool.shape[1] - 1, device=pool.device)
    others = others + (others >= place[:, None])
    return pool.gather(1, place[:, None])[:, 0], pool.gather(1, others)


def results_of(a: int, b: int, largest: int) -> list[int | None]:
    """What the four operations make of two numbers, the larger one first; None where that is not allowed."""
    found = [a + b, a - b, a * b, a // b if a % b == 0 else 0]
    return [result if 1 <= result <= largest else None for result in found]


def steps_from(pool: Sequence[int], largest: int) -> Iterator[tuple[list[int], list[int]]]:
    """Every step that a pool allows, each pair of places once: (left, operation, right, result) and what is left."""
    for i in range(len(pool)):
        for j in range(i):
            a, b = max(pool[i], pool[j]), min(pool[i], pool[j])
            rest = [number for place, number in enumerate(pool) if place not in (i, j)]
            for kind, result in enumerate(results_of(a, b, largest)):
                if result is not None:
                    yield [a, kind, b, result], [*rest, result]


def reaches(pool: Sequence[int], target: int, largest: int) -> float:
    """The share of all blind ways that end at the target, where the last step looks for it."""
    if len(pool) == 2:
        return float(any(rest == [target] for _, rest in steps_from(pool, largest)))
    ways = [reaches(rest, target, largest) for _, rest in steps_from(pool, largest)]
    return sum(ways) / len(ways)


@functools.cache
def _cheated(numbers: int, largest: int) -> float:
    """The cheat's accuracy; for each of the examples exact."""
    task = Countdown(numbers, largest)
    prompts, _ = task.sample("train", torch.arange(COUNTED_ON))
    asked = [([one + 1 for one in row[:numbers]], row[numbers + 1] + 1) for row in prompts.tolist()]
    return sum(reaches(pool, target, largest) for pool, target in asked) / len(asked)


def tokens_of(task: Countdown, step: Sequence[int]) -> list[int]:
    """The four tokens of a step."""
    a, kind, b, result = step
    return [a - 1, task.largest + kind, b - 1, result - 1]


def sample_one(task: Countdown, split: Split, index: int) -> tuple[list[int], list[int]]:
    """Prompt and answer of one example, as `Countdown.sample` gives them: numbers, and steps as they come."""
    rank, *rest = task.draws(split, torch.tensor([index]))[:, 0].tolist()
    free, turn, steps = rest[: task.numbers - 1], rest[task.numbers - 1], rest[task.numbers :]
    order = shuffled(("countdown",), task.largest, torch.device("cpu"))[0].tolist()
    total = classes(split, task.largest)[0] + rank - sum(order[one] for one in free)
    pool = [number + 1 for number in [*free, order.index(total % task.largest)]]
    pool = pool[turn:] + pool[:turn]
    shown, answer = list(pool), []
    for one, other, operation in zip(steps[::3], steps[1::3], steps[2::3], strict=True):
        a, b = sorted([pool.pop(one), pool.pop(other)], reverse=True)
        allowed = [(kind, found) for kind, found in enumerate(results_of(a, b, task.largest)) if found is not None]
        kind, result = allowed[operation % len(allowed)]
        answer += tokens_of(task, [a, kind, b, result])
        pool.append(result)
    return [*(one - 1 for one in shown), task.labels, pool[0] - 1, task.labels + 1], answer


def solve(task: Countdown, prompt: Sequence[int]) -> list[int]:
    """Try every way until one ends at the target."""

    def search(pool: list[int]) -> list[int] | None:
        if len(pool) == 1:
            return [] if pool[0] - 1 == prompt[-2] else None
        for step, rest in steps_from(pool, task.largest):
            if (found := search(rest)) is not None:
                return [*tokens_of(task, step), *found]
        return None

    answer = search([one + 1 for one in prompt[: task.numbers]])
    if answer is None:
        raise ValueError("the target cannot be reached")
    return answer


def cheat(task: Countdown, prompt: Sequence[int]) -> list[int]:
    """Any step that is allowed; at the last one that which ends at the target, if there is one."""
    pick, pool, answer = random.Random(str(prompt)), [one + 1 for one in prompt[: task.numbers]], []
    while len(pool) > 1:
        steps = list(steps_from(pool, task.largest))
        last = [step for step in steps if step[1] == [prompt[-2] + 1]]
        step, pool = pick.choice(last or steps)
        answer += tokens_of(task, step)
    return answer
