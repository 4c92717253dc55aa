"""Results that nobody trained."""

import math
from typing import Any

from lookahead.runs.result import Result
from lookahead.runs.run import Run

MEASURES = {"autoregressive_accuracy": 0.97, "examples": 128}
MANIFEST = {"steps": 10, "seconds": 1.5, "finished": "2026-01-01", "device": "a CPU", "torch": "2.11.0"}


def made_up(run: Run, **fields: Any) -> Result:
    """A result that nobody trained."""
    row = {"step": 0, "training_loss": None, "autoregressive_accuracy": 0.5, "loss": [1.0, math.nan]}
    return Result(
        **{
            "run": run,
            "curve": [row, {**row, "step": 10, "autoregressive_accuracy": 0.96}],
            "measures": {**MEASURES, "cheat_accuracy": math.nan, "loss": [0.1, math.nan]},
            "manifest": MANIFEST,
            "stamp": "0",
            "replay": [1.5, math.nan],
            **fields,
        }
    )
