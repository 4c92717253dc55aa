"""Runs an experiment's grid; several at once share it."""

from __future__ import annotations

import time
from collections.abc import Callable

from filelock import FileLock, Timeout

from lookahead.contracts import resolve_device
from lookahead.errors import LookaheadError
from lookahead.experiments.catalogue import Experiment
from lookahead.harness import run
from lookahead.results import Result, open_run_folder, pack, packed_path, read_packed, read_result


def run_experiment(
    experiment: Experiment,
    profile: str,
    *,
    device: str = "auto",
    time_limit: float | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Result]:
    """Does what is missing of a grid, then packs all that is there.

    A run that another process is doing is passed over, so the same call can be started several times.
    A run that fails is said and does not stop the others.

    Args:
        time_limit: seconds; no new run is begun that would, going by the longest so far, end later.

    Returns:
        the results that are there now.

    Raises:
        LookaheadError: no such profile or no folder; or, at the end, some runs failed.
    """
    resolve_device(device)
    grid = list(experiment.runs(profile))
    name = packed_name(experiment, profile)
    done = {result.run.id: result for result in (read_packed(name) if packed_path(name).exists() else [])}
    begun, longest, failed = time.monotonic(), 0.0, set()
    for number, (label, config) in enumerate(grid, 1):
        if time_limit is not None and time.monotonic() - begun + longest > time_limit:
            say("time limit: the same call goes on from here")
            break
        if config.id in done and done[config.id].current:
            continue
        lock = FileLock(open_run_folder(config.id) / ".grid.lock", timeout=0)
        started = time.monotonic()
        try:
            with lock:
                result = run(config, device=device, probe=experiment.probe)
        except Timeout:
            continue
        except LookaheadError as error:
            say(f"{number}/{len(grid)} {label}: failed: {error}")
            failed.add(config.id)
            continue
        longest = max(longest, time.monotonic() - started)
        accuracy = result.measures[config.judged_by]
        say(f"{number}/{len(grid)} {config.task['path_length']} {label} seed {config.seed}: {accuracy:.3f}")  # type: ignore[index]
    there = [config for _, config in grid if config.id not in failed]
    results = [result for config in there if (result := read_result(config)) is not None]
    if results:
        pack(name, results)
    if failed:
        raise LookaheadError(f"{len(failed)} of {len(grid)} runs failed; what succeeded is stored")
    return list((done | {result.run.id: result for result in results}).values())


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


def packed_name(experiment: Experiment, profile: str) -> str:
    """Under which name an experiment's results at a profile are packed."""
    return f"{experiment.name}-{profile}"
