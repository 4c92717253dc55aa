"""What an audit has found out, as text, JSON, a picture and a page."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from lookahead.auditing import drawing
from lookahead.auditing.findings import TOKENS, Answer, Order, Place, Units, Verdict
from lookahead.evaluation.statistics import Interval
from lookahead.runs.sealed import with_nan, without_nan
from lookahead.tables import columns
from lookahead.tasks.own_data.table import Facts

COIN = math.log(2)
LONGEST = 120
"""Letters of a text in a line of the report for a terminal."""
STATUS = {"no": 0, "cannot tell": 3, "yes": 4}
"""Exit status, for a pipeline; 1 is an error."""

MEANING: dict[Answer, str] = {
    "yes": (
        "A network that is shown the true answer so far, as in next-token training, does not have to find out what is "
        "decided here: it can go by what it is shown. Trained on this file as it is, it will probably not learn to "
        "make that choice by itself."
    ),
    "no": (
        "Next-token training seems to teach every part of these answers. It says nothing of whether they teach what "
        "you want."
    ),
    "cannot tell": "This is no all-clear, and no alarm.",
}
ADVICE = {
    "reversed": (
        "Reverse the answers: train on them from the last token to the first, and turn round what the network says "
        "(the objective `reversed`, or in the file where answers differ in length; chapter 4 of the book)."
    ),
    "several tokens at once": (
        "Ask for several tokens at once: multi-token prediction (the objective `multi_token`; chapter 6 of the book)."
    ),
    "all at once, no teacher": (
        "Train without a teacher: all tokens of the answer at once, from the prompt alone (the objective "
        "`teacherless`; chapter 4 of the book)."
    ),
}
"""What to do where an order learns the decision, by its name."""


@dataclass(frozen=True)
class Shown:
    """A held-out example as text."""

    prompt: str
    before: str
    """The answer up to the decision's token."""
    token: str
    behind: str

    def __str__(self) -> str:
        before, behind = _ends(self.before), _ends(self.behind)
        return f"{_ends(self.prompt)} -> {before}[{self.token}]{behind}"


