"""What an audit has found out, as text, JSON, a picture and a page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from lookahead.auditing import drawing
from lookahead.auditing.findings import Order, Place, Verdict
from lookahead.evaluation.statistics import Interval
from lookahead.runs.sealed import with_nan, without_nan
from lookahead.tables import columns
from lookahead.tasks.own_data.table import Facts

STATUS = {"no": 0, "cannot tell": 3, "yes": 4}
"""Exit status, for a pipeline; 1 is an error."""


@dataclass(frozen=True)
class Audit:
    """What was found out about a data set."""

    file: str
    facts: Facts
    verdict: Verdict
    examples: int
    """Held-out examples that stand behind the numbers; 0 where nothing was trained."""
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

    @property
    def status(self) -> int:
        """The exit status of the command: 0 no, 3 cannot tell, 4 yes."""
        return STATUS[self.verdict.answer]

    def to_json(self) -> str:
        """Everything as strict JSON: NaN and what has no bound are null."""
        return json.dumps(without_nan(asdict(self)), allow_nan=False)

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
            }
        )

    def table(self) -> str:
        """A line for each token of the answers, and one for each order."""
        told = drawing.told(self.places)
        rows = [
            [
                f"{place.index}{' <' if place.index == self.decision else ''}",
                *(f"{getattr(place, name).value:.2f}" for name in told),
                f"[{place.teacher.low:.2f}, {place.teacher.high:.2f}]",
                f"{100 * place.prompt_share:.0f} %",
                f"{100 * place.prefix_share:.0f} %",
                str(place.examples),
            ]
            for place in self.places
        ]
        head = [
            "token",
            *told.values(),
            "95 %",
            "prompt tells",
            "teacher adds",
            "examples",
        ]
        orders = [
            [
                order.name,
                f"{order.total.value:.2f}",
                f"[{order.total.low:.2f}, {order.total.high:.2f}]",
                "" if order.decision is None else f"{order.decision.value:.2f}",
                str(order.steps) if self.model is None else "",
            ]
            for order in self.orders
        ]
        second = columns(["read", "whole answer", "95 %", "its decision", "steps"], orders)
        return "\n".join(["held-out loss in nats", columns(head, rows), "", second])

    def __str__(self) -> str:
        told = ", ".join(f"{count} for {split}" for split, count in self.facts.prompts.items())
        lines = [f"{self.file}: {self.facts.examples} examples; different prompts: {told}"]
        if self.facts.skipped:
            lines.append(f"{self.facts.skipped} lines left out; the first: {self.facts.first_skipped}")
        if self.model is not None:
            lines.append(f"{self.model} was judged as it is, on {self.examples} examples")
        if self.test_file is not None:
            left = f"; {self.left_out} left out, whose prompts are trained on" if self.left_out else ""
            lines.append(f"measured on {self.examples} examples of {self.test_file}{left}")
        if self.places:
            lines += ["", self.table()]
        return "\n".join([*lines, "", *self.verdict.reasons])

    def svg(self) -> str:
        """The picture: what every token costs, three ways."""
        return drawing.svg(self.places, self.decision)

    def html(self) -> str:
        """The report, whole in one file."""
        return drawing.html(self.file, self.verdict, str(self), self.svg() if self.places else "")


def _intervals(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Plain data with its intervals as such."""
    return {name: _interval(value) if isinstance(value, dict) else value for name, value in plain.items()}


def _interval(plain: dict[str, Any] | None) -> Interval | None:
    return None if plain is None else Interval(**with_nan(plain))
