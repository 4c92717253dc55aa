"""Does what is missing of a grid. Several runners, on one machine or on many with one folder, share it by locks."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from tqdm import tqdm

from lookahead.contracts import Model
from lookahead.errors import LookaheadError, NoRoom
from lookahead.experiments.experiment import Experiment, packed_name
from lookahead.experiments.grid import GridRun, forget_failure, places, refreshed, set_aside, write_failure
from lookahead.machine import resolve_device
from lookahead.runs.harness import Busy, run, run_stacked
from lookahead.runs.parquet import pack, read_pack, read_packed
from lookahead.runs.result import Result, open_run_folder
from lookahead.training.loop import OutOfTime
from lookahead.training.progress import wants_bar
from lookahead.training.stacked import MAY_DIFFER
from lookahead.training.step import Engine, resolve_engine

WAIT = 0.5
"""Seconds between two looks at runs that others are doing."""


@dataclass
class Sitting:
    """What one call of `run_experiment` has come to."""

    done: list[Result] = field(default_factory=list)
    """Every selected run that is there, this call's and earlier ones'."""
    failed: list[GridRun] = field(default_factory=list)
    elsewhere: list[GridRun] = field(default_factory=list)
    """Those that other runners were doing when it ended."""
    left: list[GridRun] = field(default_factory=list)
    """Those it had no time for."""


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
    packing: bool = True,
    stack: int = 1,
    say: Callable[[str], None] = lambda line: None,
) -> Sitting:
    """Does the runs of a grid that are missing or stale, then packs all that is there.

    A run that another process is doing is passed over, and taken up if that process dies. A run that fails is
    recorded and stops no other; it is not tried again under the same code unless that is asked for.

    Args:
        only: as in `grid.places`.
        time_limit: seconds. It stops before, in the middle of a run if need be, which keeps its state.
        wait: for the runs that others are doing, at the end.
        retry: those that failed before, too.
        packing: into the store's file of the experiment.
        stack: how many runs that differ in seed and rates alone are trained as one (see `training.stacked`).
        say: gets a line about everything that happens.

    Raises:
        LookaheadError: no such profile or device, or a key that no run answers to; no folder; a time limit shorter
            than one step.
        NoRoom: the disk is full; what was stored is whole.
    """
    resolve_engine(engine, resolve_device(device))
    if time_limit is not None and time_limit <= 0:
        raise LookaheadError(f"a time limit is more than 0 s, not {time_limit:g}")
    if stack < 1:
        raise LookaheadError(f"at least 1 run is trained at once, not {stack}")
    begun = time.monotonic()
    deadline = None if time_limit is None else begun + time_limit
    grid = places(experiment, profile, only)
    wanted = [p for p in grid if p.state != "done" and (retry or p.state != "failed")]
    sitting = Sitting(failed=[p for p in grid if p.state == "failed" and not retry])
    for place in sitting.failed:
        say(f"failed before: {place.title}: {place.error} (again with --retry)")
    number = {place.run.id: i for i, place in enumerate(grid, 1)}
    shown = {"desc": experiment.name, "unit": "run", "disable": not wants_bar()}
    bar = tqdm(total=len(grid), initial=len(grid) - len(wanted), **shown)
    tried = trained = 0
    try:
        while wanted:
            busy: list[GridRun] = []
            units = stacks(wanted, stack)
            for i, unit in enumerate(units):
                if tried and deadline is not None and time.monotonic() >= deadline:
                    sitting.left = busy + [place for rest in units[i:] for place in rest]
                    break
                with contextlib.ExitStack() as locks:
                    held = [place for place in unit if _take(place, locks)]
                    busy += [place for place in unit if place not in held]
                    tried += len(held)
                    try:
                        told = _do(held, experiment, device, engine, deadline, retry, say)
                    except OutOfTime as out:
                        if trained == 0 and out.steps <= 1 and time.monotonic() > deadline:  # type: ignore[operator]
                            needed = time.monotonic() - begun
                            raise LookaheadError(
                                f"a time limit of {time_limit:g} s is shorter than one step with what it needs, "
                                f"{needed:.1f} s here: nothing would ever be finished; take several times that"
                            ) from out
                        say(f"{held[0].title}: {out}")
                        sitting.left = busy + held + [place for rest in units[i + 1 :] for place in rest]
                        break
                for place, outcome in zip(held, told, strict=True):
                    bar.update()
                    if isinstance(outcome, Busy):
                        busy.append(place)
                    elif isinstance(outcome, GridRun):
                        sitting.failed.append(outcome)
                        say(f"{number[place.run.id]}/{len(grid)} {place.title}: failed: {outcome.error}")
                    elif outcome is not None:
                        trained += 1
                        accuracy = outcome.measures[place.run.judged_by]
                        say(f"{number[place.run.id]}/{len(grid)} {place.title}: {accuracy:.3f}")
            wanted, before = ([] if sitting.left else busy), len(wanted)
            if wanted and not wait:
                sitting.elsewhere, wanted = wanted, []
            elif wanted and len(wanted) == before:
                time.sleep(WAIT)
    finally:
        bar.close()
    if sitting.left:
        say(f"time limit: {len(sitting.left)} of {len(grid)} runs are left; the same call goes on from here")
    if sitting.elsewhere:
        say(f"{len(sitting.elsewhere)} of {len(grid)} runs are being done elsewhere")
    there = [place.result for place in places(experiment, profile, only)]
    sitting.done = [result for result in there if result is not None]
    if packing and sitting.done:
        pack(packed_name(experiment, profile), sitting.done)
    return sitting


def stacks(wanted: Sequence[GridRun], size: int) -> list[list[GridRun]]:
    """The runs in groups of at most `size` that can be trained as one, in the order of their first."""
    groups: dict[str, list[GridRun]] = {}
    for place in wanted:
        alike = {key: value for key, value in place.run.config.items() if key not in MAY_DIFFER}
        model = Model.named(place.run.model["name"])  # type: ignore[index]
        key = json.dumps(alike, sort_keys=True) if model.stackable and size > 1 else place.run.id
        groups.setdefault(key, []).append(place)
    return [group[i : i + size] for group in groups.values() for i in range(0, len(group), size)]


def _take(place: GridRun, locks: contextlib.ExitStack) -> bool:
    """Whether no other runner is doing it; then it is ours until the locks go."""
    try:
        locks.enter_context(FileLock(open_run_folder(place.run.id) / ".grid.lock", timeout=0))
    except Timeout:
        return False
    return True


def _do(
    held: Sequence[GridRun],
    experiment: Experiment,
    device: str,
    engine: Engine,
    deadline: float | None,
    retry: bool,
    say: Callable[[str], None],
) -> list[Result | GridRun | Busy | None]:
    """Runs whose locks are held, as one where there are several.

    Returns:
        for each its result; its place with its failure; `Busy`, where a chapter is doing it; None if it was done, or
        had failed, meanwhile.
    """
    outcomes: dict[str, Any] = {}
    to_do: list[GridRun] = []
    for place in held:
        if (aside := set_aside(place.run)) is not None:
            say(f"{place.title}: its result could not be read: set aside as {aside}, and done again")
        now = refreshed(place)
        if now.state == "failed" and not retry:
            outcomes[place.run.id] = now
        elif now.state != "done":
            to_do.append(place)
    common: dict[str, Any] = {
        "device": device, "engine": engine, "probe": experiment.probe, "deadline": deadline
    }  # fmt: skip
    found: list[Any] = []
    try:
        if len(to_do) == 1:
            found = [run(to_do[0].run, **common)]
        elif to_do:
            found = run_stacked([place.run for place in to_do], **common)
    except (OutOfTime, NoRoom):
        raise
    except Exception as error:
        found = [error] * len(to_do)
    for place, outcome in zip(to_do, found, strict=True):
        if isinstance(outcome, NoRoom):
            raise outcome
        if isinstance(outcome, Exception) and not isinstance(outcome, Busy):
            write_failure(place.run, outcome)
            outcome = refreshed(place)
        elif isinstance(outcome, Result):
            forget_failure(place.run)
        outcomes[place.run.id] = outcome
    return [outcomes.get(place.run.id) for place in held]


def pack_experiment(experiment: Experiment, profile: str, files: Sequence[Path] = ()) -> tuple[Path, int]:
    """Packs all working results of a grid, and what other machines packed in `files`.

    Returns:
        the file, and how many results it holds.

    Raises:
        LookaheadError: nothing to pack, or a file that holds other runs than this grid's.
    """
    mine = {run.id for _, run in experiment.runs(profile)}
    brought = []
    for file in files:
        results = read_pack(file)
        if strange := [result for result in results if result.run.id not in mine]:
            raise LookaheadError(
                f"{file} holds {len(strange)} of {len(results)} runs that are none of {experiment.name} at profile "
                f"{profile}, such as {strange[0].run.to_json()}"
            )
        brought += results
    results = [place.result for place in places(experiment, profile) if place.result is not None]
    here = {result.run.id: result for result in results}
    for result in brought:
        if result.run.id not in here or (result.current and not here[result.run.id].current):
            here[result.run.id] = result
    if not here:
        raise LookaheadError(f"no results of {experiment.name} at profile {profile} to pack")
    path = pack(packed_name(experiment, profile), here.values())
    return path, len(read_packed(packed_name(experiment, profile)))


def stored(experiment: Experiment, profile: str) -> dict[tuple[int, str], list[Result]]:
    """What is packed of an experiment: (path length, cell's label) -> its results, a seed each.

    Raises:
        LookaheadError: nothing is packed.
    """
    found = {result.run.id: result for result in read_packed(packed_name(experiment, profile))}
    cells: dict[tuple[int, str], list[Result]] = {}
    for label, config in experiment.runs(profile):
        if config.id in found:
            cells.setdefault((config.task["path_length"], label), []).append(found[config.id])  # type: ignore[index]
    return cells
