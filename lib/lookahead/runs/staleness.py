"""Whether a stored result is what today's code would give.

The code may change in ways that change nothing. So a result keeps a record of a tiny replay of its run: losses,
measures, and how many examples it is measured on. A stamp over the code that made it says when to replay: where today's
record agrees, the result is current.
"""

import ast
import dataclasses
import functools
import hashlib
import importlib.util
import marshal
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from lookahead.contracts import Model, Objective, Task
from lookahead.evaluation.measures import Measures, evaluate, evaluate_each
from lookahead.runs import examples
from lookahead.runs.known_answers import KnownAnswers
from lookahead.runs.run import Run
from lookahead.runs.sealed import without_nan
from lookahead.training.loop import train
from lookahead.training.stacked import StackedStep
from lookahead.training.step import Step

REPLAY_STEPS, WARM_STEPS, REPLAY_BATCH = 6, 3, 8
"""The first of the steps are the run's own, in its warm-up; the others at the full rate, where the optimiser tells.
(Results from before there were others have the first alone.)"""
REPLAY_EXAMPLES = 16
"""On so many validation examples the replayed network is measured."""
REPLAY_TOLERANCE = 1e-4
"""Relative. CPUs differ in the last digits of a float32; another model, loss or data differs in the first ones."""
MEASURE_TOLERANCE = 1e-3
"""Relative, of the measured loss and its parts, which come after all steps."""
FLIPPED = 1 / REPLAY_EXAMPLES
"""A measured share may differ by one example: between two logits that are nearly equal the last digits decide."""

Replay = dict[str, Any]
"""What a replay found, as plain JSON (None for NaN):

`losses` of the `REPLAY_STEPS`; `measures` of the network after them; `known`, the measures of `KnownAnswers`;
`constants` of `runs.examples`; `stacked`, whether it went through the step of a stack."""


def stamp(run: Run) -> str:
    """A hash of the syntax of all code a run goes through, alone or stacked; comments and docstrings do not count."""
    kinds = [Task.named(run.task["name"]), Model.named(run.model["name"]), Objective.named(run.objective["name"])]  # type: ignore[index]
    roots = {kind.__module__ for kind in kinds if _file(kind.__module__)}
    roots |= {train.__module__, evaluate.__module__, examples.__name__}
    digest = _hashed(roots)
    for kind in kinds:
        if not _file(kind.__module__):
            digest.update(_compiled(kind))
    return digest.hexdigest()[:16]


def stamp_of(modules: Iterable[str]) -> str:
    """A hash of the syntax of some modules and of all of this library that they import."""
    return _hashed(modules).hexdigest()[:16]


def _hashed(modules: Iterable[str]) -> Any:
    digest = hashlib.sha256()
    for name in sorted(_with_imports(frozenset(modules))):
        digest.update(_syntax(name).encode())
    return digest


def replay(runs: Sequence[Run], stacked: bool = False, at_once: int = 32) -> list[Replay]:
    """The first steps of each run in miniature: batch 8, CPU, float32, no clipping in the warm-up.

    Args:
        stacked: they are trained as one where their model can be stacked, and so they are replayed, `at_once` at a
            time; in a float32's last digits that differs from a run alone.

    Raises:
        LookaheadError: stacked runs that cannot be trained as one.
    """
    stacked = stacked and all(Model.named(run.model["name"]).stackable for run in runs)  # type: ignore[index]
    size = at_once if stacked else 1
    groups = [runs[first : first + size] for first in range(0, len(runs), size)]
    return [record for group in groups for record in _replay_group(group, stacked)]


def _replay_group(runs: Sequence[Run], stacked: bool) -> list[Replay]:
    """The replays of runs that are trained as one, or of one that is trained alone."""
    tasks, objectives = zip(*(run.build() for run in runs), strict=True)
    if stacked:
        step = StackedStep(objectives, tasks, runs[0], [run.seed for run in runs], engine="eager")
        losses = _losses(step, runs[0])
        measures = evaluate_each(step.template, step.state, tasks, "validation", REPLAY_EXAMPLES)
    else:
        losses = _losses(Step(objectives[0], tasks[0], runs[0], runs[0].seed, engine="eager"), runs[0])
        measures = [evaluate(objectives[0], tasks[0], "validation", REPLAY_EXAMPLES)]
    members = zip(losses.unbind(1), measures, tasks, objectives, strict=True)
    return [_record(*member, stacked) for member in members]


def _losses(step: Step, run: Run) -> torch.Tensor:
    """The losses of a step's replay, [REPLAY_STEPS, S]."""
    losses = []
    for k in range(REPLAY_STEPS):
        step.settings = dataclasses.replace(run, precision="float32", clip=None if k < WARM_STEPS else run.clip)
        places = torch.arange(k * REPLAY_BATCH, (k + 1) * REPLAY_BATCH)
        step.optimizers.set_rate(run.rate(k) if k < WARM_STEPS else 1.0)
        indices = places[None] if isinstance(step, StackedStep) else places
        losses.append(step.update(indices, places, torch.tensor(k / run.steps)))
    return torch.stack(losses).reshape(REPLAY_STEPS, -1)


