"""The fields of a run under flat names, and the label that tells the cells of an experiment apart."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Any

from lookahead.contracts import Named
from lookahead.runs.run import KINDS, Run

SETTINGS = tuple(item.name for item in dataclasses.fields(Run) if item.init and item.name not in KINDS)


def fields_of(run: Run) -> dict[str, Any]:
    """The fields of a run and the options of its task, model and objective, each under its own name.

    `task`, `model` and `objective` are the name of a preset where the options are that preset's, else the plain name.
    An option whose name is not the only one of its kind in the run is called `model.width` or so.
    """
    specs: dict[str, Mapping[str, Any]] = {kind: getattr(run, kind) for kind in KINDS}
    count = Counter([*KINDS, *SETTINGS, *(option for spec in specs.values() for option in spec if option != "name")])
    flat = {kind: short_name(base, specs[kind]) for kind, base in KINDS.items()}
    for kind, spec in specs.items():
        for option, value in spec.items():
            if option != "name":
                flat[option if count[option] == 1 else f"{kind}.{option}"] = value
    return {**flat, **{name: getattr(run, name) for name in SETTINGS}}


def short_name(base: type[Named], spec: Mapping[str, Any]) -> str:
    """The preset that a mapping with a name and all options is, else the name in it."""
    return next((name for name, preset in _presets(base) if preset == spec), spec["name"])


@cache
def _presets(base: type[Named]) -> list[tuple[str, dict[str, Any]]]:
    """Every preset of a kind with all its options."""
    return [
        (name, {"name": one.name, **one.options(), **options})
        for one in base.known.values()
        for name, options in getattr(one, "presets", {}).items()
    ]
