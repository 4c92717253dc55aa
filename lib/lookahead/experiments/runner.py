"""Does what is missing of a grid. Several runners, on one machine or on many with one folder, share it by locks."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import Timeout
from tqdm import tqdm

from lookahead.contracts import Model
from lookahead.errors import LookaheadError, NoRoom
from lookahead.experiments.experiment import Experiment, packed_name
from lookahead.experiments.grid import (
    GridRun,
    forget_failure,
    grid_state,
    labelled,
    packed_anywhere,
    quarantine,
    refreshed,
    select,
    write_failure,
)
from lookahead.files import holder
from lookahead.kinds import Count, fit
from lookahead.machine import resolve_device
from lookahead.runs.harness import Busy, Follow, run_all
from lookahead.runs.parquet import (
    Packed,
    pack,
    packed_path,
    read_pack,
    read_packed,
    set_aside_if_corrupt,
    without_doubles,
)
from lookahead.runs.result import Result, has_weights, locked_to_write, run_folder, store_folder
from lookahead.runs.run import Run
from lookahead.training.member import MAY_DIFFER
from lookahead.training.progress import wants_bar
from lookahead.training.settings import Positive
from lookahead.training.sitting import OutOfTime
from lookahead.training.step import Engine, resolve_engine

WAIT = 0.5
"""Seconds between two looks at runs that others are doing."""


@dataclass
class Outcome:
    """What one call of `run_experiment` has come to."""

    done: list[Result] = field(default_factory=list)
    """Every selected result that is there, from this call and earlier ones."""
    failed: list[GridRun] = field(default_factory=list)
    elsewhere: list[GridRun] = field(default_factory=list)
    """Runs that other runners were doing when it ended."""
    left: list[GridRun] = field(default_factory=list)
    """Runs that there was no time for."""


def run_experiment(
    experiment: Experiment,
    profile: str,
    *,
    only: Sequence[str] = (),
    device: str = "auto",
    engine: Engine = "auto",
    time_limit: float | None = None,
    wait: bool = True,
    retry: bool = False,
    weights: bool = False,
    packing: bool = True,
    stack: int = 1,
    processes: int = 1,
    follow: Follow | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Does the runs of a grid that are missing or stale, then packs all that is there.

    A run that another process is doing is passed over, and taken up if that process dies. A run that fails is
    recorded and stops no other; it is not tried again under the same code unless that is asked for.

    Args:
        only: as in `grid.grid_state`.
        time_limit: seconds from now. It stops before, in the middle of a run if need be, which keeps its state.
        wait: for the runs that others are doing, at the end.
        retry: those that failed before, too.
        weights: those that are done, too, where their weights are not in the store.
        packing: into the store's file of the experiment.
        stack: how many runs that differ in seed and rates alone are trained as one.
        processes: how many train each run together, as in `lookahead.run`; not with `stack`.
        follow: as in `lookahead.run`.
        log: gets a line about everything that happens.

    Raises:
        LookaheadError: no such profile or device, or a key that no run answers to; a store that cannot be written; a
            time limit shorter than one step.
        NoRoom: the disk is full; what was stored is whole.
    """
    begun = time.monotonic()
    resolve_engine(engine, resolve_device(device))
    time_limit = fit("time_limit", time_limit, Positive | None)
    stack = fit("stack", stack, Count)
    if fit("processes", processes, Count) > 1 and stack > 1:
        raise LookaheadError("several runs as one program, or several processes for one run: take stack or processes")
    select(labelled(experiment, profile), only)  # a typing error is told before all results are read
    name = packed_name(experiment, profile)
    if (kept := set_aside_if_corrupt(name)) is not None:
        log(f"{packed_path(name)} is corrupt: set aside as {kept}; what is stored nowhere else is done again")
    packed = packed_anywhere()
    grid = grid_state(experiment, profile, only, packed)
    how = {"device": device, "engine": engine, "probe": experiment.probe, "follow": follow, "processes": processes}
    with Runner(experiment.name, grid, how, time_limit, retry, weights, log, begun) as runner:
        wanted = runner.plan()
        if wanted:
            refuse_read_only()
        while wanted:
            busy = runner.do(stacks(wanted, stack))
            if busy and (not wait or (len(busy) == len(wanted) and not runner.pause(busy))):
                runner.outcome.elsewhere, busy = busy, []
            wanted = busy
        outcome = runner.tell_what_is_left()
    with contextlib.suppress(LookaheadError):  # what others have packed meanwhile
        packed |= {result.run.id: result for result in read_packed(name) if result.current}
    results = [entry.result for entry in grid_state(experiment, profile, only, packed)]
    outcome.done = [result for result in results if result is not None]
    if packing and not all_packed(name, outcome.done):
        pack(name, outcome.done)
    return outcome


def refuse_read_only() -> None:
    """Raises a LookaheadError if the store cannot be written."""
    with locked_to_write(store_folder() / "runs" / ".writable"):
        pass


