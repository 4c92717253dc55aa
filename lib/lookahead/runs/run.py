"""One frozen configuration, and what it builds."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

import lookahead.models
import lookahead.objectives
import lookahead.tasks  # noqa: F401 (the three register what they hold)
from lookahead.contracts import RESERVED_TOKENS, Model, Objective, Task
from lookahead.errors import LookaheadError, shown
from lookahead.kinds import Seed
from lookahead.registry import REQUIRED, Named
from lookahead.training.settings import Settings

KINDS: dict[str, type[Named]] = {"task": Task, "model": Model, "objective": Objective}


def checked(run: Any) -> Run:
    """The run, unless something else was given as one.

    Raises:
        LookaheadError: it was.
    """
    if isinstance(run, Run):
        return run
    raise LookaheadError(f"a run is a Run(...), or its fields by keyword as in run(task=..., seed=1); not {shown(run)}")


@dataclass(frozen=True, kw_only=True)
class Run(Settings):
    """What determines the weights: task, model, objective, the settings of the training, the seed.

    `task`, `model` and `objective` are given by name, as a mapping with a name and options, or (the task)
    as an object; task and model also by the name of a preset. Of a task that is an object neither its own seed counts
    (the run's does) nor a file that it was read from. Where and how it ran is not in here.

        Run(task=PathStar(2, 4, 10), model="tiny", objective="reversed", steps=1000, seed=1)

    Raises:
        LookaheadError: an unknown name, option or value, or sizes that cannot be.
    """

    task: Mapping[str, Any] | Task | str
    model: Mapping[str, Any] | str = "tiny"
    objective: Mapping[str, Any] | str = "teacher_forcing"
    seed: Seed = 0
    start_from: str | None = None
    """The id of a run whose final weights it starts from."""
    id: str = field(init=False, repr=False, compare=False)
    """Twelve hexadecimal digits; a hash of `config`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start_from is not None and not re.fullmatch("[0-9a-f]{12}", self.start_from):
            raise LookaheadError(f"start_from is the id of a run, such as 9bcb11b61904; not {shown(self.start_from)}")
        for kind, base in KINDS.items():
            object.__setattr__(self, kind, _spec(base, getattr(self, kind)))
        try:
            text = json.dumps(self.config, sort_keys=True, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise LookaheadError(f"a run is made of finite numbers, text, true, false and None ({error})") from error
        object.__setattr__(self, "id", hashlib.sha256(text.encode()).hexdigest()[:12])
        task = self.build_task()
        if self.judged_by == "decision_accuracy" and not task.decision_known:
            raise LookaheadError(
                f"nobody knows which answer token is the decision of {task.title}: judged_by is autoregressive_accuracy"
            )

    @property
    def config(self) -> dict[str, Any]:
        """As plain data; what stands at its default is left out, so that a new field changes no id."""
        data: dict[str, Any] = {}
        for item in dataclasses.fields(self):
            if item.name in KINDS:
                spec = dict(getattr(self, item.name))
                defaults = KINDS[item.name].named(spec["name"]).options()
                data[item.name] = {k: v for k, v in spec.items() if k == "name" or v != defaults[k]}
            elif item.init and (value := getattr(self, item.name)) != item.default:
                data[item.name] = _number(value)
        return data

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Run:
        """From plain data, as `config` gives it.

        Raises:
            LookaheadError: an unknown key; the message lists the known ones.
        """
        known = [item.name for item in dataclasses.fields(cls) if item.init]
        if unknown := [str(key) for key in config if key not in known]:
            raise LookaheadError(f"unknown in a run: {', '.join(unknown)}; known: {', '.join(sorted(known))}")
        if "task" not in config:
            raise LookaheadError("a run needs a task")
        return cls(**config)

    def to_json(self) -> str:
        """The configuration as JSON; `from_json` gives the same run back."""
        return json.dumps(self.config, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Run:
        """The run that `to_json` wrote."""
        try:
            config = json.loads(text)
        except ValueError as error:
            raise LookaheadError(f"no JSON: {error}") from error
        if not isinstance(config, dict):
            raise LookaheadError(f"a run is a JSON object, not {shown(text)}")
        return cls.of(config)

    def build_task(self) -> Task:
        """The task, its data drawn by the run's seed."""
        options = {k: v for k, v in self.task.items() if k != "name"}  # type: ignore[union-attr]
        return Task.named(self.task["name"])(**options, seed=self.seed)  # type: ignore[index]

    def build(self) -> tuple[Task, Objective]:
        """Task and freshly initialised objective, on the CPU: the same on every machine."""
        task = self.build_task()
        return task, taught_on(task, self.model, self.objective, self.seed)


def taught_on(task: Task, model: Any, objective: Any, seed: int) -> Objective:
    """A freshly initialised objective with its model, on the CPU: the same on every machine.

    Args:
        model, objective: as in a `Run`.

    Raises:
        LookaheadError: an unknown name, option or value, or an objective that the model cannot serve.
    """
    asked, sizes = _spec(Objective, objective), _spec(Model, model)
    kind, model_kind = Objective.named(asked.pop("name")), Model.named(sizes.pop("name"))
    needs = kind.needs(task.prompt_length, task.answer_length, **asked)
    if needs.extra_tokens > len(RESERVED_TOKENS):
        raise LookaheadError(
            f"{kind.name} needs {needs.extra_tokens} extra tokens; {len(RESERVED_TOKENS)} are reserved"
        )
    if needs.attention not in model_kind.attentions:
        raise LookaheadError(f"{kind.name} needs {needs.attention} attention, which a {model_kind.name} cannot do")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        built = model_kind(vocab_size=task.vocab_size + len(RESERVED_TOKENS), longest=needs.longest, **sizes)
        taught = kind(built, task, **asked)
    taught.noise_per_token = needs.noise
    return taught


def _number(value: Any) -> Any:
    """2.0 and 2 are one number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _spec(base: type[Named], given: Any) -> dict[str, Any]:
    """A name and all its options, defaults filled in, checked."""
    kind = base.__name__.lower()
    if isinstance(given, base):
        options = {name: getattr(given, name) for name in given.options()}
        given = {"name": given.name, **options}
    if isinstance(given, str):
        given = find_preset(base, given)
    if not isinstance(given, Mapping) or "name" not in given:
        article = "an" if kind == "objective" else "a"
        raise LookaheadError(f"{article} {kind} is given by its name or as a mapping with a name, not {shown(given)}")
    found = base.named(given["name"])
    allowed = found.options()
    if unknown := [str(key) for key in given if key != "name" and key not in allowed]:
        raise LookaheadError(
            f"unknown option of {kind} {found.name!r}: {', '.join(unknown)}; known: {', '.join(allowed) or 'none'}"
        )
    options = found.checked(**{key: value for key, value in given.items() if key != "name"})
    spec = {"name": found.name, **allowed, **{key: _number(value) for key, value in options.items()}}
    if missing := [key for key, value in spec.items() if value is REQUIRED]:
        raise LookaheadError(f"{kind} {found.name!r} needs {', '.join(missing)}")
    return spec


def find_preset(base: type[Named], name: str) -> dict[str, Any]:
    """A mapping with a name and options, from the name of a preset or of a class.

    Raises:
        LookaheadError: no such name; the message lists those there are.
    """
    presets = {}
    for found in base.known.values():
        presets |= {
            preset: {"name": found.name, **options} for preset, options in vars(found).get("presets", {}).items()
        }
    if name not in presets and name not in base.known:
        known = ", ".join(repr(one) if "," in one else one for one in sorted({*presets, *base.known}))
        raise LookaheadError(f"unknown {base.__name__.lower()} {name!r}; known: {known}")
    return presets.get(name, {"name": name})
