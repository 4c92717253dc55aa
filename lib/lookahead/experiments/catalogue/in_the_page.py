"""Networks small enough to answer in a reader's browser, as they stand at a few moments of their training.

The learning rate is constant and every graph is fresh, so a run of fewer training steps is the beginning of a longer
one: the runs of one method are one training, stopped earlier and later.
"""

from __future__ import annotations

from typing import Any

from lookahead.experiments.catalogue.several_tokens import FIELDS, heads
from lookahead.experiments.catalogue.shared import path_star
from lookahead.experiments.experiment import Experiment

STEPS_BACK: dict[str, Any] = {"name": "latent_lookahead", "order": "backward", "steps": 3}
"""Latent steps back, as in the tournament: one for each token of a path of four nodes but the first."""

MOMENTS: dict[tuple[int, int], list[tuple[Any, tuple[int, ...]]]] = {
    (2, 4): [
        ("teacher_forcing", (50, 100, 300, 1000)),
        ("reversed", (50, 100, 200)),
        (heads(4), (50, 100, 500, 1200)),
        (STEPS_BACK, (100, 300, 1000)),
    ],
    (3, 4): [
        ("teacher_forcing", (100, 300, 1000)),
        ("reversed", (100, 300, 800)),
    ],
}
"""Degree and path length -> the methods, and after how many training steps each is shown; some stop before.

Three arms with several tokens at once are missing: the one network that was tried followed no arm. With latent steps
back none has been trained to its end: one that was begun had learnt the goal, a copy, after 300 training steps, and no
more.
"""

EXPERIMENTS = (
    Experiment(
        name="in-the-page",
        question="What does each method answer after how many training steps, on a graph of the reader's own?",
        cells=[
            {"task": path_star(*sizes), "objective": method, "steps": steps}
            for sizes, methods in MOMENTS.items()
            for method, moments in methods
            for steps in moments
        ],
        fields=FIELDS,
        seeds={"census": 1, "paper": 1},
    ),
)
