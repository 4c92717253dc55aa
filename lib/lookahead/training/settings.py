"""What determines a training, apart from task, model, objective and seed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from lookahead.contracts import whole_number
from lookahead.errors import LookaheadError

CHOICES = {
    "optimizer": ("adamw", "muon"),
    "schedule": ("constant", "cosine"),
    "precision": ("float32", "bfloat16"),
    "judged_by": ("autoregressive_accuracy", "decision_accuracy"),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything is counted in steps; a step is one batch."""

    steps: int = 2000
    batch_size: int = 128
    train_examples: int | None = None
    """None: every batch is fresh. n: the first n training examples, shuffled anew every epoch."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """Muon steps on the hidden matrices, if "muon"; all else stays with AdamW."""
    learning_rate: float = 2e-3
    """Of AdamW."""
    matrix_learning_rate: float | None = None
    """Of Muon; ten times `learning_rate` if None."""
    weight_decay: float = 0.01
    beta2: float = 0.999
    """Second decay rate of AdamW's means; the first is 0.9."""
    schedule: Literal["constant", "cosine"] = "constant"
    """After the warm-up: constant, or a cosine down to 0 at the last step."""
    warmup: int = 50
    clip: float | None = 1.0
    """Largest norm of the gradient; None: any."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the products; "bfloat16" is mixed precision, by autocast."""
    evaluate_every: int = 100
    stop_at: float | None = None
    """Stops at the first evaluation on validation data whose judging measure reaches this."""
    judged_by: Literal["autoregressive_accuracy", "decision_accuracy"] = "autoregressive_accuracy"
    """The measure that decides about stopping and success; the decision's where nothing else is taught."""

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise LookaheadError(f"{name} is one of {', '.join(allowed)}; not {getattr(self, name)!r}")
        for name, least in {"steps": 1, "batch_size": 1, "evaluate_every": 1, "train_examples": 1, "warmup": 0}.items():
            if getattr(self, name) is None and name == "train_examples":
                continue
            value = whole_number(name, getattr(self, name))
            object.__setattr__(self, name, value)
            if value < least:
                raise LookaheadError(f"{name} must be at least {least}, not {value}")
        for name in ("learning_rate", "matrix_learning_rate", "clip"):
            value = getattr(self, name)
            if value is None and name != "learning_rate":
                continue
            if not (isinstance(value, int | float) and value > 0 and math.isfinite(value)):
                raise LookaheadError(f"{name} must be a positive number, not {value}")
        if not 0 <= self.weight_decay < math.inf:
            raise LookaheadError(f"weight_decay must be a number from 0, not {self.weight_decay}")
        if not 0 < self.beta2 < 1:
            raise LookaheadError(f"beta2 lies between 0 and 1, not {self.beta2}")
        if self.stop_at is not None and not 0 < self.stop_at <= 1:
            raise LookaheadError(f"stop_at is an accuracy in (0, 1], not {self.stop_at}")

    @property
    def matrix_rate(self) -> float:
        """The learning rate of Muon."""
        return self.matrix_learning_rate or 10 * self.learning_rate

    def rate(self, step: int) -> float:
        """The share of the full learning rate at a step (0 ... steps - 1)."""
        warm = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        if self.schedule == "constant" or step < self.warmup:
            return warm
        return 0.5 * (1 + math.cos(math.pi * (step - self.warmup) / max(1, self.steps - self.warmup)))