@dataclass(frozen=True)
class Audit:
    """What was found out about a data set."""

    file: str
    facts: Facts
    verdict: Verdict
    examples: int
    """Held-out examples that the numbers were measured on; 0 where nothing was trained."""
    places: list[Place]
    decision: int | None
    """The index of the answer token at which planning supervision seems to be lost."""
    follows: Interval | None
    """How often a reader that is put on a wrong token there goes on from it."""
    orders: list[Order]
    seconds: float = 0.0
    """Processor time of the training of all networks."""
    test_file: str | None = None
    """Where the examples come from that it was measured on; held out from the file itself if None."""
    left_out: int = 0
    """Examples of the test file that were not used, since their prompts are trained on."""
    model: str | None = None
    """The folder of the checkpoint that was judged; None where networks were trained."""
    units: Units = TOKENS
    """What the places are."""
    shown: list[Shown] = field(default_factory=list)
    """Some examples with the decision's token; none where there is no decision."""

    @property
    def status(self) -> int:
        """The exit status of the command: 0 no, 3 cannot tell, 4 yes."""
        return STATUS[self.verdict.answer]

    def to_json(self) -> str:
        """Everything as strict JSON: NaN and what has no bound are null."""
        return json.dumps({**without_nan(asdict(self)), "advice": self.advice}, allow_nan=False)

    @property
    def advice(self) -> list[str]:
        """What to do, the remedy that saves most first."""
        saved = {order.name: order.less.value for order in self.orders}
        names = sorted(self.verdict.remedies, key=lambda name: -saved[name])
        return [ADVICE[name] for name in names if name in ADVICE]

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Self:
        """From what `to_json` wrote, parsed; more keys may be there."""
        known = {item.name for item in fields(cls)}
        told = {name: value for name, value in plain.items() if name in known}
        return cls(
            **{
                **told,
                "facts": Facts(**told["facts"]),
                "verdict": Verdict(**told["verdict"]),
                "places": [Place(**_intervals(place)) for place in told["places"]],
                "orders": [Order(**_intervals(order)) for order in told["orders"]],
                "follows": _interval(told["follows"]),
                "units": Units(**told.get("units", {})),
                "shown": [Shown(**one) for one in told.get("shown", [])],
            }
        )

    def place_rows(self) -> tuple[list[str], list[list[str]]]:
        """A table with a line for each token or part of the answers: its head, its lines."""
        told = drawing.told(self.places)
        rows = [
            [
                f"{self.units.label(place.index)}{' <' if place.index == self.decision else ''}",
                *(f"{getattr(place, name).value:.2f}" for name in told),
                f"[{place.teacher.low:.2f}, {place.teacher.high:.2f}]",
                _percent(place.prompt_share),
                _percent(place.prefix_share),
                str(place.examples),
            ]
            for place in self.places
        ]
        return [self.units.kind, *told.values(), "95%", "prompt tells", "teacher adds", "examples"], rows

    def order_rows(self) -> tuple[list[str], list[list[str]]]:
        """A table with a line for each order of reading: its head, its lines."""
        rows = [
            [
                order.name,
                f"{order.total.value:.2f}",
                f"[{order.total.low:.2f}, {order.total.high:.2f}]",
                "" if order.decision is None else f"{order.decision.value:.2f}",
                str(order.steps) if self.model is None else "",
            ]
            for order in self.orders
        ]
        return ["read", "whole answer", "95%", "its decision", "steps"], rows

    def table(self) -> str:
        """`place_rows` and `order_rows`, for a terminal."""
        marked = "" if self.decision is None else f"; < marks what looks like a decision, a {self.units.kind}"
        return "\n".join(
            [
                f"held-out loss in nats (0: certain; {COIN:.2f}: a coin toss){marked}",
                columns(*self.place_rows()),
                "",
                columns(*self.order_rows()),
            ]
        )

    def about(self) -> list[str]:
        """What was audited, and on what it was measured, in lines."""
        told = ", ".join(f"{count} for {split}" for split, count in self.facts.prompts.items())
        lines = [f"{self.file}: {self.facts.examples} examples; different prompts: {told}"]
        if self.facts.duplicates:
            lines.append(f"{self.facts.duplicates} examples repeat one before them")
        if self.facts.ambiguous:
            lines.append(f"{self.facts.ambiguous} prompts have more than one answer")
        if self.facts.skipped:
            lines.append(f"{self.facts.skipped} lines left out; the first: {self.facts.first_skipped}")
        if self.model is not None:
            lines.append(f"{self.model} was judged as it is, on {self.examples} examples")
        if self.test_file is not None:
            left = f"; {self.left_out} left out, whose prompts are trained on" if self.left_out else ""
            lines.append(f"measured on {self.examples} examples of {self.test_file}{left}")
        return lines

    def __str__(self) -> str:
        lines = self.about()
        if self.places:
            lines += ["", self.table()]
        if self.shown:
            lines += ["", "held-out examples, the decision in brackets:", *map(str, self.shown)]
        lines += ["", *self.verdict.reasons]
        return "\n".join([*lines, *(["", "What to do:", *(f"- {one}" for one in self.advice)] if self.advice else [])])

    def svg(self) -> str:
        """The picture: what every token costs, three ways."""
        return drawing.svg(self.places, self.decision, self.units)

    def html(self) -> str:
        """The report, whole in one file."""
        from lookahead.auditing.page import page

        return page(self)


def _percent(share: float) -> str:
    return f"{round(100 * share)}%"


def _ends(text: str) -> str:
    """A text in a line, the middle of a long one left out."""
    line = " ".join(text.splitlines())
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"


def _intervals(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Plain data with its intervals as such."""
    return {name: _interval(value) if isinstance(value, dict) else value for name, value in plain.items()}


def _interval(plain: dict[str, Any] | None) -> Interval | None:
    return None if plain is None else Interval(**with_nan(plain))
