"""The experiments behind the chapters, as plain data: which cells, on which graphs, with which fields of a run."""

from __future__ import annotations

from typing import Any

from lookahead.contracts import Objective, Task
from lookahead.errors import LookaheadError
from lookahead.evaluation.gradients import gradient_signal
from lookahead.experiments.experiment import Experiment, own_experiments

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

LONGEST_ARMS = {"teacher_forcing": 4, "reversed": 4, "teacherless": 3}
"""The longest arms that each objective learns something of in a minute."""

OPTIMIZERS: dict[str, dict[str, Any]] = {
    f"{objective}, {optimizer} {rate:g}": {
        "task": {"path_length": length},
        "objective": objective,
        "optimizer": optimizer,
        "learning_rate": rate,
    }
    for objective, length in LONGEST_ARMS.items()
    for optimizer, rates in (("adamw", (1e-3, 3e-3)), ("muon", (1e-3, 2e-3)))
    for rate in rates
}
"""Two optimisers at two rates."""

BATCHES: dict[str, dict[str, Any]] = {
    f"{objective}, {optimizer}, {batch_size}": {
        "task": {"path_length": length},
        "objective": objective,
        "optimizer": optimizer,
        "learning_rate": rate,
        "batch_size": batch_size,
        "steps": steps,
    }
    for objective, length in LONGEST_ARMS.items()
    for optimizer, rate in (("adamw", 2e-3), ("muon", 1e-3))
    for batch_size, steps in ((32, 1200), (64, 900), (128, 600), (256, 300))
}
"""Two optimisers, four batch sizes; at least 38,400 examples."""


ASKED = (("teacher_forcing", 4), ("teacher_forcing", 5), ("reversed", 4), ("reversed", 5), ("teacherless", 3))
"""Objectives, each with a path length."""

ARCHITECTURES: dict[str, dict[str, Any]] = {
    f"{model}, {objective}, {length}": {
        "task": {"path_length": length},
        "model": model,
        "objective": objective,
        "learning_rate": rate,
        "seeds": seeds,
    }
    for model, rate, seeds in (("tiny", 1e-3, 20), ("mamba-tiny", 2e-3, 10), ("mamba2-tiny", 2e-3, 10))
    for objective, length in ASKED
}
"""Three networks of about one size, each at the rate that suits it."""

MEMORIES: dict[str, dict[str, Any]] = {
    f"{state}, question {'first' if first else 'last'}": {
        "model": {"name": "mamba", "layers": 2, "width": 32, "state": state},
        "task": {"question_first": first},
    }
    for state in (1, 2, 4, 8, 16)
    for first in (False, True)
}
"""Numbers that a channel of a small Mamba remembers; the question behind the edges or before them."""

QUESTION_FIRST: dict[str, dict[str, Any]] = {
    f"{objective}, {length}": {
        "task": {"path_length": length, "question_first": True},
        "model": "mamba-tiny",
        "objective": objective,
    }
    for objective, length in (("teacher_forcing", 4), ("teacher_forcing", 5), ("reversed", 5))
}
"""What `ARCHITECTURES` asks of Mamba, with the question before the edges."""

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

PAPERS_ARCHITECTURES: dict[str, dict[str, Any]] = {
    f"{model}, {objective}": {"model": model, "objective": objective, "learning_rate": rate}
    for model, rate in (("mini", 5e-4), ("mamba-mini", 1e-4), ("mamba2-mini", 1e-4))
    for objective in ("teacher_forcing", "reversed", "teacherless")
}
"""At the paper's size, at its rates (Mamba's is said to be 1e-4; Mamba-2 is not in it)."""

PAPERS_GRAPHS = ((2, 5), (10, 5))
"""Of those of the paper, one with two arms and one with many."""


SHORT: dict[str, Any] = {
    "steps": 600, "optimizer": "muon", "schedule": "cosine", "evaluate_every": 20, "stop_at": 0.98
}  # fmt: skip
"""A training of a minute or two on one core."""


def gradients(objective: Objective, task: Task) -> dict[str, Any]:
    """What reaches each token: signal, noise and help to the decision, on 512 examples."""
    return {"gradient": gradient_signal(objective, task, "validation", 512)}


EXPERIMENTS = {
    e.name: e
    for e in (
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
        Experiment(
            name="optimizers",
            question="Which optimiser and rate learns soonest what each objective can learn?",
            graphs=((2, 4),),
            cells=OPTIMIZERS,
            fields={"steps": 300, "evaluate_every": 20, "stop_at": 0.98},
            seeds={"census": 2},
        ),
        Experiment(
            name="batches",
            question="Which batch size learns soonest, in steps and in computing time?",
            graphs=((2, 4),),
            cells=BATCHES,
            fields={"evaluate_every": 20, "stop_at": 0.98},
            seeds={"census": 3},
        ),
        Experiment(
            name="architecture",
            question="Is it the Transformer, or do Mamba and Mamba-2 fail in the same way?",
            graphs=((2, 4),),
            cells=ARCHITECTURES,
            fields=SHORT,
            at={"paper": {"graphs": PAPERS_GRAPHS, "cells": PAPERS_ARCHITECTURES}},
        ),
        Experiment(
            name="architecture-longer",
            question="At l = 4 Mamba leaves chance under teacher forcing. Does it learn the task, given time?",
            graphs=((2, 4),),
            cells={"mamba-tiny": {"model": "mamba-tiny", "objective": "teacher_forcing"}},
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
            graphs=((2, 4),),
            cells=QUESTION_FIRST,
            fields={**SHORT, "learning_rate": 2e-3},
            seeds={"census": 4},
        ),
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
        ),
        Experiment(
            name="memory",
            question="How much must a recurrent network remember, and does it help to know the question first?",
            graphs=((2, 5),),
            cells=MEMORIES,
            fields={**SHORT, "objective": "reversed", "learning_rate": 2e-3},
            seeds={"census": 5},
        ),
    )
}


def experiments() -> dict[str, Experiment]:
    """All by their names: the book's, and one's own."""
    return EXPERIMENTS | own_experiments()


def experiment(name: str) -> Experiment:
    """The experiment of that name.

    Raises:
        LookaheadError: there is none; the message lists those there are.
    """
    known = experiments()
    if name not in known:
        raise LookaheadError(f"unknown experiment {name!r}; known: {', '.join(known)}")
    return known[name]
