"""Why can teacher-forced next-token training fail to learn a task that is easy to learn?

The library under the book. What is named here is the public surface; names load what they need on
first use, so that a chapter can choose instruction set and threads before torch is loaded.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lookahead.contracts import Loss, Model, Needs, Objective, Task
    from lookahead.errors import CannotContinue, LookaheadError
    from lookahead.evaluation import across_seeds, evaluate, gradient_signal, proportion, time_to_success
    from lookahead.experiments.seeds import Seeds, stored
    from lookahead.models import Mamba, Mamba2, Transformer
    from lookahead.objectives import Hints, Reversed, TeacherForcing, Teacherless
    from lookahead.runs.harness import run, run_stacked
    from lookahead.runs.parquet import pack, read_packed
    from lookahead.runs.result import Result, steps_to_success, trained
    from lookahead.runs.run import Run
    from lookahead.tasks import PathStar

__version__ = "0.1.0"

_HOME = {
    "lookahead.contracts": ("Loss", "Model", "Needs", "Objective", "Task"),
    "lookahead.errors": ("CannotContinue", "LookaheadError"),
    "lookahead.evaluation": ("across_seeds", "evaluate", "gradient_signal", "proportion", "time_to_success"),
    "lookahead.experiments.seeds": ("Seeds", "stored"),
    "lookahead.runs.harness": ("run", "run_stacked"),
    "lookahead.models": ("Mamba", "Mamba2", "Transformer"),
    "lookahead.objectives": ("Hints", "Reversed", "TeacherForcing", "Teacherless"),
    "lookahead.runs.parquet": ("pack", "read_packed"),
    "lookahead.runs.result": ("Result", "steps_to_success", "trained"),
    "lookahead.runs.run": ("Run",),
    "lookahead.tasks": ("PathStar",),
}
_WHERE = {name: module for module, names in _HOME.items() for name in names}
__all__ = [  # noqa: PLE0604
    "CannotContinue", "Hints", "LookaheadError", "Loss", "Mamba", "Mamba2", "Model", "Needs", "Objective",
    "PathStar", "Result", "Reversed", "Run", "Seeds", "Task", "TeacherForcing", "Teacherless", "Transformer",
    "across_seeds", "evaluate", "gradient_signal", "pack", "proportion", "read_packed", "run", "run_stacked",
    "steps_to_success", "stored", "time_to_success", "trained",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'lookahead' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
