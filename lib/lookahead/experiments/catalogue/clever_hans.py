"""The experiments behind chapter 3."""

from __future__ import annotations

from lookahead.experiments.catalogue.shared import PAPERS_GRAPHS, SHORT
from lookahead.experiments.experiment import Experiment

EXPERIMENTS = (
    Experiment(
        name="direction",
        question="With a teacher, forward or backward: who learns the first step?",
        graphs=((2, 4),),
        cells={name: {"objective": name} for name in ("teacher_forcing", "reversed")},
        fields={**SHORT, "learning_rate": 1e-3},
        at={"paper": {"graphs": PAPERS_GRAPHS}},
    ),
    Experiment(
        name="direction-longer",
        question="Reversed, a few seeds are late. Do they get there with twice the steps?",
        graphs=((2, 4),),
        cells={"reversed": {"objective": "reversed"}},
        fields={**SHORT, "learning_rate": 1e-3, "steps": 1200},
    ),
)
