"""The fields of a run under flat names, and the label that tells the cells of an experiment apart."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from lookahead.registry import Named
from lookahead.runs.run import KINDS, Run

SETTINGS = tuple(item.name for item in dataclasses.fields(Run) if item.init and item.name not in KINDS)


def fields_of(run: Run) -> dict[str, Any]:
    """The fields of a run and the options of its task, model and objective, each under its own name.

    `task`, `model` and `objective` are the name of a preset where the options are that preset's, else the plain name.
    An option whose name is not the only one of its kind in the run is called `model.width` or so.
    """
    specs: dict[str, Mapping[str, Any]] = {kind: getattr(run, kind) for kind in KINDS}
    count = Counter([*KINDS, *SETTINGS, *(option for spec in specs.values() for option in spec if option != "name")])
    flat: dict[str, Any] = {}
    for kind, spec in specs.items():
        flat[kind] = short_name(KINDS[kind], spec)
        for option, value in spec.items():
            if option != "name":
                flat[option if count[option] == 1 else f"{kind}.{option}"] = value
    return {**flat, **{name: getattr(run, name) for name in SETTINGS}}


def matches(run: Run, field: str, wanted: Any, have: Any = None) -> bool:
    """Whether a field of a run has the wanted value, or one of them where they are a list or a tuple.

    Args:
        field: as in `fields_of`.
        wanted: for task, model and objective a preset, a plain name, a mapping of options or an object.
        have: the value of the field, where it is known.
    """
    if isinstance(wanted, list | tuple):
        return any(matches(run, field, value, have) for value in wanted)
    have = fields_of(run).get(field) if have is None else have
    if field not in KINDS:
        return have == wanted
    spec: Mapping[str, Any] = getattr(run, field)
    if isinstance(wanted, Named):
        return spec == {"name": wanted.name, **{name: getattr(wanted, name) for name in wanted.options()}}
    if isinstance(wanted, Mapping):
        return all(spec.get(name) == value for name, value in wanted.items())
    return wanted in (have, spec["name"])


def labels(runs: Sequence[Run]) -> list[str]:
    """A label for every run: its task's title, its objective, and the other fields that tell the cells apart.

    Fields that say nothing new beside those before them are left out, and so are options and switches at their default.
    Runs that one starts from differ by seed: they are numbered, in the order in which each seed has them.
    For people alone: what is to be asked of a run stands in its fields.
    """
    flat = [{"title": run.build_task().title, **fields_of(run)} for run in runs]
    starts: dict[int, list[str]] = {}
    for run, one in zip(runs, flat, strict=True):
        if run.start_from is not None:
            known = starts.setdefault(run.seed, [])
            known.extend({run.start_from} - set(known))
            one["start_from"] = known.index(run.start_from) + 1
    first = ["title", "objective", "model", "task"]
    settings = [name for name in SETTINGS if name not in ("seed", "steps")] + ["steps"]
    options = dict.fromkeys(name for one in flat for name in one)
    chosen = first[:2]
    for name in [*first[2:], *(name for name in options if name not in (*first, *SETTINGS)), *settings]:
        if len(_cells(flat, [*chosen, name])) > len(_cells(flat, chosen)):
            chosen.append(name)
    return [_label(run, one, chosen) for run, one in zip(runs, flat, strict=True)]


def _cells(flat: Sequence[Mapping[str, Any]], names: Sequence[str]) -> set[tuple[str, ...]]:
    """The different values of some fields, together."""
    return {tuple(repr(one.get(name)) for name in names) for one in flat}


def _label(run: Run, flat: Mapping[str, Any], chosen: Sequence[str]) -> str:
    defaults: dict[str, Any] = {}
    for kind, base in KINDS.items():
        defaults |= base.named(getattr(run, kind)["name"]).options()
    parts = [f"{flat['title']} {flat['objective']}"]
    for name in chosen[2:]:
        value = flat.get(name)
        if value is None or (not _is_number(value) and name in defaults and value == defaults[name]):
            continue
        word = name in KINDS or (isinstance(value, str) and name in SETTINGS)
        parts.append(str(value) if word else f"{name}={value:g}" if _is_number(value) else f"{name}={value}")
    return ", ".join(parts)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def short_name(base: type[Named], spec: Mapping[str, Any]) -> str:
    """The preset that a mapping with a name and all options is, else the name in it."""
    return next((name for name, preset in _presets(base) if preset == spec), spec["name"])


@cache
def _presets(base: type[Named]) -> list[tuple[str, dict[str, Any]]]:
    """Every preset of a kind with all its options."""
    return [
        (name, {"name": one.name, **one.options(), **options})
        for one in base.known.values()
        for name, options in vars(one).get("presets", {}).items()
    ]