def all_packed(name: str, results: Sequence[Result]) -> bool:
    """Whether an experiment's file, or what is committed of it, holds all of these results."""
    there: dict[str, Any] = {}
    with contextlib.suppress(LookaheadError):  # no such file
        there = {result.run.id: result.manifest for result in read_packed(name)}
    return all(isinstance(result, Packed) and there.get(result.run.id) == result.manifest for result in results)


class Runner:
    """One call of `run_experiment`: plans, does and tells.

    Args:
        how: what all runs share: device, engine, probe, follow, processes.
        time_limit: in seconds.
        since: when they begin to count, on the clock of `time.monotonic`.
    """

    def __init__(
        self,
        name: str,
        grid: Sequence[GridRun],
        how: dict[str, Any],
        time_limit: float | None,
        retry: bool,
        weights: bool,
        log: Callable[[str], None],
        since: float,
    ) -> None:
        self.name, self.grid, self.how, self.time_limit, self.log = name, grid, how, time_limit, log
        self.retry, self.weights = retry, weights
        self.number = {entry.run.id: i for i, entry in enumerate(grid, 1)}
        self.begun = time.monotonic()
        self.deadline = None if time_limit is None else since + time_limit
        self.outcome = Outcome()
        self.tried = self.trained = 0
        self.waits = False
        self.bar = tqdm(total=len(grid), desc=name, unit="run", disable=not wants_bar())

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def plan(self) -> list[GridRun]:
        """The runs to do; what failed before is told, and left out unless it is to be tried again."""
        self.outcome.failed = [entry for entry in self.grid if entry.state == "failed" and not self.retry]
        for entry in self.outcome.failed:
            self.log(f"failed before: {entry.title}: {entry.error} (again with --retry)")
        wanted = [entry for entry in self.grid if self.wants(entry)]
        if not wanted and not self.outcome.failed:
            self.log(f"nothing to do: all {len(self.grid)} runs are there")
        self.bar.update(len(self.grid) - len(wanted))
        return wanted

    def wants(self, entry: GridRun) -> bool:
        """Whether a run is to be done."""
        if entry.state == "done":
            return self.weights and not has_weights(entry.run.id)
        return self.retry or entry.state != "failed"

    def do(self, units: Sequence[Sequence[GridRun]]) -> list[GridRun]:
        """Does units of runs that no other runner is doing, as long as there is time; the runs others are doing."""
        busy: list[GridRun] = []
        for i, unit in enumerate(units):
            later = [entry for rest in units[i + 1 :] for entry in rest]
            if self.tried and self.deadline is not None and time.monotonic() >= self.deadline:
                self.outcome.left = [*busy, *unit, *later]
                return []
            with contextlib.ExitStack() as locks:
                free = {entry.run.id: self.lock(entry, locks) for entry in unit}
                held = [entry for entry in unit if free[entry.run.id]]
                busy += [entry for entry in unit if free[entry.run.id] is False]
                self.tried += len(held)
                try:
                    ends = self.do_unit(held)
                except OutOfTime as out:
                    self.refuse_too_short(out)
                    self.log(f"{held[0].title}: {out}")
                    self.outcome.left = [*busy, *held, *later]
                    return []
            busy += [entry for entry, end in zip(held, ends, strict=True) if not self.tell(entry, end)]
        return busy

    def lock(self, entry: GridRun, locks: contextlib.ExitStack) -> bool | None:
        """Whether no other runner is doing a run; then no other can until the locks go. None if it cannot be done."""
        try:
            locks.enter_context(locked_to_write(_lock_file(entry), timeout=0))
        except Timeout:
            return False
        except NoRoom:
            raise
        except LookaheadError as error:
            self.tell(entry, dataclasses.replace(entry, state="failed", error=str(error)))
            return None
        return True

    def pause(self, busy: Sequence[GridRun]) -> bool:
        """Waits a little for runs that others are doing, and says so once; false if the time is up."""
        if not self.waits:
            self.waits = True
            self.log(f"waiting for {len(busy)} of {len(self.grid)} runs, which others are doing")
            for entry in busy:
                if told := holder(_lock_file(entry)):
                    self.log(f"{entry.title}: {told}")
        left = math.inf if self.deadline is None else self.deadline - time.monotonic()
        time.sleep(max(0.0, min(WAIT, left)))
        return left > WAIT

    def do_unit(self, held: Sequence[GridRun]) -> list[Result | GridRun | Busy | None]:
        """Does runs whose locks are held, as one where there are several.

        Returns:
            for each its result; the run with its failure; `Busy`, where a chapter is doing it; None if it was done
            meanwhile.
        """
        ends: dict[str, Any] = {}
        to_do: list[GridRun] = []
        for entry in held:
            if (kept := quarantine(entry.run)) is not None:
                self.log(f"{entry.title}: its result could not be read: set aside as {kept}, and done again")
            now = refreshed(entry)
            if now.state == "failed" and not self.retry:
                ends[entry.run.id] = now
            elif self.wants(now):
                to_do.append(entry)
        for entry, end in zip(to_do, self.train([entry.run for entry in to_do]), strict=True):
            ends[entry.run.id] = self.recorded(entry, end)
        return [ends.get(entry.run.id) for entry in held]

    def train(self, runs: list[Run]) -> list[Result | Exception]:
        """The result of each run, or what stopped it."""
        try:
            return run_all(runs, **self.how, deadline=self.deadline, wait=len(runs) == 1)
        except (OutOfTime, NoRoom):
            raise
        except Exception as error:
            return [error] * len(runs)

    def recorded(self, entry: GridRun, end: Result | Exception) -> Result | GridRun | Busy:
        """How a run ended, its failure written or removed."""
        if isinstance(end, NoRoom):
            raise end
        if isinstance(end, Result):
            forget_failure(entry.run)
        elif not isinstance(end, Busy):
            try:
                write_failure(entry.run, end)
            except NoRoom:
                raise
            except LookaheadError as unwritten:
                return dataclasses.replace(entry, state="failed", error=f"{end} ({unwritten})")
            return refreshed(entry)
        return end

    def tell(self, entry: GridRun, end: Result | GridRun | Busy | None) -> bool:
        """Tells how a run ended; false if it has not, as another is doing it."""
        if isinstance(end, Busy):
            return False
        self.bar.update()
        number = f"{self.number[entry.run.id]}/{len(self.grid)}"
        if isinstance(end, GridRun):
            self.outcome.failed.append(end)
            self.log(f"{number} {entry.title}: failed: {end.error}")
        elif end is not None:
            self.trained += 1
            self.log(f"{number} {entry.title}: {end.measures[entry.run.judged_by]:.3f}")
        return True

    def tell_what_is_left(self) -> Outcome:
        """Tells of the runs that were not done, and gives the outcome."""
        left, elsewhere = len(self.outcome.left), len(self.outcome.elsewhere)
        if left:
            self.log(f"time limit: {left} of {len(self.grid)} runs are left; the same call goes on from here")
        if elsewhere:
            self.log(f"{elsewhere} of {len(self.grid)} runs are being done elsewhere")
        return self.outcome

    def refuse_too_short(self, out: OutOfTime) -> None:
        """Raises a LookaheadError if the time was up before anything was done that lasts."""
        needed = time.monotonic() - self.begun
        if self.trained == 0 and out.steps <= 1 and self.time_limit is not None and needed > self.time_limit:
            raise LookaheadError(
                f"a time limit of {self.time_limit:g} s is shorter than one step with what it needs, {needed:.1f} s "
                "here: nothing would ever be finished; take several times that"
            ) from out


