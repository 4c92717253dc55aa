"""Whether a stored result is what today's code would give.

The code may change in ways that change nothing. So a result keeps the losses of a tiny replay of its run.
A stamp over the code that made it says when to replay: where the losses agree, the result is current.
"""

import ast
import functools
import hashlib
import importlib.util
import math
from pathlib import Path

import torch

from lookahead.contracts import Model, Objective, Task
from lookahead.runs import Run
from lookahead.training.optimizers import Optimizers

REPLAY_STEPS, REPLAY_BATCH = 3, 8
REPLAY_TOLERANCE = 1e-4
"""Relative. CPUs differ in the last digits of a float32; another model, loss or data differs in the first ones."""


def stamp(run: Run) -> str:
    """A hash of the syntax of all code a run goes through; comments and docstrings do not count."""
    roots = [Task.named(run.task["name"]), Model.named(run.model["name"]), Objective.named(run.objective["name"])]  # type: ignore[index]
    modules = {kind.__module__ for kind in roots} | {"lookahead.training.loop"}
    digest = hashlib.sha256()
    for name in sorted(_with_imports(frozenset(modules))):
        digest.update(_syntax(name).encode())
    return digest.hexdigest()[:16]


def replay(run: Run) -> list[float]:
    """The losses of the run's first steps in miniature: 3 steps, batch 8, CPU, float32."""
    task, objective = run.build()
    optimizers = Optimizers(objective, run)
    losses = []
    for step in range(REPLAY_STEPS):
        prompts, answers = task.sample("train", torch.arange(step * REPLAY_BATCH, (step + 1) * REPLAY_BATCH))
        loss = objective(prompts, answers, progress=torch.tensor(step / run.steps)).total
        loss.backward()
        optimizers.step(run.rate(step))
        losses.append(loss.item())
    return losses


@functools.cache
def _replay_of(config: str) -> list[float]:
    return replay(Run.from_json(config))


def is_current(run: Run, stamped: str, replayed: list[float]) -> bool:
    """Whether a result with this stamp and these replayed losses is what today's code would give."""
    if stamped == stamp(run):
        return True
    now = _replay_of(run.to_json())
    return len(now) == len(replayed) and all(
        math.isclose(a, b, rel_tol=REPLAY_TOLERANCE) for a, b in zip(now, replayed, strict=True)
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
    return frozenset(found)


@functools.cache
def _tree(module: str) -> ast.Module:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:  # defined in a notebook: its code is not in a file
        return ast.Module(body=[], type_ignores=[])
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


@functools.cache
def _syntax(module: str) -> str:
    """The module's syntax tree without docstrings, as text."""
    tree = _tree(module)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [s for s in body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]  # type: ignore[attr-defined]
    return ast.dump(tree)
