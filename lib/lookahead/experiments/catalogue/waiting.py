"""How long until the task is learnt."""

from __future__ import annotations

from typing import Any

from lookahead.experiments.experiment import Experiment

WAITING: dict[str, dict[str, Any]] = {
    "teacher_forcing, 4": {},
    "teacher_forcing, 5": {"task": {"path_length": 5}},
    "reversed, 4": {"objective": "reversed"},
    "reversed, 5": {"objective": "reversed", "task": {"path_length": 5}},
    "reversed, 3": {"objective": "reversed", "task": {"path_length": 3}},
    "reversed, 6": {"objective": "reversed", "task": {"path_length": 6, "num_nodes": 16}},
    "teacher_forcing, 3": {"task": {"path_length": 3}},
    "teacher_forcing, 6": {"task": {"path_length": 6, "num_nodes": 16}},
    "teacher_forcing, 4, 20 labels": {"task": {"num_nodes": 20}},
    "teacher_forcing, 4, 50 labels": {"task": {"num_nodes": 50}},
    "teacher_forcing, 4, 20000 graphs": {"train_examples": 20_000},
    "teacher_forcing, 4, adamw": {"optimizer": "adamw"},
    "teacher_forcing, 4, mamba": {"model": "mamba-tiny", "learning_rate": 2e-3, "steps": 20_000, "seeds": 3},
    "teacher_forcing, 5, mamba": {
        "model": "mamba-tiny", "learning_rate": 2e-3, "steps": 20_000, "seeds": 3, "task": {"path_length": 5}
    },
}  # fmt: skip
"""How long until the task is learnt, by path length, labels, data, optimiser, network; what decides most first."""


PAPERS_WAITING: dict[str, dict[str, Any]] = {name: {"objective": name} for name in ("teacher_forcing", "reversed")}

EXPERIMENTS = (
    Experiment(
        name="waiting",
        question="How long is never? With a teacher, at a constant rate, how many steps until the task is learnt?",
        graphs=((2, 4),),
        cells=WAITING,
        fields={
            "objective": "teacher_forcing",
            "steps": 60_000,
            "optimizer": "muon",
            "learning_rate": 1e-3,
            "evaluate_every": 200,
            "stop_at": 0.98,
        },
        seeds={"census": 5},
        at={"paper": {"graphs": ((2, 5),), "cells": PAPERS_WAITING}},
    ),
)