def stacks(wanted: Sequence[GridRun], size: int) -> list[list[GridRun]]:
    """The runs in groups of at most `size` that can be trained as one, in the order of their first."""
    groups: dict[str, list[GridRun]] = {}
    for entry in wanted:
        alike = {key: value for key, value in entry.run.config.items() if key not in MAY_DIFFER}
        model = Model.named(entry.run.model["name"])  # type: ignore[index]
        key = json.dumps(alike, sort_keys=True) if model.stackable and size > 1 else entry.run.id
        groups.setdefault(key, []).append(entry)
    return [group[i : i + size] for group in groups.values() for i in range(0, len(group), size)]


def _lock_file(entry: GridRun) -> Path:
    return run_folder(entry.run.id) / ".grid.lock"


def pack_experiment(experiment: Experiment, profile: str, files: Sequence[Path] = ()) -> tuple[Path, int]:
    """Packs all results of a grid that are stored, and what other machines packed in `files`.

    Returns:
        the file, and how many results it holds.

    Raises:
        LookaheadError: nothing to pack, or a file that holds other runs than this grid's.
    """
    mine, name = {run.id for run in experiment.runs(profile)}, packed_name(experiment, profile)
    brought = []
    for file in files:
        results = read_pack(file)
        if strange := [result for result in results if result.run.id not in mine]:
            raise LookaheadError(
                f"{file} holds {len(strange)} of {len(results)} runs that are none of {experiment.name} at profile "
                f"{profile}, such as {strange[0].run.to_json()}"
            )
        brought += results
    if (kept := set_aside_if_corrupt(name)) is not None:
        warnings.warn(f"{packed_path(name)} is corrupt: set aside as {kept}", stacklevel=2)
    stored = [entry.result for entry in grid_state(experiment, profile) if entry.result is not None]
    here = without_doubles([*stored, *brought])
    if not here:
        raise LookaheadError(f"no results of {experiment.name} at profile {profile} to pack")
    path = pack(name, here.values())
    return path, len(read_pack(path))
