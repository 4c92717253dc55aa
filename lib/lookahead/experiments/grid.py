"""Where a grid stands: what is done, stale, failed, begun or missing, by the store alone."""

from __future__ import annotations

import contextlib
import datetime
import json
import statistics
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from lookahead.errors import Corrupt, LookaheadError
from lookahead.experiments.experiment import Experiment
from lookahead.experiments.fields import labels
from lookahead.files import make_folder, regular, set_aside, write_text
from lookahead.runs.parquet import read_pack, without_doubles
from lookahead.runs.result import Result, read_result, run_folder, store_folders
from lookahead.runs.run import Run
from lookahead.runs.sealed import check_seal, sealed
from lookahead.runs.staleness import stamp
from lookahead.training.checkpoints import Checkpoints
from lookahead.training.progress import wants_bar

State = Literal["done", "stale", "failed", "begun", "missing"]
STATES: tuple[State, ...] = ("done", "stale", "failed", "begun", "missing")


SILENCE = 2.0
"""Seconds that a look at a grid may take before it is said what it does."""


@dataclass(frozen=True)
class GridRun:
    """One run of a grid, and where it stands."""

    label: str
    run: Run
    state: State
    result: Result | None = None
    """What is stored, current or stale."""
    steps: int = 0
    """Done by the last checkpoint."""
    error: str | None = None
    """Why it failed."""

    @property
    def title(self) -> str:
        """The run in words."""
        return f"{self.label}, seed {self.run.seed}"


def grid_state(
    experiment: Experiment, profile: str, only: Sequence[str] = (), packed: dict[str, Result] | None = None
) -> list[GridRun]:
    """Every run of a grid with its state, in the grid's order.

    Args:
        only: keys that must all hold: the beginning of a run's id, a part of its label, or `seed=N`.
        packed: as from `packed_anywhere`, where it is known.

    Raises:
        LookaheadError: no such profile, or a key that no run answers to.
    """
    chosen = select(labelled(experiment, profile), only)
    if packed is None:
        packed = packed_anywhere()
    how = {"desc": "comparing with today's code", "unit": "run", "leave": False, "delay": SILENCE}
    shown = tqdm(chosen, **how, disable=not wants_bar())  # where the code has changed it takes a while
    return [look(label, run, packed) for label, run in shown]


def labelled(experiment: Experiment, profile: str) -> list[tuple[str, Run]]:
    """Every run of a grid with the label of its cell."""
    grid = list(experiment.runs(profile))
    return list(zip(labels(grid), grid, strict=True))


def select(grid: list[tuple[str, Run]], only: Sequence[str]) -> list[tuple[str, Run]]:
    """The runs that answer to every key.

    Raises:
        LookaheadError: a key that none answers to.
    """
    for key in only:
        kept = [(label, run) for label, run in grid if answers(key, label, run)]
        if not kept:
            seeds = sorted({run.seed for _, run in grid})
            labels = "; ".join(dict.fromkeys(label for label, _ in grid))
            known = f"an id's beginning, seed={seeds[0]} to seed={seeds[-1]}, or a part of a label: {labels}"
            raise LookaheadError(f"no run answers to {key!r}: take {known}")
        grid = kept
    return grid


def answers(key: str, label: str, run: Run) -> bool:
    """Whether a run is meant by a key."""
    if key.startswith("seed="):
        return key == f"seed={run.seed}"
    return key in label or (len(key) >= 4 and run.id.startswith(key))


def look(label: str, run: Run, packed: dict[str, Result]) -> GridRun:
    """State of one run. A result that cannot be read is named, and counts as none; the runner sets it aside."""
    result = packed.get(run.id)
    if result is None or not result.current:
        try:
            result = read_result(run) or result
        except LookaheadError as error:
            warnings.warn(str(error), stacklevel=2)
    if result is not None and result.current:
        return GridRun(label, run, "done", result)
    failure = read_failure(run)
    if failure is not None and failure["stamp"] == stamp(run):
        return GridRun(label, run, "failed", result, error=failure["error"])
    if result is not None:
        return GridRun(label, run, "stale", result)
    steps = min(Checkpoints(run_folder(run.id), run.id).steps_found(), run.steps)
    return GridRun(label, run, "begun" if steps else "missing", steps=steps)


def packed_anywhere() -> dict[str, Result]:
    """All packed results by their run, current ones before stale ones; a file that cannot be read is named."""

    def read() -> Iterator[Result]:
        for path in (path for folder in store_folders() for path in sorted(folder.glob("*.parquet"))):
            try:
                yield from read_pack(path)
            except LookaheadError as error:
                warnings.warn(f"left out: {error}", stacklevel=2)

    return without_doubles(read())


# -- failures ------------------------------------------------------------------------------------------------


def write_failure(run: Run, error: BaseException) -> None:
    """Records the reason of a run's failure, and the code that it failed under."""
    message = str(error) if isinstance(error, LookaheadError) else f"{type(error).__name__}: {error}"
    when = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    record = {"run": run.config, "error": message, "when": when, "stamp": stamp(run)}
    write_text(make_folder(run_folder(run.id)) / "failure.json", json.dumps(sealed(record)))


def read_failure(run: Run) -> dict[str, Any] | None:
    """The record of a run's failure, None where there is none."""
    try:
        record = json.loads(regular(run_folder(run.id) / "failure.json").read_text(encoding="utf-8"))
        check_seal(record, "failure.json")
        return {"error": record["error"], "stamp": record["stamp"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, Corrupt):
        return None


def forget_failure(run: Run) -> None:
    """Removes the record of a run's failure, if there is one."""
    with contextlib.suppress(OSError):  # where the run is done nobody reads it
        (run_folder(run.id) / "failure.json").unlink()


def quarantine(run: Run) -> Path | None:
    """Renames a result that cannot be read, so that the run can be done again. Its new name, None if it is fine."""
    try:
        read_result(run)
    except LookaheadError:
        return set_aside(run_folder(run.id) / "result.json")
    return None


# -- how long --------------------------------------------------------------------------------------------------


def seconds_left(grid: Sequence[GridRun]) -> float | None:
    """What the runs that are not done will take, by those of their cell that are, else by all; None with none done."""
    done = [entry for entry in grid if entry.result is not None]
    if not done:
        return None
    rate = {entry.label: [] for entry in done}
    for entry in done:
        rate[entry.label].append(entry.result.manifest["seconds"])  # type: ignore[union-attr]
    everything = statistics.median(seconds for cell in rate.values() for seconds in cell)
    left = 0.0
    for entry in grid:
        if entry.state in ("missing", "begun", "stale"):
            whole = statistics.median(rate.get(entry.label, [everything]))
            left += whole * (1 - entry.steps / entry.run.steps)
    return left


def counts(grid: Sequence[GridRun]) -> dict[State, int]:
    """How many runs are in each state."""
    return {state: sum(entry.state == state for entry in grid) for state in STATES}


def refreshed(entry: GridRun) -> GridRun:
    """The same run as it stands now, by its working result alone."""
    return look(entry.label, entry.run, {})
