"""Everything that the library registers, for tests of the contracts: whatever is new is tested by itself."""

import inspect
import itertools
import typing
from typing import Any

import checkpoints
import lookahead.models
import lookahead.objectives
import lookahead.tasks  # noqa: F401 (the three register what they hold)
import own_file
from lookahead.contracts import Model, Objective, Task
from lookahead.registry import REQUIRED, Named
from lookahead.runs.run import find_preset


def of_the_library(base: type[Named]) -> dict[str, type[Any]]:
    """Registered classes by name, without those that tests have defined."""
    return {name: kind for name, kind in base.known.items() if kind.__module__.startswith("lookahead.")}


def variants(kind: type[Named], **given: Any) -> list[dict[str, Any]]:
    """Every combination of a class's options that are true or false or one of some words; those that are given as they
    are given, others at their default."""
    hints = typing.get_type_hints(kind.__init__)
    choices: dict[str, tuple[Any, ...]] = {}
    for name, default in kind.options().items():
        if name in given:
            continue
        if hints.get(name) is bool:
            choices[name] = (True, False)
        elif typing.get_origin(hints.get(name)) is typing.Literal:
            choices[name] = typing.get_args(hints[name])
        else:
            assert default is not REQUIRED, f"{kind.__name__} needs {name}: say in GIVEN what to test it with"
    combinations = itertools.product(*choices.values())
    return [{"name": kind.name, **given, **dict(zip(choices, values, strict=True))} for values in combinations]


def label(spec: dict[str, Any]) -> str:
    """A name for a test: the words of a specification; of a path the last one, for the folder differs by process."""
    name, *options = spec.items()
    return " ".join([name[1], *(f"{key} {str(value).rsplit('/', 1)[-1]}" for key, value in options)])


GIVEN: dict[str, dict[str, Any]] = {
    "multi_token": {"tokens": 2},
    "ladder": {"rungs": [0]},
    "joint_multi_token": {"tokens": 2},
    "next_latent": {"horizon": 1},
    "sequential_modules": {"modules": 1},
    "register_tokens": {"farthest": 3},
    "masked": {"hidden": "uniform"},  # the other way of drawing has tests of its own
    "latent_lookahead": {"steps": 2, "order": "forward"},  # backward has tests of its own
    "latent_tokens": {"tokens": 2},
    "policy_gradient": {"samples": 2, "advantage": "centred", "greedy": False},
}
"""Options that have no default or need no test of what all have in common, by objective."""

OBJECTIVES = {
    label(spec): spec
    for kind in of_the_library(Objective).values()
    for spec in variants(kind, **GIVEN.get(kind.name, {}))
}
"""All registered objectives with all their options, as a `Run` takes them."""

TASKS: dict[str, tuple[type[Task], dict[str, Any]]] = {
    preset: (kind, options) for kind in of_the_library(Task).values() for preset, options in kind.presets.items()
}
"""All registered tasks at each of their presets, by its name; those that are read from files with files made here."""
for _name, _options in {
    "sums": {"prompt_field": "question"},
    "copies": {"prompt_field": "question", "decision_at": 1},
}.items():
    TASKS[f"own_data of {_name}"] = (Task.named("own_data"), {"file": own_file.stored(_name), **_options})
TASKS["path_star_file"] = (
    Task.named("path_star_file"),
    {"file": own_file.graphs(), "degree": 2, "path_length": 4, "num_nodes": 20},
)
TASKS["mixed_lengths_file"] = (
    Task.named("mixed_lengths_file"),
    {"file": own_file.mixed_graphs(), "degree": 2, "shortest": 3, "longest": 5, "num_nodes": 20},
)

for _labels in ("words", "numerals"):
    TASKS[f"written_star in {_labels}"] = (
        Task.named("written_star"),
        {"degree": 2, "path_length": 4, "num_nodes": 20, "tokenizer": checkpoints.tokenizer(), "labels_are": _labels},
    )

PRETRAINED: list[dict[str, Any]] = [
    {"source": checkpoints.stored("gpt2"), "checkpointing": False},
    {"source": checkpoints.stored("gpt_neox"), "checkpointing": True},
]
"""Options of pretrained models, each with a checkpoint made here."""


def smallest(kind: type[Model]) -> str:
    """The first preset of a model."""
    assert kind.presets, f"{kind.__name__} needs a preset, its smallest first: that is what it is tested at"
    return next(iter(kind.presets))


MODELS = [smallest(kind) for kind in of_the_library(Model).values() if kind.name != "pretrained"]
"""The first preset, which is the smallest, of every registered model but those that lie on a hub."""

MODEL_VARIANTS = {
    label(spec): spec
    for kind in of_the_library(Model).values()
    for sizes in (PRETRAINED if kind.name == "pretrained" else [kind.presets[smallest(kind)]])
    for spec in variants(kind, **sizes)
}
"""Every registered model at the sizes of its first preset, with all its other options; pretrained ones from folders."""


def fits(model: str, objective: dict[str, Any]) -> bool:
    """Whether a model, by its name or a preset's, has the attention that an objective needs."""
    kind = Objective.named(objective["name"])
    options = kind.options() | {name: value for name, value in objective.items() if name != "name"}
    return kind.needs(9, 4, **options).attention in Model.named(find_preset(Model, model)["name"]).attentions


assert not any(inspect.isabstract(kind) for base in (Objective, Model) for kind in of_the_library(base).values())
