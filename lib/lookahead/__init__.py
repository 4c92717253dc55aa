# ruff: noqa: F401
"""Why can teacher-forced next-token training fail to learn a task that is easy to learn?

The library under the book. What is named here is the public surface; names load what they need on
first use, so that a chapter can choose instruction set and threads before torch is loaded. All objectives, models and
tasks are in `lookahead.objectives`, `lookahead.models` and `lookahead.tasks`.
"""

import ast
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the one list of public names: type checkers run it, `_modules` reads it
    from lookahead.auditing.checkpoint import audit_checkpoint
    from lookahead.auditing.meter import audit
    from lookahead.auditing.report import Audit
    from lookahead.contracts import Loss, Model, Needs, Objective, Task
    from lookahead.errors import CannotContinue, LookaheadError
    from lookahead.evaluation.gradients import gradient_signal
    from lookahead.evaluation.measures import evaluate
    from lookahead.evaluation.probes import probe_rungs
    from lookahead.evaluation.statistics import (
        Interval,
        TimeToSuccess,
        across_seeds,
        fisher,
        proportion,
        time_to_success,
        trials,
    )
    from lookahead.experiments.seeds import Seeds, stored
    from lookahead.runs.harness import run
    from lookahead.runs.judging import Judged, evaluate_on
    from lookahead.runs.parquet import read_packed
    from lookahead.runs.result import Result, steps_to_success, trained
    from lookahead.runs.run import Run
    from lookahead.runs.tensorboard import TensorBoard
    from lookahead.runs.watch import watch
    from lookahead.tasks.own_data import OwnData
    from lookahead.tasks.path_star import PathStar
    from lookahead.tasks.path_star_file import PathStarFile

__version__ = "0.1.0"


def _modules() -> dict[str, str]:
    """Public names and the modules that they come from, as imported above for type checkers."""
    tree = ast.parse(Path(__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {item.name: str(node.module) for node in imports for item in node.names}


_MODULES = _modules()
__all__ = list(_MODULES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'lookahead' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
