"""The experiments behind chapter 5."""

from __future__ import annotations

from typing import Any

from lookahead.experiments.catalogue.shared import PAPERS_GRAPHS, SHORT, path_star
from lookahead.experiments.experiment import Experiment

ASKED = (("teacher_forcing", 4), ("teacher_forcing", 5), ("reversed", 4), ("reversed", 5), ("teacherless", 3))
"""Objectives, each with a path length."""


ARCHITECTURES: list[dict[str, Any]] = [
    {
        "task": path_star(2, length),
        "model": model,
        "objective": objective,
        "learning_rate": rate,
        "seeds": seeds,
    }
    for model, rate, seeds in (("tiny", 1e-3, 20), ("mamba-tiny", 2e-3, 10), ("mamba2-tiny", 2e-3, 10))
    for objective, length in ASKED
]
"""Three networks of about one size, each at the rate that suits it."""


PAPERS_ARCHITECTURES: list[dict[str, Any]] = [
    {"task": graph, "model": model, "objective": objective, "learning_rate": rate}
    for graph in PAPERS_GRAPHS
    for model, rate in (("mini", 5e-4), ("mamba-mini", 1e-4), ("mamba2-mini", 1e-4))
    for objective in ("teacher_forcing", "reversed", "teacherless")
]
"""At the paper's size, at its rates (Mamba's is said to be 1e-4; Mamba-2 is not in it)."""


QUESTION_FIRST: list[dict[str, Any]] = [
    {"task": path_star(2, length, question_first=True), "model": "mamba-tiny", "objective": objective}
    for objective, length in (("teacher_forcing", 4), ("teacher_forcing", 5), ("reversed", 5))
]
"""What `ARCHITECTURES` asks of Mamba, with the question before the edges."""


MEMORIES: list[dict[str, Any]] = [
    {
        "task": path_star(2, 5, question_first=first),
        "model": {"name": "mamba", "layers": 2, "width": 32, "state": state},
    }
    for state in (1, 2, 4, 8, 16)
    for first in (False, True)
]
"""Numbers that a channel of a small Mamba remembers; the question behind the edges or before them."""


EXPERIMENTS = (
    Experiment(
        name="architecture",
        question="Is it the Transformer, or do Mamba and Mamba-2 fail in the same way?",
        cells=ARCHITECTURES,
        fields=SHORT,
        overrides={"paper": {"cells": PAPERS_ARCHITECTURES}},
    ),
    Experiment(
        name="architecture-longer",
        question="At l = 4 Mamba leaves chance under teacher forcing. Does it learn the task, given time?",
        cells=[{"task": path_star(2, 4), "model": "mamba-tiny", "objective": "teacher_forcing"}],
        fields={
            "steps": 1800,
            "optimizer": "muon",
            "learning_rate": 2e-3,
            "schedule": "cosine",
            "evaluate_every": 50,
            "stop_at": 0.98,
        },
        seeds={"census": 3},
    ),
    Experiment(
        name="question-first",
        question="Start and goal known before the edges are read: does Mamba still fail with a teacher?",
        cells=QUESTION_FIRST,
        fields={**SHORT, "learning_rate": 2e-3},
        seeds={"census": 4},
    ),
    Experiment(
        name="memory",
        question="How much must a recurrent network remember, and does it help to know the question first?",
        cells=MEMORIES,
        fields={**SHORT, "objective": "reversed", "learning_rate": 2e-3},
        seeds={"census": 5},
    ),
)
