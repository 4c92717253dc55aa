"""Where a training says how far it is: a bar, a file, or nowhere."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

PROGRESS_FILE = "LOOKAHEAD_PROGRESS"
"""Environment variable: a file to report to instead of drawing a bar; empty for silence."""


def wants_bar() -> bool:
    """A terminal, or a notebook with somebody in front of it.

    papermill and nbval run notebooks in a kernel that cannot ask for input; there a bar would
    end in the stored output.
    """
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython else None
    kernel = getattr(shell, "kernel", None)
    if kernel is not None:
        return bool(getattr(kernel, "_allow_stdin", False))
    return sys.stderr.isatty()


class Progress:
    """Reports steps with loss, accuracy, speed and time left, at most ten times a second."""

    def __init__(self, steps: int, done: int, label: str) -> None:
        self.steps, self.label = steps, label
        path = os.environ.get(PROGRESS_FILE)
        self.file = Path(path) if path else None
        self.bar = None
        if path is None and wants_bar():
            self.bar = tqdm(total=steps, initial=done, desc=label, unit="step", leave=False, dynamic_ncols=True)
        self.first, self.begun, self.reported = done, time.monotonic(), 0.0

    @property
    def silent(self) -> bool:
        return self.file is None and self.bar is None

    def update(self, done: int, loss: float, accuracy: float | None) -> None:
        """`done` steps of the training lie behind it."""
        now = time.monotonic()
        if self.silent or (now - self.reported < 0.1 and done < self.steps):
            return
        self.reported = now
        if self.bar is not None:
            self.bar.set_postfix_str(f"loss {loss:.3f}" + ("" if accuracy is None else f", accuracy {accuracy:.3f}"))
            self.bar.update(done - self.bar.n)
        if self.file is not None:
            speed = (done - self.first) / max(1e-9, now - self.begun)
            report = {"label": self.label, "step": done, "steps": self.steps, "speed": speed, "loss": loss}
            with contextlib.suppress(OSError):  # a full disk is no reason to stop training
                self.file.write_text(json.dumps({**report, "accuracy": accuracy}))

    def close(self) -> None:
        """Takes the bar away."""
        if self.bar is not None:
            self.bar.close()
