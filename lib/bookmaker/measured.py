"""Numbers of prose pages that no chapter glues: asked of the stored results and of the papers when the site is built.

A page says {measured}`name:format`, as it says {glue:text} for a number of a chapter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bookmaker.execution import digest, inputs
from lookahead.errors import LookaheadError
from lookahead.files import read_cache, write_text

if TYPE_CHECKING:
    from lookahead.experiments.seeds import Seeds

ROLE = re.compile(r"\{measured\}`([\w-]+)(?::([^`]*))?`")

TRANSFORMERS = (
    "direction", "architecture", "optimizers", "batches", "several-tokens", "tournament", "wrong-arm", "slips",
    "warmed-up", "rungs-inside",
)  # fmt: skip
"""Experiments in which the book's Transformer is taught from its first weights."""
SOON = 4000
"""Training steps within which it is said to fail."""


@cache
def taught(objective: str, *names: str) -> Seeds:
    """Transformers that were taught in one way on arms of four or more, of some experiments."""
    from lookahead.experiments.seeds import Seeds, stored  # loads torch

    every = sum((stored(name) for name in names), Seeds([]))
    kept = [result for result in every if result.run.config["objective"]["name"] == objective]
    sizes = [(result.run.config["task"]["path_length"], result.run.config["model"]["name"]) for result in kept]
    return Seeds(
        result
        for result, (length, model) in zip(kept, sizes, strict=True)
        if length >= 4 and model == "transformer" and result.run.steps <= SOON and not result.run.start_from
    )


@cache
def method(title: str) -> Seeds:
    """The networks of one method of the tournament on arms of four."""
    from lookahead.experiments.catalogue.tournament import ENTRANTS
    from lookahead.experiments.seeds import stored

    entrant = next(entrant for entrant in ENTRANTS if entrant.title == title)
    return stored("tournament").where(path_length=4, objective=entrant.method(4))


def published(exhibit: str, row: str, column: str) -> float:
    """A number quoted from a paper."""
    from lookahead.chapter.published import PUBLISHED

    found = json.loads(PUBLISHED.read_text(encoding="utf-8"))[exhibit]
    return found["rows"][row][found["columns"].index(column)]


LARGE = "GPT2-Large, teacher forcing"
SETTINGS = ("optimizers", "batches")

NUMBERS: dict[str, Callable[[], Any]] = {
    "forced": lambda: len(taught("teacher_forcing", *TRANSFORMERS)),
    "forced-left": lambda: taught("teacher_forcing", *TRANSFORMERS).left_chance().sum(),
    "forced-steps": lambda: max(result.run.steps for result in taught("teacher_forcing", *TRANSFORMERS)),
    "settings-forced": lambda: len(taught("teacher_forcing", *SETTINGS)),
    "settings-forced-left": lambda: taught("teacher_forcing", *SETTINGS).left_chance().sum(),
    "settings-reversed": lambda: len(taught("reversed", *SETTINGS)),
    "settings-reversed-won": lambda: taught("reversed", *SETTINGS).won,
    "weighted-first": lambda: method("first step weighted").highest("decision_accuracy"),
    "hidden-first": lambda: method("hidden hints").highest("decision_accuracy"),
    "large-2-5": lambda: published("main", LARGE, "G(2,5)"),
    "large-2-20": lambda: published("main", LARGE, "G(2,20)"),
    "large-10-5": lambda: published("main", LARGE, "G(10,5)"),
    "large-reversed-20-5": lambda: published("main", "GPT2-Large, reversed", "G(20,5)"),
}
"""Name of a number -> what finds it."""


def fill(root: Path, text: str) -> str:
    """A page's text with its numbers in.

    Raises:
        LookaheadError: a name that nothing finds, or a format that does not fit.
    """
    asked = sorted({name for name, _ in ROLE.findall(text)})
    if unknown := [name for name in asked if name not in NUMBERS]:
        raise LookaheadError(f"no number is called {', '.join(unknown)}; there are {', '.join(NUMBERS)}")
    if not asked:
        return text
    found = numbers(root, asked)

    def shown(match: re.Match[str]) -> str:
        name, form = match[1], match[2] or ""
        try:
            return format(found[name], form)
        except ValueError as error:
            raise LookaheadError(f"{name} is {found[name]}, which cannot be written as {form!r}") from error

    return ROLE.sub(shown, text)


def numbers(root: Path, names: list[str]) -> dict[str, float]:
    """Those numbers; they are kept, and found anew when the results or the library change."""
    kept, state = (
        root / "build" / "measured.json",
        digest(root, inputs(root), Path(__file__).read_text("utf-8"), *names),
    )
    try:
        known = json.loads(read_cache(kept))
    except ValueError:
        known = {}
    if known.get("state") != state:
        known = {"state": state, "numbers": {name: float(NUMBERS[name]()) for name in names}}
        write_text(kept, json.dumps(known))
    return known["numbers"]
