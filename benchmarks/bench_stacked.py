"""How many runs an hour, one after another and S at once: python benchmarks/bench_stacked.py results/gpu-stacked.json

For the tiny Transformer on G(2,4), 600 steps of 128 examples: a step of S members beside a step of one alone, in
turns; and whole calls of `run_all`, with building, replaying, compiling, measuring and storing. `--quick` runs it
small, on a CPU too; there seconds are processor time.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from bench_step import command
from lookahead.machine import device_name
from lookahead.runs.harness import run_all
from lookahead.runs.result import Result
from lookahead.runs.run import Run
from lookahead.tables import columns
from lookahead.tasks import PathStar
from lookahead.training.stacked import StackedStep
from lookahead.training.step import Step

MEMBERS = (1, 8, 64, 256)


def runs_of(count: int, **fields: Any) -> list[Run]:
    """Runs that differ in their seed."""
    return [Run(task=PathStar(2, 4, 10), seed=seed, learning_rate=1e-3, **fields) for seed in range(count)]


def clock(device: torch.device) -> float:
    """Seconds: of the processor on a CPU, so that what else the machine does changes it little."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def side_by_side(
    works: Sequence[Callable[[int], object]], device: torch.device, calls: int, rounds: int
) -> list[float]:
    """Seconds of one call of each, the median of rounds in which they take turns; each is told the call's number."""
    numbers = [iter(range(10**9)) for _ in works]
    for work, number in zip(works, numbers, strict=True):
        for _ in range(5):  # what is compiled and captured is so by then
            work(next(number))
    found: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for work, number, mine in zip(works, numbers, found, strict=True):
            begun = clock(device)
            for _ in range(calls):
                work(next(number))
            mine.append((clock(device) - begun) / calls)
    return [statistics.median(mine) for mine in found]


def step_times(count: int, device: torch.device, calls: int, rounds: int, **fields: Any) -> tuple[float, float]:
    """Seconds of a step of one run alone, and of one of `count` members at once."""
    runs = runs_of(count, steps=10**6, **fields)
    task, objective = runs[0].build()
    alone = Step(objective.to(device), task, runs[0], 0)
    built = [run.build() for run in runs]
    objectives, tasks = [objective for _, objective in built], [task for task, _ in built]
    together = StackedStep(objectives, tasks, runs[0], [run.seed for run in runs], device)
    one, many = side_by_side([alone, together], device, calls, rounds)
    return one, many


def whole(count: int, device: torch.device, **fields: Any) -> dict[str, Any]:
    """One call of `run_all` into an empty store."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(LOOKAHEAD_RESULTS=folder, LOOKAHEAD_PROGRESS="")
        begun = clock(device)
        results = run_all(runs_of(count, **fields), device=device.type)
        took = clock(device) - begun
    for result in results:
        if isinstance(result, Exception):
            raise result
    good = [result for result in results if isinstance(result, Result)]
    return {
        "seconds": took,
        "seconds_training": sum(result.manifest["seconds"] for result in good),
        "runs_an_hour": 3600 * count / took,
        "accuracy": statistics.mean(result.measures["autoregressive_accuracy"] for result in good),
    }


def measure(quick: bool) -> dict[str, Any]:
    """All of it, as plain data; prints a table as it goes."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    fields: dict[str, Any] = {"steps": 10, "batch_size": 16, "evaluate_every": 5} if quick else {"steps": 600}
    calls, rounds = (2, 2) if quick else (20, 5)
    told: dict[str, Any] = {"device": device_name(device), "torch": torch.__version__, **fields, "members": []}
    for count in (1, 4) if quick else MEMBERS:
        more = {key: value for key, value in fields.items() if key == "batch_size"}
        one, many = step_times(count, device, calls, rounds, **more)
        row = {"members": count, "seconds_alone": one, "seconds_together": many, **whole(count, device, **fields)}
        told["members"].append(row)
        print(table(told), flush=True)
    return told


def table(told: dict[str, Any]) -> str:
    """The measurements in columns; `gain`: S steps one after another, over one of S at once."""
    head = ["S", "ms a step alone", "ms a step of S", "gain", "s a whole call", "s of it training", "runs an hour"]
    rows = [
        [
            str(row["members"]),
            f"{1e3 * row['seconds_alone']:.2f}",
            f"{1e3 * row['seconds_together']:.2f}",
            f"{row['members'] * row['seconds_alone'] / row['seconds_together']:.2f}",
            f"{row['seconds']:.1f}",
            f"{row['seconds_training']:.1f}",
            f"{row['runs_an_hour']:.0f}",
        ]
        for row in told["members"]
    ]
    return f"{told['device']}, torch {told['torch']}, {told['steps']} steps\n{columns(head, rows)}"


if __name__ == "__main__":
    command(measure, __doc__)
