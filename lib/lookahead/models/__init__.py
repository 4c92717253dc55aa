"""Tokens in, logits out. Models know no task; every file here is found by itself."""

from typing import Any

from lookahead.contracts import Model
from lookahead.registry import import_all

import_all(__name__, __path__)


def __getattr__(name: str) -> Any:
    """Every registered class in here, by its name."""
    return Model.class_in(__name__, name)
