"""Everything that the library registers, for tests of the contracts: whatever is new is tested by itself."""

import inspect
import itertools
import typing
from typing import Any

import lookahead.models
import lookahead.objectives  # noqa: F401 (the two register what they hold)
from lookahead.contracts import Model, Objective
from lookahead.registry import REQUIRED, Named


def of_the_library(base: type[Named]) -> dict[str, type[Any]]:
    """Registered classes by name, without those that tests have defined."""
    return {name: kind for name, kind in base.known.items() if kind.__module__.startswith("lookahead.")}


def variants(kind: type[Named], **given: Any) -> list[dict[str, Any]]:
    """Every combination of a class's options that are true or false or one of some words; others as given, or at their
    default."""
    hints = typing.get_type_hints(kind.__init__)
    choices: dict[str, tuple[Any, ...]] = {}
    for name, default in kind.options().items():
        if hints.get(name) is bool:
            choices[name] = (True, False)
        elif typing.get_origin(hints.get(name)) is typing.Literal:
            choices[name] = typing.get_args(hints[name])
        else:
            assert name in given or default is not REQUIRED, f"{kind.__name__} needs {name}: say what to test it with"
    combinations = itertools.product(*choices.values())
    return [{"name": kind.name, **given, **dict(zip(choices, values, strict=True))} for values in combinations]


def label(spec: dict[str, Any]) -> str:
    """A name for a test: the words of a specification."""
    name, *options = spec.items()
    return " ".join([name[1], *(f"{key} {value}" for key, value in options)])


GIVEN: dict[str, dict[str, Any]] = {
    "multi_token": {"tokens": 2},
    "ladder": {"rungs": [0]},
    "joint_multi_token": {"tokens": 2},
    "next_latent": {"horizon": 1},
    "sequential_modules": {"modules": 1},
    "latent_lookahead": {"steps": 2},
    "latent_tokens": {"tokens": 2},
}
"""Options that have no default, by objective."""

OBJECTIVES = {
    label(spec): spec
    for kind in of_the_library(Objective).values()
    for spec in variants(kind, **GIVEN.get(kind.name, {}))
}
"""All registered objectives with all their options, as a `Run` takes them."""


def attention_of(spec: dict[str, Any]) -> str:
    """The attention that an objective needs."""
    kind = Objective.named(spec["name"])
    return kind.needs(
        9, 4, **kind.options() | {name: value for name, value in spec.items() if name != "name"}
    ).attention


CAUSAL = {name: spec for name, spec in OBJECTIVES.items() if attention_of(spec) == "causal"}
"""Those for models that look back alone, too."""

MODELS = [next(iter(kind.presets)) for kind in of_the_library(Model).values()]
"""The first preset, which is the smallest, of every registered model."""

MODEL_VARIANTS = {
    label(spec): spec
    for kind in of_the_library(Model).values()
    for spec in variants(kind, **next(iter(kind.presets.values())))
}
"""Every registered model at the sizes of its first preset, with all its other options."""

assert not any(inspect.isabstract(kind) for base in (Objective, Model) for kind in of_the_library(base).values())
