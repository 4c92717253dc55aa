"""Readers that are trained at once, each in a process of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import queue
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from lookahead.auditing.readers import Way, trained_network

LOOK = 0.2
"""Seconds between two looks at the processes."""
START = "spawn"
"""How a process is made: torch's threads do not survive a fork."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def train_together(
    ways: Sequence[Way], steps: int, seed: int, keep: Path | None, jobs: int, log: Callable[[str], None]
) -> Iterator[Path | None]:
    """Trains readers, at most `jobs` at once, and gives the folder that keeps them; `keep` as it is where `jobs` is 1.

    A process that fails leaves nothing there. Who trains that reader again sees why.
    """
    if jobs == 1:
        yield keep
        return
    with contextlib.ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lookahead-readers-")))
        _train_apart(ways, steps, seed, folder, jobs, log)
        yield folder


def _train_apart(
    ways: Sequence[Way], steps: int, seed: int, folder: Path, jobs: int, log: Callable[[str], None]
) -> None:
    """Returns when all processes have ended."""
    context = multiprocessing.get_context(START)
    said, waiting, running = context.Queue(), list(ways), list[Any]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                given = unread(waiting.pop(0)), steps, seed, folder, said
                process = context.Process(target=_train_one, args=given, daemon=True)
                process.start()
                running.append(process)
            with contextlib.suppress(queue.Empty):
                while True:
                    log(said.get(timeout=LOOK))
            running = [process for process in running if process.is_alive()]
    finally:
        for process in running:
            process.terminate()


def unread(way: Way) -> Way:
    """A way without the examples in it: who gets it reads them."""
    return dataclasses.replace(way, task=dataclasses.replace(way.task))


def _train_one(way: Way, steps: int, seed: int, folder: Path, said: Any) -> None:
    """What a process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who has started it ends it
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # they were said before
    trained_network(way, steps, seed, said.put, folder)
