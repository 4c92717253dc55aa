"""What the slips of the published path-star code change: each switched by itself, against what the paper says.

The slips were read in gregorbachmann/Next-Token-Failures at b925a1e. Those that can move a number, and their switches:

| slip | what the code does | here |
| --- | --- | --- |
| `max_iters = len(train_data) * epochs` counts examples, not steps | the rate hardly decays | schedule |
| `AdamW(..., weight_decay=0.0)`, whatever the flag says | nothing decays | weight_decay |
| scaling looks for `mlp.projection`, the layer is called `mlp.proj` | residual weights start larger | scaled |
| training and test graphs are drawn apart from each other | some stand in both | "slips-shared" |

Predictions, written down before any run. None of the three moves what is learnt: reversed training succeeds with each
of them, teacher forcing stays at chance. A rate that does not decay may even help within so few steps. On arms of
three with ten labels, where nearly all graphs of the published test file stand in a training file of that size: as long
as the training examples are many, a network is no better on those that it has seen; with 1,000 of them it is, and
teacher forcing remembers their first steps.
"""

from __future__ import annotations

from typing import Any

from lookahead.contracts import Objective, Task
from lookahead.evaluation.measures import Measures, evaluate
from lookahead.experiments.catalogue.shared import path_star
from lookahead.experiments.experiment import Experiment

UNSCALED: dict[str, Any] = {"name": "transformer", "layers": 3, "width": 64, "heads": 4, "scaled": False}
STATED: dict[str, Any] = {"schedule": "cosine", "weight_decay": 0.01, "model": "tiny"}
SLIPS: tuple[dict[str, Any], ...] = ({"schedule": "constant"}, {"weight_decay": 0.0}, {"model": UNSCALED})
SWITCHED: tuple[dict[str, Any], ...] = (STATED, *({**STATED, **slip} for slip in SLIPS), *[{
    "schedule": "constant", "weight_decay": 0.0, "model": UNSCALED
}])  # fmt: skip
"""As the paper says; each slip; all of them."""
LONGEST_ARMS = (("reversed", 4), ("teacher_forcing", 4), ("teacherless", 3))
SEEN = 1000
"""Training examples that a network is judged on, too."""


def on_seen_examples(objective: Objective, task: Task) -> Measures:
    """What is right on training examples: of a small set, those that were seen again and again."""
    measures = evaluate(objective, task, "train", SEEN)
    return {f"seen_{name}": measures[name] for name in ("autoregressive_accuracy", "decision_accuracy")}


EXPERIMENTS = (
    Experiment(
        name="slips",
        question="Do the slips of the published code change what is learnt?",
        cells=[
            {"task": path_star(2, length), "objective": objective, **switched}
            for objective, length in LONGEST_ARMS
            for switched in SWITCHED
        ],
        fields={"steps": 1500, "optimizer": "adamw", "evaluate_every": 50, "stop_at": 0.98},
        seeds={"census": 10},
    ),
    Experiment(
        name="slips-shared",
        question="Is a network better on graphs that it has been trained on?",
        cells=[
            {"task": path_star(2, 3), "objective": objective, "train_examples": examples}
            for objective in ("reversed", "teacher_forcing")
            for examples in (SEEN, 20_000, 200_000)
        ],
        fields={"steps": 3000, "optimizer": "adamw", "evaluate_every": 100, "schedule": "cosine"},
        probe=on_seen_examples,
        seeds={"census": 5},
    ),
    Experiment(
        name="published-files",
        question="What do networks of ours make of the published test files?",
        cells=[
            {"task": path_star(degree, length, num_nodes=labels), "objective": objective}
            for degree, length, labels in ((2, 3, 10), (2, 3, 50), (3, 3, 50), (5, 3, 50), (2, 5, 50))
            for objective in ("reversed", "teacher_forcing")
        ],
        fields={"steps": 4000, "optimizer": "muon", "learning_rate": 1e-3, "evaluate_every": 100, "stop_at": 0.98},
        seeds={"census": 3},
    ),
)
