"""What the readers' losses say: where a decision sits, which order learns it, and the verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from lookahead.evaluation.statistics import Z95, Interval

OPEN = 0.2
"""Nats: a token that costs more with the teacher's tokens than this is open."""
TRIVIAL = 0.25
"""What comes after a decision costs at most this share of what the decision does."""
NEXT = 8
"""So many tokens after a decision are looked at."""
FEWEST = 50
"""Test examples that a number must be measured on."""
FALL = 0.5
"""An order learns a decision if the whole answer costs less by at least this share of what the decision does."""
UNLEARNT = 0.5
"""A reader to whom an answer costs more than this share of what it does without a prompt has not learnt the task."""
FOLLOWS = 0.5
"""The reader follows a wrong token in more than this share of the examples."""

Answer = Literal["yes", "no", "cannot tell"]


@dataclass(frozen=True)
class Units:
    """What the places of the answers are: tokens, counted from 0; equal shares of each answer; or its fields."""

    kind: Literal["token", "part", "field"] = "token"
    names: list[str] = field(default_factory=list)
    """Of the shares or fields."""

    def label(self, index: int) -> str:
        """What a place is called in a table or a picture."""
        return self.names[index] if self.names else str(index)

    def called(self, index: int) -> str:
        """What a place is called in a sentence."""
        if self.kind == "field":
            return f"the field {self.names[index]!r}"
        return f"token {index}" if self.kind == "token" else f"part {self.names[index]} of {len(self.names)}"

    def several(self, indices: list[int]) -> str:
        """Several of them, in a sentence, with a verb."""
        if len(indices) == 1:
            return f"{self.called(indices[0])} costs"
        first = str(indices[0]) if self.kind == "token" else self.called(indices[0])
        return f"{len(indices)} {self.kind}s, from {first} on, cost"


TOKENS = Units()


def mean(losses: Tensor) -> Interval:
    """The mean of some numbers with its 95% interval (normal); NaN does not count, and none give NaN."""
    found = losses[~losses.isnan()].double()
    if len(found) < 2:
        return Interval(math.nan, -math.inf, math.inf)
    reach = Z95 * (found.std() / math.sqrt(len(found))).item()
    middle = found.mean().item()
    return Interval(middle, middle - reach, middle + reach)


@dataclass(frozen=True)
class Place:
    """One token of the answers, or one part of them; losses in nats, each with its 95% interval."""

    index: int
    examples: int
    nothing: Interval
    """Knowing only how often each token stands there."""
    prompt: Interval
    """From the prompt alone."""
    teacher: Interval
    """From the prompt and the true tokens before."""
    half: Interval | None = None
    """From the prompt and a random half of the true tokens before, where that was tried."""
    last: Interval | None = None
    """From the prompt and the last true token before, where that was tried."""

    @property
    def prompt_share(self) -> float:
        """Of what the token costs with nothing, what the prompt alone takes away."""
        return _share(self.nothing.value - self.prompt.value, self.nothing.value)

    @property
    def prefix_share(self) -> float:
        """Of what the token costs with nothing, what the true tokens before take away beyond the prompt."""
        return _share(self.prompt.value - self.teacher.value, self.nothing.value)


def _share(part: float, whole: float) -> float:
    return part / whole if whole > OPEN / 4 else 0.0


@dataclass(frozen=True)
class Order:
    """A way to read the same answers."""

    name: str
    total: Interval
    """What a whole answer costs, in nats."""
    less: Interval
    """By how much less than token by token with a teacher; each example against itself."""
    decision: Interval | None
    """What the decision's token costs, where there is a decision."""
    steps: int
    finished: bool

    def learns(self, cost: float) -> bool:
        """Whether it learns a decision of so many nats, which the teacher's order does not."""
        return self.less.low > 0 and self.less.value >= FALL * cost


def places(
    nothing: Tensor, prompt: Tensor, teacher: Tensor, half: Tensor | None = None, last: Tensor | None = None
) -> list[Place]:
    """Every token or part of the answers, from losses [N, A]."""
    return [
        Place(
            index=i,
            examples=int((~teacher[:, i].isnan()).sum()),
            nothing=mean(nothing[:, i]),
            prompt=mean(prompt[:, i]),
            teacher=mean(teacher[:, i]),
            half=None if half is None else mean(half[:, i]),
            last=None if last is None else mean(last[:, i]),
        )
        for i in range(teacher.shape[1])
    ]


def _open(place: Place) -> bool:
    return place.examples >= FEWEST and place.teacher.low > OPEN


def _behind(found: list[Place], place: Place) -> list[Place]:
    """Of the next tokens after one, those that have to be predicted, and of which there are enough examples.

    A comma that stands in every answer costs nothing even without a prompt, and would hide what the others cost.
    """
    behind = found[place.index + 1 : place.index + 1 + NEXT]
    return [one for one in behind if one.examples >= FEWEST and one.nothing.value > OPEN]


def _trivial(behind: list[Place], place: Place) -> bool:
    """Whether what comes after a token costs next to nothing compared with it, on average."""
    return sum(one.teacher.value for one in behind) / len(behind) <= TRIVIAL * place.teacher.value


