"""What is to be learnt: (prompt, answer) pairs. A task is a file or a folder here, and is found by itself."""

from typing import Any

from lookahead.contracts import Task
from lookahead.registry import import_all

import_all(__name__, __path__)


def __getattr__(name: str) -> Any:
    """Every registered class in here, by its name."""
    return Task.class_in(__name__, name)
