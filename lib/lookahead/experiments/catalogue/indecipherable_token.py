"""The experiments behind chapter 4."""

from __future__ import annotations

from typing import Any

from lookahead.contracts import Objective, Task
from lookahead.evaluation.gradients import gradient_signal
from lookahead.experiments.experiment import Experiment

HINTS: dict[str, dict[str, Any]] = {
    "start shown, later shown": {"name": "hints", "start": True, "later": True},
    "start shown, later hidden": {"name": "hints", "start": True, "later": False},
    "start hidden, later shown": {"name": "hints", "start": False, "later": True},
    "start hidden, later hidden": {"name": "hints", "start": False, "later": False},
    "decision alone, start shown": {"name": "hints", "start": True, "taught": "decision"},
    "decision alone, start hidden": {"name": "hints", "start": False, "taught": "decision"},
}
"""Which of the teacher's hints are shown, and the decision taught alone."""


LONGER = tuple(label for label in HINTS if "alone" not in label)
"""The cells of `HINTS` that were given more steps: the whole answer taught."""


def gradients(objective: Objective, task: Task) -> dict[str, Any]:
    """What reaches each token: signal, noise and help to the decision, on 512 examples."""
    return {"gradient": gradient_signal(objective, task, "validation", 512)}


EXPERIMENTS = (
    Experiment(
        name="hints",
        question="Which of the teacher's hints keeps the first step from being learnt?",
        graphs=((2, 3), (2, 4)),
        cells={label: {"objective": objective} for label, objective in HINTS.items()},
        fields={
            "steps": 600,
            "optimizer": "muon",
            "learning_rate": 1e-3,
            "stop_at": 0.98,
            "judged_by": "decision_accuracy",
        },
        probe=gradients,
        at={"paper": {"graphs": ((2, 5),)}},
    ),
    Experiment(
        name="hints-longer",
        question="And with more steps, at l = 4?",
        graphs=((2, 4),),
        cells={label: {"objective": HINTS[label]} for label in LONGER},
        fields={
            "steps": 1500,
            "optimizer": "muon",
            "learning_rate": 1e-3,
            "stop_at": 0.98,
            "judged_by": "decision_accuracy",
        },
        seeds={"census": 5},
    ),
)