def _record(losses: torch.Tensor, measures: Measures, task: Task, objective: Objective, stacked: bool) -> Replay:
    """The record of one run."""
    known = KnownAnswers(objective.model, task, "validation", REPLAY_EXAMPLES)
    return without_nan(
        {
            "losses": losses.tolist(),
            "measures": measures,
            "known": evaluate(known, task, "validation", REPLAY_EXAMPLES, batch_size=REPLAY_EXAMPLES),
            "constants": {name: value for name, value in vars(examples).items() if name.isupper()},
            "stacked": stacked,
        }
    )


def replay_today(run: Run, stacked: bool) -> Replay:
    """The replay by today's code: of a stacked run in a stack of two, with that of the next seed."""
    return _replay_by(run.to_json(), stacked, stamp(run))


@functools.cache
def _replay_by(config: str, stacked: bool, stamped: str) -> Replay:
    """The replay by the code with that stamp, which is today's: in a notebook it may change under way."""
    run = Run.from_json(config)
    return replay([run, dataclasses.replace(run, seed=run.seed + 1)] if stacked else [run], stacked)[0]


def is_current(run: Run, stamped: str, replayed: Replay | list[float]) -> bool:
    """Whether a result with this stamp and this replay is what today's code would give.

    What earlier code stored has losses alone, in a list, and is judged by them.
    """
    if stamped == stamp(run):
        return True
    try:
        now = replay_today(run, stacked=isinstance(replayed, dict) and replayed["stacked"])
        return _agrees(now, replayed)
    except Exception:  # today's code cannot even begin it, or what is stored is no replay
        return False


def _agrees(now: Replay, replayed: Replay | list[float]) -> bool:
    """Whether today's replay is what was stored."""
    if isinstance(replayed, list):
        return len(replayed) in (WARM_STEPS, REPLAY_STEPS) and _same_losses(now["losses"][: len(replayed)], replayed)
    return (
        _same_losses(now["losses"], replayed["losses"])
        and _same_measures(now["measures"], replayed["measures"])
        and all({**now[part], **replayed[part]} == now[part] for part in ("known", "constants"))
    )


def _same_losses(now: Sequence[float | None], then: Sequence[float | None]) -> bool:
    """Whether the losses agree; what is no number agrees with nothing."""
    return len(now) == len(then) and all(
        a is not None and b is not None and math.isclose(a, b, rel_tol=REPLAY_TOLERANCE)
        for a, b in zip(now, then, strict=True)
    )


def _same_measures(now: Measures, then: Measures) -> bool:
    """Whether every measure of then is what it was; a measure that is new since makes nothing that is stored wrong."""
    return all(name in now and _same_measure(now[name], value, name) for name, value in then.items())


def _same_measure(now: Any, then: Any, name: str) -> bool:
    """Whether a measure, or a part of it, agrees: the loss and its parts nearly, a share but for one example."""
    if isinstance(now, dict) and isinstance(then, dict):
        return now.keys() == then.keys() and all(_same_measure(now[part], then[part], name) for part in then)
    if isinstance(now, list) and isinstance(then, list):
        return len(now) == len(then) and all(_same_measure(a, b, name) for a, b in zip(now, then, strict=True))
    if not isinstance(now, int | float) or not isinstance(then, int | float):
        return now is None and then is None
    if name in ("loss", "parts"):
        return math.isclose(now, then, rel_tol=MEASURE_TOLERANCE)
    return abs(now - then) <= FLIPPED


@functools.cache
def _with_imports(modules: frozenset[str]) -> frozenset[str]:
    """The modules and all of this library that they import, directly or not."""
    found, waiting = set(), list(modules)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for node in ast.walk(_tree(name)):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("lookahead."):
                waiting.append(node.module)
            elif isinstance(node, ast.Import):
                waiting += [item.name for item in node.names if item.name.startswith("lookahead.")]
    return frozenset(found)


@functools.cache
def _file(module: str) -> Path | None:
    """Where a module's code is; None if it is in no file, as in a notebook."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # a notebook is a `__main__` without a spec
        return None
    return Path(spec.origin) if spec is not None and spec.origin is not None else None


def _compiled(kind: type) -> bytes:
    """The bytecode of a class that is in no file: another cell, or another start of the kernel, is worth a replay."""
    parts = [getattr(part, "__func__", part) for _, part in sorted(vars(kind).items())]
    return b"".join(marshal.dumps(part.__code__) for part in parts if hasattr(part, "__code__"))


@functools.cache
def _tree(module: str) -> ast.Module:
    path = _file(module)
    return ast.Module(body=[], type_ignores=[]) if path is None else ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def _syntax(module: str) -> str:
    """The module's syntax tree without docstrings, as text."""
    return _written(_tree(module))


def _written(part: object) -> str:
    """A syntax tree, or a part of one, as text: the same in all versions of Python, unlike `ast.dump`.

    Empty fields are left out, since each version adds its own; so are docstrings, and the u of a string.
    """
    if isinstance(part, ast.AST):
        fields = [(name, value) for name, value in ast.iter_fields(part) if name != "kind"]
        if isinstance(part, ast.JoinedStr):  # Python 3.12 ends some with an empty constant
            fields = [("values", [v for v in part.values if not (isinstance(v, ast.Constant) and v.value == "")])]
        told = [f"{name}={_written(value)}" for name, value in fields if value is not None and value != []]
        return f"{type(part).__name__}({', '.join(told)})"
    if isinstance(part, list):
        return f"[{', '.join(_written(item) for item in part if not _is_text_alone(item))}]"
    return repr(part)


def _is_text_alone(part: object) -> bool:
    """Whether a statement is a constant, as a docstring is."""
    return isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)
