"""The experiments behind the appendix on optimisers."""

from __future__ import annotations

from typing import Any

from lookahead.experiments.catalogue.shared import path_star
from lookahead.experiments.experiment import Experiment

LONGEST_ARMS = {"teacher_forcing": 4, "reversed": 4, "teacherless": 3}
"""The longest arms that each objective learns something of in a minute."""


OPTIMIZERS: list[dict[str, Any]] = [
    {
        "task": path_star(2, length),
        "objective": objective,
        "optimizer": optimizer,
        "learning_rate": rate,
    }
    for objective, length in LONGEST_ARMS.items()
    for optimizer, rates in (("adamw", (1e-3, 3e-3)), ("muon", (1e-3, 2e-3)))
    for rate in rates
]
"""Two optimisers at two rates."""


BATCHES: list[dict[str, Any]] = [
    {
        "task": path_star(2, length),
        "objective": objective,
        "optimizer": optimizer,
        "learning_rate": rate,
        "batch_size": batch_size,
        "steps": steps,
    }
    for objective, length in LONGEST_ARMS.items()
    for optimizer, rate in (("adamw", 2e-3), ("muon", 1e-3))
    for batch_size, steps in ((32, 1200), (64, 900), (128, 600), (256, 300))
]
"""Two optimisers, four batch sizes; at least 38,400 examples."""


EXPERIMENTS = (
    Experiment(
        name="optimizers",
        question="Which optimiser and rate learns soonest what each objective can learn?",
        cells=OPTIMIZERS,
        fields={"steps": 300, "evaluate_every": 20, "stop_at": 0.98},
        seeds={"census": 2},
    ),
    Experiment(
        name="batches",
        question="Which batch size learns soonest, in steps and in computing time?",
        cells=BATCHES,
        fields={"evaluate_every": 20, "stop_at": 0.98},
        seeds={"census": 3},
    ),
)
