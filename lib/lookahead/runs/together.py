"""One run, trained by several processes together."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from functools import partial
from multiprocessing.reduction import ForkingPickler
from typing import Any

import torch

from lookahead.errors import LookaheadError
from lookahead.runs.harness import current_result, run_all
from lookahead.runs.result import Result, read_result
from lookahead.runs.run import KINDS, Run
from lookahead.training.distributed import SharedStep, Team, check_shared, launch


def run_together(configs: Sequence[Run], processes: int, device: torch.device, how: dict[str, Any]) -> Any:
    """As `run_all` of one run, by several processes: its result, or the LookaheadError that ended it.

    Args:
        device: its kind, "cpu" or "cuda".
        how: what `run_all` takes beside.

    Raises:
        LookaheadError: several runs, or what cannot be sent to another process; as `launch`.
    """
    if len(configs) > 1:
        raise LookaheadError(f"{processes} processes train one run together, not {len(configs)} runs as one program")
    (config,) = configs
    check_shared(config, processes, how["engine"])
    if not how["again"] and (found := current_result(config)) is not None:
        return found
    try:
        ForkingPickler.dumps(how)
    except Exception as error:
        raise LookaheadError(
            f"probe and follow are called in another process: functions of a module can be sent there, no others "
            f"({error})"
        ) from error
    failed = launch(take_part, processes, device, config.to_json(), modules_of(config), how)
    return read_result(config) if failed is None else failed


def modules_of(config: Run) -> list[str]:
    """The modules of a run's task, model and objective, for another process to import; a script brings its own.

    Raises:
        LookaheadError: one cannot be imported by its name.
    """
    modules: list[str] = []
    for what, base in KINDS.items():
        kind = base.named(getattr(config, what)["name"])
        if kind.__module__ == "__main__":
            continue
        if kind.__module__ not in sys.modules:  # as of a file that was run by its path
            raise LookaheadError(
                f"another process cannot find the {what} {kind.name!r}: define it in a module that can be imported"
            )
        modules.append(kind.__module__)
    return modules


def take_part(team: Team, config: str, modules: Sequence[str], how: dict[str, Any]) -> Exception | None:
    """What one of the processes does: the first of them all that one alone would do, the others its steps.

    Returns:
        the LookaheadError that ended the run; None where its result is stored.
    """
    for module in modules:
        importlib.import_module(module)
    run = Run.from_json(config)
    if team.rank == 0:
        with team.leading():
            (outcome,) = run_all([run], device=str(team.device), make_step=partial(SharedStep, team), **how)
        return None if isinstance(outcome, Result) else outcome
    task, objective = run.build()
    SharedStep(team, objective.to(team.device), task, run, run.seed, how["engine"]).follow()
    return None
