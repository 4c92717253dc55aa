"""Runs an experiment's grid; several at once share it."""

from __future__ import annotations

import time
from collections.abc import Callable

from filelock import FileLock, Timeout

from lookahead.errors import LookaheadError
from lookahead.experiments.catalogue import Experiment
from lookahead.harness import run
from lookahead.results import Result, open_run_folder, pack, read_result


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
    grid = list(experiment.runs(profile))
    begun, longest, failed = time.monotonic(), 0.0, set()
    for number, (label, config) in enumerate(grid, 1):
        if time_limit is not None and time.monotonic() - begun + longest > time_limit:
            say("time limit: the same call goes on from here")
            break
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
        pack(f"{experiment.name}-{profile}", results)
    if failed:
        raise LookaheadError(f"{len(failed)} of {len(grid)} runs failed; the others are stored")
    return results