def unsettled(found: list[Place]) -> list[int]:
    """The indices of tokens that are open while those after them are not trivial, or not yet.

    With more examples, or more training, those after them might become so: as long as there are such tokens, nobody
    knows whether one of them is a decision.
    """
    return [
        place.index
        for place in found
        if _open(place) and (behind := _behind(found, place)) and not _trivial(behind, place)
    ]


def find_decision(found: list[Place]) -> int | None:
    """The index of the token that costs most, of those that are open and leave what comes after them trivial.

    After it must come a token that the prompt alone does not give as well as the tokens before it do.
    """
    candidates = []
    for place in found:
        behind = _behind(found, place)
        if not _open(place) or not behind:
            continue
        needs_prefix = any(one.prompt.low > one.teacher.high + OPEN / 2 for one in behind)
        if _trivial(behind, place) and needs_prefix:
            candidates.append(place)
    return max(candidates, key=lambda place: place.teacher.value).index if candidates else None


def totals(losses: Tensor) -> Tensor:
    """What each whole answer costs, [N]."""
    return torch.nansum(losses, dim=1)


@dataclass(frozen=True)
class Verdict:
    """Whether next-token training on the data invites the cheat."""

    answer: Answer
    reasons: list[str]
    """Sentences, the first of which is the verdict itself."""
    remedies: list[str]
    """The orders that learn the decision."""


def judge(
    found: list[Place], decision: int | None, follows: Interval | None, orders: list[Order], units: Units = TOKENS
) -> Verdict:
    """The verdict.

    Args:
        found: every token or part of the answers.
        decision: the index of the one that `find_decision` found.
        follows: how often the reader goes on from a wrong token there; None where it could not be tried.
        orders: how else the answers were read; the first is token by token with a teacher.
        units: what the places are.
    """
    teacher = orders[0]
    nothing = sum(place.nothing.value * place.examples for place in found if place.examples) / found[0].examples
    learnt = 1 - teacher.total.value / nothing if nothing else 0.0
    unfinished = [order.name for order in orders if not order.finished]
    late = [f"Still improving when they were stopped: {'; '.join(unfinished)}. Allow more steps."] if unfinished else []
    if decision is None:
        if learnt < 1 - UNLEARNT:
            return Verdict(
                "cannot tell",
                [
                    "Cannot tell: even with a teacher, little of these answers was learnt.",
                    f"An answer costs it {teacher.total.value:.2f} nats, and {nothing:.2f} without any prompt.",
                    *late,
                ],
                [],
            )
        costs = f"With the teacher an answer costs {teacher.total.value:.2f} nats, without any prompt {nothing:.2f}."
        if still := unsettled(found):
            return Verdict(
                "cannot tell",
                [
                    f"Cannot tell: {units.several(still)} more than {OPEN} nats with the teacher, and what "
                    "follows is still not much cheaper.",
                    "It may be noise. Or it is learnt from more examples, and then a decision may show.",
                    costs,
                    *late,
                ],
                [],
            )
        return Verdict(
            "no",
            [
                f"No: no {units.kind} was found that stays hard with the teacher while the {units.kind}s after it "
                "become trivial.",
                costs,
                *late,
            ],
            [],
        )
    place, called = found[decision], units.called(decision)
    cost = place.teacher.value
    seen = (
        f"{called[0].upper()}{called[1:]} costs {_nats(place.teacher)} with the teacher; what follows is then "
        "nearly free, though it cannot be told as well from the prompt alone."
    )
    remedies = [order for order in orders[1:] if order.learns(cost)]
    helps = "; ".join(f"{order.name} by {_nats(order.less)}" for order in remedies)
    if follows is None or follows.low <= FOLLOWS:
        said = "could not be tried" if follows is None else f"was followed in {_percent(follows)} only"
        better = [f"The prompt does tell the answer: it costs less {helps}. That is worth a try."] if remedies else []
        return Verdict(
            "cannot tell",
            [f"Cannot tell: {called} looks like a decision, but a wrong token there {said}.", seen, *better, *late],
            [],
        )
    led = f"Put on another token there, the network goes on from that one in {_percent(follows)} of the examples."
    if not remedies:
        why = (
            "no order learnt it. Either the prompt does not tell it at all, or it is too hard for a small network."
            if len(orders) > 1
            else "no other order was tried. An audit that trains its own networks on the file tries some."
        )
        return Verdict(
            "cannot tell",
            [
                f"Cannot tell: {called} looks like a decision that the teacher hides, but {why}",
                seen,
                led,
                *late,
            ],
            [],
        )
    return Verdict(
        "yes",
        [
            f"Yes: planning supervision is probably lost at {called}.",
            seen,
            led,
            f"The prompt does tell the answer: it costs less {helps}.",
            *late,
        ],
        [order.name for order in remedies],
    )


def _nats(interval: Interval) -> str:
    return f"{interval.value:.2f} nats [{interval.low:.2f}, {interval.high:.2f}]"


def _percent(share: Interval) -> str:
    return f"{100 * share.value:.0f} % [{100 * share.low:.0f}, {100 * share.high:.0f}]"
