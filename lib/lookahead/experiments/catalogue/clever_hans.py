"""The experiments behind chapter 3."""

from __future__ import annotations

from lookahead.experiments.catalogue.shared import PAPERS_GRAPHS, SHORT, path_star
from lookahead.experiments.experiment import Experiment

WAYS = ("teacher_forcing", "reversed")

EXPERIMENTS = (
    Experiment(
        name="direction",
        question="With a teacher, forward or backward: who learns the first step?",
        cells=[{"task": path_star(2, 4), "objective": way} for way in WAYS],
        fields={**SHORT, "learning_rate": 1e-3},
        overrides={"paper": {"cells": [{"task": graph, "objective": way} for graph in PAPERS_GRAPHS for way in WAYS]}},
    ),
    Experiment(
        name="direction-longer",
        question="Reversed, a few seeds are late. Do they get there with twice the steps?",
        cells=[{"task": path_star(2, 4), "objective": "reversed"}],
        fields={**SHORT, "learning_rate": 1e-3, "steps": 1200},
    ),
    Experiment(
        name="wrong-arm",
        question="Put on a wrong arm with several inner nodes: does it follow it, and does it finish it?",
        cells=[
            {"task": path_star(2, length, num_nodes=labels), "objective": "teacher_forcing"}
            for length, labels in ((8, 15), (5, 10))
        ],
        fields={**SHORT, "learning_rate": 1e-3},
        seeds={"census": 10},
    ),
)
