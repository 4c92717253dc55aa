"""The experiments behind chapter 4."""

from __future__ import annotations

from typing import Any

from lookahead.contracts import Objective, Task
from lookahead.evaluation.gradients import gradient_signal
from lookahead.experiments.catalogue.shared import path_star
from lookahead.experiments.experiment import Experiment

TAUGHT_WHOLE: tuple[dict[str, Any], ...] = (
    {"name": "hints", "start": True, "later": True},
    {"name": "hints", "start": True, "later": False},
    {"name": "hints", "start": False, "later": True},
    {"name": "hints", "start": False, "later": False},
)
"""The teacher's hints, shown or hidden, with the whole answer taught."""

TAUGHT_ALONE: tuple[dict[str, Any], ...] = (
    {"name": "hints", "start": True, "taught": "decision"},
    {"name": "hints", "start": False, "taught": "decision"},
)
"""The decision taught alone, with its only hint shown and hidden."""

HINTS = (*TAUGHT_WHOLE, *TAUGHT_ALONE)


def gradients(objective: Objective, task: Task) -> dict[str, Any]:
    """What reaches each token: signal, noise and help to the decision, on 512 examples."""
    return {"gradient": gradient_signal(objective, task, "validation", 512)}


EXPERIMENTS = (
    Experiment(
        name="hints",
        question="Which of the teacher's hints keeps the first step from being learnt?",
        cells=[{"task": path_star(2, length), "objective": hints} for length in (3, 4) for hints in HINTS],
        fields={
            "steps": 600,
            "optimizer": "muon",
            "learning_rate": 1e-3,
            "stop_at": 0.98,
            "judged_by": "decision_accuracy",
        },
        probe=gradients,
        overrides={"paper": {"cells": [{"task": path_star(2, 5), "objective": hints} for hints in HINTS]}},
    ),
    Experiment(
        name="hints-longer",
        question="And with more steps, at l = 4?",
        cells=[{"task": path_star(2, 4), "objective": hints} for hints in TAUGHT_WHOLE],
        fields={
            "steps": 1500,
            "optimizer": "muon",
            "learning_rate": 1e-3,
            "stop_at": 0.98,
            "judged_by": "decision_accuracy",
        },
    ),
)
