"""Runs an experiment's grid; several at once share it."""

from __future__ import annotations

import time
from collections.abc import Callable

from filelock import FileLock, Timeout

from lookahead.errors import LookaheadError
from lookahead.experiments.catalogue import Experiment
from lookahead.harness import run
from lookahead.results import Result, pack, read_result, run_folder


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
    """
    grid = list(experiment.runs(profile))
    begun, longest = time.monotonic(), 0.0
    for number, (label, config) in enumerate(grid, 1):
        if time_limit is not None and time.monotonic() - begun + longest > time_limit:
            say("time limit: the same call goes on from here")
            break
        folder = run_folder(config.id)
        folder.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        try:
            with FileLock(folder / ".grid.lock", timeout=0):
                result = run(config, device=device, probe=experiment.probe)
        except Timeout:
            continue
        except LookaheadError as error:
            say(f"{number}/{len(grid)} {label}: failed: {error}")
            continue
        longest = max(longest, time.monotonic() - started)
        accuracy = result.measures[config.judged_by]
        say(f"{number}/{len(grid)} {config.task['path_length']} {label} seed {config.seed}: {accuracy:.3f}")  # type: ignore[index]
    results = [result for _, config in grid if (result := read_result(config)) is not None]
    if results:
        pack(f"{experiment.name}-{profile}", results)
    return results
