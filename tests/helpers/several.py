"""What the processes do in the tests of training by several."""

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from lookahead.errors import LookaheadError
from lookahead.runs.run import Run
from lookahead.training.checkpoints import save
from lookahead.training.distributed import SharedStep, Team
from lookahead.training.step import Step

PATH_STAR = {"name": "path_star", "degree": 2, "path_length": 3, "num_nodes": 10}
TINY = {"name": "transformer", "layers": 1, "width": 16, "heads": 2}
STEPS = 6
CASES: dict[str, dict[str, Any]] = {
    "an odd batch, Muon": {"optimizer": "muon", "batch_size": 7},
    "out of memory": {"batch_size": 9},
    "noise and a small training set": {"objective": "masked", "batch_size": 5, "train_examples": 8},
    "answers of different length": {"task": "G(2,3-5)", "batch_size": 5, "clip": None},
}
"""What differs from a plain run of six steps, by name."""


def run_of(case: str) -> Run:
    """The run of a case."""
    return Run(**{"task": PATH_STAR, "model": TINY, "steps": STEPS, "warmup": 2, "learning_rate": 1e-2, **CASES[case]})


def in_double(case: str, make: Any) -> Step:
    """The step of a case, in float64."""
    run = run_of(case)
    task, objective = run.build()
    return make(objective.double(), task, run, run.seed)


def train_cases(team: Team, folder: Path) -> None:
    """Trains every case, adds up gradients, and writes what came of it into files; then the second process fails."""
    for number, case in enumerate(CASES):
        step = in_double(case, lambda *arguments: SharedStep(team, *arguments))
        if case == "out of memory" and team.rank == 1:
            step.teach = refusing_more_than(2, step.teach)
        if team.rank == 1:
            with torch.no_grad():  # what process 0 has counts
                for weight in step.trained:
                    weight.zero_()
            step.follow()
            continue
        with team.leading():
            losses = torch.cat([step(k) for k in range(STEPS)])
        save(folder / f"{number}", {"losses": losses, **step.checkpoints([0])[0]}, {"parts": step.parts})
    weights = [torch.nn.Parameter(torch.zeros(2)) for _ in range(3)]
    weights[0].grad = torch.full((2,), 1.0 + team.rank)
    weights[1].grad = torch.ones(2) if team.rank else None
    loss = torch.tensor(0.25 + team.rank)
    team.add_up(loss, weights)
    if team.rank == 0:
        sums = {f"{number}": weight.grad for number, weight in enumerate(weights) if weight.grad is not None}
        save(folder / "sums", {"loss": loss, **sums}, {})
    if team.rank == 1:
        raise LookaheadError("the second process has had enough")
    distributed.barrier(team.side)


def refusing_more_than(rows: int, teach: Any) -> Any:
    """A GPU that has no memory for more rows at once."""

    def refusing(objective: Any, prompts: Any, *rest: Any) -> Any:
        if len(prompts) > rows:
            raise torch.OutOfMemoryError("no memory")
        return teach(objective, prompts, *rest)

    return refusing


def stops_the_caller(run: Run, row: dict[str, Any]) -> None:
    """At step 4 the process that started this one gets SIGTERM, and passes it on."""
    if row["step"] != 4:
        return
    heard, before = [], signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, lambda *arguments: (heard.append(1), before(*arguments)))  # type: ignore[operator]
    os.kill(os.getppid(), signal.SIGTERM)
    with contextlib.suppress(IndexError):
        for _ in range(6000):
            if heard:
                return
            time.sleep(0.01)
    raise TimeoutError("no signal came")
