"""How tasks hold examples out: every example is of one of n classes, and a class is for one split alone.

A tenth of the classes is for testing, a tenth for validation, the rest for training, as in `PathStar`. A split is drawn
without rejection: all of an example but one number is drawn freely, and then its class, which says what that number is.
"""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from lookahead.contracts import SPLITS, Split
from lookahead.errors import LookaheadError
from lookahead.random import WORD, integers, mix, words

SMALLEST_TEST_SET = 100
"""Different examples to test on, below which a task is refused: no accuracy could be told from another."""


def held_classes(number: int) -> int:
    """How many of the classes are for testing, and as many for validation."""
    return max(1, number // 10)


def classes(split: Split, number: int) -> tuple[int, int]:
    """First class of a split and how many it has.

    Raises:
        LookaheadError: no such split.
    """
    held = held_classes(number)
    ranges = {"test": (0, held), "validation": (held, held), "train": (2 * held, number - 2 * held)}
    if split not in ranges:
        raise LookaheadError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
    return ranges[split]


def splits_of(found: Tensor, number: int) -> list[Split]:
    """The split of each class, [B]."""
    held = held_classes(number)
    bounds = torch.tensor([2 * held, held], device=found.device)
    return [SPLITS[i] for i in (found[:, None] < bounds).sum(dim=1).tolist()]


@functools.cache  # as in `random`: a CUDA graph may read them for as long as the process lives
def fixed(values: tuple[int, ...], device: torch.device) -> Tensor:
    """Numbers that never change, on a device, so that no step copies them there."""
    return torch.tensor(values, device=device)


@functools.cache
def shuffled(key: tuple[object, ...], count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """An order of 0 ... count - 1 that depends on the key alone, [count], and the place of each number in it."""
    order = integers(("order", *key), torch.arange(count), [2**30])[0].argsort(stable=True)
    return order.to(device), order.argsort().to(device)


def hashed(rows: Sequence[Tensor], salt: str) -> Tensor | int:
    """A hash of numbers in their order, one of each row [B], none of them negative: [B]; of no rows 0."""
    state: Tensor | int = 0
    for row, word in zip(rows, words("hash", salt, count=len(rows)), strict=True):
        state = mix((row.long() + word) & WORD ^ state)
    return state


def require_test_set(title: str, different: float, instead: str) -> None:
    """Refuses a task with too few different examples to test on.

    Raises:
        LookaheadError: the message says what to take `instead`.
    """
    if different < SMALLEST_TEST_SET:
        raise LookaheadError(
            f"{title} has only {different:,.0f} different examples to test on, fewer than {SMALLEST_TEST_SET}: "
            f"take {instead}"
        )
