"""Whether a stored result is what today's code would give.

The code may change in ways that change nothing. So a result keeps the losses of a tiny replay of its run.
A stamp over the code that made it says when to replay: where the losses agree, the result is current.
"""

import ast
import dataclasses
import functools
import hashlib
import importlib.util
import marshal
import math
from collections.abc import Sequence
from pathlib import Path

import torch

from lookahead.contracts import Model, Objective, Task
from lookahead.runs.run import Run
from lookahead.stack import Template
from lookahead.training.stacked_step import StackedOptimizers, StackedStep
from lookahead.training.step import Step

REPLAY_STEPS, WARM_STEPS, REPLAY_BATCH = 6, 3, 8
"""The first of the steps are the run's own, in its warm-up; the others at the full rate, where the optimiser tells.
(Results from before there were others have the first alone.)"""
REPLAY_TOLERANCE = 1e-4
"""Relative. CPUs differ in the last digits of a float32; another model, loss or data differs in the first ones."""


def stamp(run: Run) -> str:
    """A hash of the syntax of all code a run goes through; comments and docstrings do not count."""
    roots = [Task.named(run.task["name"]), Model.named(run.model["name"]), Objective.named(run.objective["name"])]  # type: ignore[index]
    modules = {kind.__module__ for kind in roots if _file(kind.__module__)} | {"lookahead.training.loop"}
    digest = hashlib.sha256()
    for name in sorted(_with_imports(frozenset(modules))):
        digest.update(_syntax(name).encode())
    for kind in roots:
        if not _file(kind.__module__):
            digest.update(_compiled(kind))
    return digest.hexdigest()[:16]


def replay(runs: Sequence[Run], at_once: int = 32) -> list[list[float]]:
    """The losses of the runs' first steps in miniature: batch 8, CPU, float32, no clipping in the warm-up.

    Several runs are replayed as one, `at_once` at a time, so they must be such as can be trained as one (see
    `lookahead.training.stacked`); in a float32's last digits that differs from a run alone.

    Raises:
        LookaheadError: several that cannot be trained as one.
    """
    found: list[list[float]] = []
    for first in range(0, len(runs), at_once):
        some = runs[first : first + at_once]
        found += torch.stack(_losses(_step(some), some[0])).reshape(REPLAY_STEPS, -1).T.tolist()
    return found


def _step(runs: Sequence[Run]) -> Step:
    """A step of one run, or of several as one, on the CPU."""
    tasks, objectives = zip(*(run.build() for run in runs), strict=True)
    if len(runs) == 1:
        return Step(objectives[0], tasks[0], runs[0], runs[0].seed, engine="eager")
    optimizers = StackedOptimizers(objectives, runs, torch.device("cpu"))
    return StackedStep(Template(objectives[0]), tasks, runs[0], [r.seed for r in runs], optimizers, engine="eager")


def _losses(step: Step, run: Run) -> list[torch.Tensor]:
    """The losses of a step's replay."""
    losses = []
    for k in range(REPLAY_STEPS):
        step.settings = dataclasses.replace(run, precision="float32", clip=None if k < WARM_STEPS else run.clip)
        places = torch.arange(k * REPLAY_BATCH, (k + 1) * REPLAY_BATCH)
        step.optimizers.set_rate(run.rate(k) if k < WARM_STEPS else 1.0)
        indices = places[None] if isinstance(step, StackedStep) else places
        losses.append(step.update(indices, places, torch.tensor(k / run.steps)))
    return losses


@functools.cache
def _replay_of(config: str, stamped: str) -> list[float]:
    """The replay by the code with that stamp, which is today's: in a notebook it may change under way."""
    return replay([Run.from_json(config)])[0]


def is_current(run: Run, stamped: str, replayed: list[float]) -> bool:
    """Whether a result with this stamp and these replayed losses is what today's code would give."""
    today = stamp(run)
    if stamped == today:
        return True
    try:
        now = _replay_of(run.to_json(), today)
    except Exception:  # today's code cannot even begin it
        return False
    return len(replayed) in (WARM_STEPS, REPLAY_STEPS) and all(
        math.isclose(a, b, rel_tol=REPLAY_TOLERANCE) for a, b in zip(now, replayed, strict=False)
    )


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
