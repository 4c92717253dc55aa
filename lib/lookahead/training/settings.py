"""What determines a training, apart from task, model, objective and seed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from lookahead.errors import LookaheadError
from lookahead.kinds import Count, Range, settle

Positive = Annotated[float, Range(above=0)]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything is counted in steps; a step is one batch.

    Raises:
        LookaheadError: a value of another kind, or out of range.
    """

    steps: Count = 2000
    batch_size: Count = 128
    train_examples: Count | None = None
    """None: every batch is fresh. n: the first n training examples, shuffled anew every epoch."""
    repeated: Annotated[float, Range(above=0, most=1)] = 1.0
    """Share of a batch that comes from those n; the rest is fresh (two-set training, Charton and Kempe, 2024)."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """Muon steps on the hidden matrices, if "muon"; all else stays with AdamW."""
    learning_rate: Positive = 2e-3
    """Of AdamW."""
    matrix_learning_rate: Positive | None = None
    """Of Muon; ten times `learning_rate` if None."""
    weight_decay: Annotated[float, Range(least=0)] = 0.01
    beta2: Annotated[float, Range(above=0, below=1)] = 0.999
    """Second decay rate of AdamW's means; the first is 0.9."""
    schedule: Literal["constant", "cosine"] = "constant"
    """After the warm-up: constant, or a cosine down to 0 at the last step."""
    warmup: Annotated[int, Range(least=0)] = 50
    clip: Positive | None = 1.0
    """Largest norm of the gradient; None: any."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the products; "bfloat16" is mixed precision, by autocast."""
    evaluate_every: Count = 100
    stop_at: Annotated[float, Range(above=0, most=1)] | None = None
    """Stops at the first evaluation on validation data whose judging measure reaches this."""
    judged_by: Literal["autoregressive_accuracy", "decision_accuracy"] = "autoregressive_accuracy"
    """The measure that decides about stopping and success; the decision's where nothing else is taught."""

    def __post_init__(self) -> None:
        settle(self)
        if self.repeated < 1 and self.train_examples is None:
            raise LookaheadError("repeated is a share of train_examples: say how many there are")
        if self.repeated_examples == 0:
            raise LookaheadError(
                f"repeated must leave an example of {self.batch_size} in a batch to be repeated, not {self.repeated}"
            )

    @property
    def repeated_examples(self) -> int:
        """How many examples of a batch come from the first `train_examples`."""
        return round(self.repeated * self.batch_size)

    def good_enough(self, row: dict[str, Any]) -> bool:
        """Whether a training stops early, after the evaluation that gave this row of its curve."""
        return self.stop_at is not None and row[self.judged_by] >= self.stop_at

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
