"""One call: readers trained, the decision looked for, the verdict."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from lookahead.auditing import drawing
from lookahead.auditing.findings import (
    FEWEST,
    Order,
    Place,
    Verdict,
    find_decision,
    judge,
    mean,
    places,
    totals,
)
from lookahead.auditing.readers import Backwards, Held, Reader, Way, followed, train_reader, without_prompt
from lookahead.evaluation.statistics import Interval, proportion
from lookahead.kinds import Count, fit
from lookahead.runs.sealed import without_nan
from lookahead.tables import columns
from lookahead.tasks import OwnData
from lookahead.tasks.own_data.reading import read_table
from lookahead.tasks.own_data.table import Facts

FEWEST_PROMPTS = 500
"""Different prompts to train on, below which nothing can be told."""
TEST_EXAMPLES = 1000
AHEAD = 4
"""Tokens that a reader predicts at once, where it predicts several."""
STATUS = {"no": 0, "cannot tell": 3, "yes": 4}
"""Exit status, for a pipeline; 1 is an error."""
WITH_TEACHER, ALONE, REVERSED, SEVERAL = (
    "with a teacher",
    "all at once, no teacher",
    "reversed",
    "several tokens at once",
)


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

    @property
    def status(self) -> int:
        """The exit status of the command: 0 no, 3 cannot tell, 4 yes."""
        return STATUS[self.verdict.answer]

    def to_json(self) -> str:
        """Everything as strict JSON: NaN and what has no bound are null."""
        return json.dumps(without_nan(_finite(asdict(self))), allow_nan=False)

    def table(self) -> str:
        """A line for each token of the answers, and one for each order."""
        rows = [
            [
                f"{place.index}{' <' if place.index == self.decision else ''}",
                *(f"{one.value:.2f}" for one in (place.nothing, place.prompt, place.teacher)),
                f"[{place.teacher.low:.2f}, {place.teacher.high:.2f}]",
                f"{100 * place.prompt_share:.0f} %",
                f"{100 * place.prefix_share:.0f} %",
                str(place.examples),
            ]
            for place in self.places
        ]
        head = [
            "token",
            "no prompt",
            "prompt alone",
            "with teacher",
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
                str(order.steps),
            ]
            for order in self.orders
        ]
        second = columns(["read", "whole answer", "95 %", "its decision", "steps"], orders)
        return "\n".join(["held-out loss in nats", columns(head, rows), "", second])

    def __str__(self) -> str:
        told = ", ".join(f"{count} for {split}" for split, count in self.facts.prompts.items())
        lines = [f"{self.file}: {self.facts.examples} examples; different prompts: {told}"]
        if self.places:
            lines += ["", self.table()]
        return "\n".join([*lines, "", *self.verdict.reasons])

    def svg(self) -> str:
        """The picture: what every token costs, three ways."""
        return drawing.svg(self.places, self.decision)

    def html(self) -> str:
        """The report, whole in one file."""
        return drawing.html(self.file, self.verdict, str(self), self.svg() if self.places else "")


def audit(
    file: str | Path,
    prompt_field: str = "prompt",
    answer_field: str = "answer",
    *,
    tokenizer: str = "characters",
    longest: int = 1024,
    skip_bad: int = 0,
    steps: int = 2000,
    seed: int = 0,
    keep: str | Path | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> Audit:
    """Says whether next-token training on a file of prompts and answers invites the cheat.

    Four small networks learn the same examples, each until its held-out loss stops falling: token by token with a
    teacher; all at once from the prompt alone; with a teacher and the answers reversed; with a teacher and several
    tokens at once. A token that stays hard with the teacher, and makes those behind it easy, is where planning gets no
    supervision, if another order learns what it is.

    Args:
        file, prompt_field, answer_field, tokenizer, longest, skip_bad: as of `OwnData`.
        steps: most training steps of each network.
        seed: of the networks.
        keep: a folder that keeps each network when it is trained, so that the same call, interrupted, goes on there.
        log: is told how far it is.

    Raises:
        LookaheadError: as `OwnData`.
    """
    steps, keep = fit("steps", steps, Count), None if keep is None else Path(keep).expanduser()
    options: dict[str, Any] = {
        "file": str(file), "prompt_field": prompt_field, "answer_field": answer_field, "tokenizer": tokenizer,
        "longest": longest, "skip_bad": skip_bad, "seed": seed,
    }  # fmt: skip
    task = OwnData(**options)
    facts = read_table(str(file), prompt_field, answer_field, tokenizer, longest, skip_bad, task.checksum).facts
    if facts.prompts["train"] < FEWEST_PROMPTS or facts.prompts["test"] < FEWEST:
        few = (
            f"Cannot tell: {facts.prompts['train']} different prompts to train on, and {facts.prompts['test']} to test "
            f"on, are too few; it takes {FEWEST_PROMPTS} and {FEWEST}."
        )
        return Audit(str(file), facts, Verdict("cannot tell", [few], []), 0, [], None, None, [])
    held = Held(*task.sample("test", torch.arange(min(TEST_EXAMPLES, len(task.table.parts["test"])))))
    ways = [
        Way(WITH_TEACHER, {"name": "teacher_forcing"}, task),
        Way(ALONE, {"name": "teacherless"}, task),
        Way(REVERSED, {"name": "teacher_forcing"}, Backwards(**options)),
        Way(SEVERAL, {"name": "multi_token", "tokens": min(AHEAD, task.answer_length)}, task),
    ]
    readers = [train_reader(way, held, steps, seed, log, keep) for way in ways]
    teacher, alone = readers[0], readers[1]
    found = places(without_prompt(task, held), alone.losses, teacher.losses)
    decision = find_decision(found)
    follows = None
    if decision is not None:
        led, tried = followed(teacher, task, decision, held)
        follows = proportion(led / tried, tried) if tried >= FEWEST else None
    orders = [_order(reader, teacher, decision) for reader in readers]
    verdict, seconds = judge(found, decision, follows, orders), sum(reader.seconds for reader in readers)
    return Audit(str(file), facts, verdict, len(held), found, decision, follows, orders, seconds)


def _order(reader: Reader, teacher: Reader, decision: int | None) -> Order:
    """What a reader's order costs, beside the teacher's."""
    own = totals(reader.losses)
    cost = None if decision is None else mean(reader.losses[:, decision])
    return Order(reader.name, mean(own), mean(totals(teacher.losses) - own), cost, reader.steps, reader.finished)


def _finite(value: Any) -> Any:
    """Plain data with what has no bound, such as an interval of nothing, as NaN."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return float("nan") if isinstance(value, float) and value in (float("inf"), float("-inf")) else value
