"""One call's share of a training: what may end it before the training is done, and what the next call needs."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any, Literal, Self

from lookahead.errors import LookaheadError
from lookahead.training.progress import Progress

SECONDS_BETWEEN_CHECKPOINTS = 60.0

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, a scheduler's or a container's notice, a closed terminal."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, SIGTERM or SIGHUP, after the state was saved."""


class OutOfTime(LookaheadError):
    """The deadline is near; the state was saved. `steps` were done in this sitting."""

    def __init__(self, message: str, steps: int) -> None:
        super().__init__(message)
        self.steps = steps


class Sitting:
    """Stop signals, the deadline, the clock of the checkpoints and the progress bar of one call.

    Inside its `with` a stop signal waits for the end of a step; a second one does not wait. A signal that the process
    ignores (SIGHUP under nohup) stays ignored, except SIGINT, which a shell lets its background jobs ignore.

    Args:
        deadline: on the clock of `time.monotonic`, in seconds; None: there is none.
        measures_after: how many times as long as one measurement the caller needs before the deadline.
        checkpoint_every: in steps; None: once a minute.
    """

    def __init__(
        self, deadline: float | None = None, measures_after: float = 0.0, checkpoint_every: int | None = None
    ) -> None:
        self.deadline, self.measures_after, self.checkpoint_every = deadline, measures_after, checkpoint_every
        self.steps = 0
        """Steps done in this sitting."""
        self.interrupted = False
        self.progress: Progress | None = None
        self.longest = {"step": 0.0, "measure": 0.0, "save": 0.0}
        """Seconds that each has taken at most, lately."""
        self.seen = self.saved = time.monotonic()
        self.handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            heard = [s for s in STOP_SIGNALS if s == signal.SIGINT or signal.getsignal(s) is not signal.SIG_IGN]
            self.handlers = {number: signal.signal(number, self.ask) for number in heard}
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close_progress()
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        if self.interrupted and kind is None:
            raise Interrupted("stopped when all steps were done")

    def ask(self, *_: object) -> None:
        """What a stop signal calls."""
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True

    def due(self, step: int, unfinished: bool) -> Literal["go on", "save", "stop"]:
        """What to do after step number `step`, while some of the training is `unfinished` or all is done."""
        self.steps += 1
        late = self.late()
        if self.interrupted or (late and unfinished):
            return "stop"
        regular = self.checkpoint_every is not None and step % self.checkpoint_every == 0
        return "save" if regular or time.monotonic() - self.saved > SECONDS_BETWEEN_CHECKPOINTS else "go on"

    def stopped(self, message: str) -> BaseException:
        """The error with which a sitting ends after it was told to stop."""
        return Interrupted(message) if self.interrupted else OutOfTime(message, self.steps)

    def late(self) -> bool:
        """Whether another step, the measures and a save may end after the deadline."""
        now = time.monotonic()
        # the first steps compile: they are forgotten
        self.longest["step"] = max(0.9 * self.longest["step"], now - self.seen)
        self.seen = now
        needed = self.longest["step"] + (1 + self.measures_after) * self.longest["measure"] + 2 * self.longest["save"]
        return self.deadline is not None and now + needed > self.deadline

    @contextlib.contextmanager
    def timed(self, what: Literal["measure", "save"]) -> Iterator[None]:
        """Notes how long a measurement or a save takes; the next step is not charged for it."""
        begun = time.monotonic()
        yield
        self.seen = time.monotonic()
        self.longest[what] = max(self.longest[what], self.seen - begun)
        if what == "save":
            self.saved = self.seen

    def open_progress(self, steps: int, done: int, label: str) -> None:
        """Begins to report a training of which so many steps are done."""
        self.close_progress()
        self.seen = time.monotonic()
        self.progress = Progress(steps, done, label)

    def report(self, done: int, loss: float, accuracy: float | None) -> None:
        """Tells the progress bar."""
        if self.progress is not None:
            self.progress.update(done, loss, accuracy)

    def close_progress(self) -> None:
        """Takes the bar away."""
        if self.progress is not None:
            self.progress.close()
        self.progress = None
