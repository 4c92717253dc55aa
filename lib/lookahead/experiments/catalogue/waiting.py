"""How long until the task is learnt.

Predictions for the cells of "waiting" with a teacher, beyond ten labels, Muon and a Transformer on arms of four and
five. Known then: the outcomes of five networks there, four of them at chance after 60,000 training steps; Mamba on arms
of four, one seed, which had learnt the task after 800; arms of three, at chance for the first 10,000; AdamW for the
first 4,000.

- **Arms of three, arms of six, twenty labels, fifty labels, AdamW**: at chance for all 60,000 training steps.
- **20,000 fixed graphs**: the first step of the training graphs is memorised; on other graphs it stays at chance.
- **Mamba**: on arms of four two of three seeds learn within 5,000 training steps, all of which return from a wrong arm,
  as in chapter 5; on arms of five none within 20,000.

"repeats" was thought of when the first network that saw the same 20,000 graphs again and again had learnt the task on
arms of four, after 8,600 training steps, and was right on graphs that it had never seen: the second prediction above
missed. On modular multiplication Charton and Kempe ("Emergent properties with repeated examples", 2024) saw the same.
Written down then, before any of its runs (arms of four where nothing else is said, 20,000 training steps):

- **20,000 fixed graphs again, other seeds** (cells of "waiting"): four of five learn the task within 20,000 steps.
- **2,000**: learnt by heart within 3,000 steps; on other graphs the first step stays at chance.
- **200,000**: 13 times each within the training; at chance.
- **Arms of five, 20,000**: leaves chance within the training, one network or more of three, later than arms of four.
- **Arms of three, 20,000 and 2,000**: the task is learnt with 20,000, and learnt by heart with 2,000.
- **AdamW, 20,000**: as with Muon.
- **Fresh graphs**, another three networks for 10,000 steps: at chance.

Added when a second network with 20,000 graphs had learnt most of them by heart after 13,000 training steps and was at
chance on others, and so had one on arms of five after 8,000; before any run of these:

- **50,000**: too many to be learnt by heart soon; leaves chance in one network of three or more.
- **A half from 20,000, the rest fresh**: as 50,000. **A quarter from 2,000, the rest fresh**: the 2,000 are learnt by
  heart, at chance on others.

Added when three of five networks with 20,000 graphs, none of five with fresh ones, and the first with 50,000 had left
chance within 10,000 training steps; before any run of these:

- **50,000, other seeds, 10,000 training steps**: more than half leave chance, for learning by heart takes longer.
- **20,000 and fresh ones, ten seeds each**: five to seven leave chance with 20,000, one at most with fresh ones.

"held-up" was thought of when the long warm-up of chapter 7 had helped others. Nothing was written down before it.

"slower" was thought of when a mixture of drills (see `pretraining`) had got on at a third of the learning rate and not
at the full one, with look-ups that stayed a guess among six, as the first step is a guess among two. Written down
before any of its runs: the first step stays a guess for 12,000 training steps with each of the three settings.
"""

from __future__ import annotations

from typing import Any

from lookahead.experiments.catalogue.shared import path_star
from lookahead.experiments.experiment import Experiment

FORCED, REVERSED = {"objective": "teacher_forcing"}, {"objective": "reversed"}
MAMBA: dict[str, Any] = {"model": "mamba-tiny", "learning_rate": 2e-3, "steps": 20_000, "seeds": 3}

WAITING: list[dict[str, Any]] = [
    {**FORCED, "task": path_star(2, 4)},
    {**FORCED, "task": path_star(2, 5)},
    {**REVERSED, "task": path_star(2, 4)},
    {**REVERSED, "task": path_star(2, 5)},
    {**REVERSED, "task": path_star(2, 3)},
    {**REVERSED, "task": path_star(2, 6, num_nodes=16), "steps": 5_000},
    {**FORCED, "task": path_star(2, 3)},
    {**FORCED, "task": path_star(2, 6, num_nodes=16), "steps": 5_000},
    {**FORCED, "task": path_star(2, 4, num_nodes=20)},
    {**FORCED, "task": path_star(2, 4, num_nodes=50), "steps": 10_000},
    {**FORCED, "task": path_star(2, 4), "train_examples": 20_000},
    {**FORCED, "task": path_star(2, 4), "optimizer": "adamw"},
    {**FORCED, "task": path_star(2, 4), **MAMBA},
    {**FORCED, "task": path_star(2, 5), **MAMBA},
]
"""How long until the task is learnt, by path length, labels, data, optimiser, network; what decides most first."""


EXPERIMENTS = (
    Experiment(
        name="waiting",
        question="How long is never? With a teacher, at a constant rate, how many steps until the task is learnt?",
        cells=WAITING,
        fields={
            "steps": 60_000,
            "optimizer": "muon",
            "learning_rate": 1e-3,
            "evaluate_every": 200,
            "stop_at": 0.98,
        },
        seeds={"census": 5},
        overrides={"paper": {"cells": [{**way, "task": path_star(2, 5)} for way in (FORCED, REVERSED)]}},
    ),
    Experiment(
        name="repeats",
        question="With a teacher: does it help to see the same graphs again?",
        cells=[
            {"task": path_star(2, 5), "train_examples": 20_000},
            {"task": path_star(2, 4), "train_examples": 2_000},
            {"task": path_star(2, 4), "train_examples": 200_000},
            {"task": path_star(2, 3), "train_examples": 20_000},
            {"task": path_star(2, 3), "train_examples": 2_000},
            {"task": path_star(2, 4), "train_examples": 20_000, "optimizer": "adamw"},
            {"task": path_star(2, 4), "steps": 10_000},
            {"task": path_star(2, 4), "train_examples": 20_000, "steps": 10_000},
            {"task": path_star(2, 4), "train_examples": 50_000},
            {"task": path_star(2, 4), "train_examples": 20_000, "repeated": 0.5},
            {"task": path_star(2, 4), "train_examples": 2_000, "repeated": 0.25},
            {"task": path_star(2, 4), "train_examples": 50_000, "steps": 10_000},
        ],
        fields={
            **FORCED,
            "steps": 20_000,
            "optimizer": "muon",
            "learning_rate": 1e-3,
            "evaluate_every": 200,
            "stop_at": 0.98,
        },
        seeds={"census": 10},
    ),
    Experiment(
        name="held-up",
        question="Was the reversed network that never learns arms of three held up by the settings of its training?",
        cells=[{"warmup": 500}, {"optimizer": "adamw", "learning_rate": 2e-3}, {"learning_rate": 3e-4}],
        fields={
            **REVERSED,
            "task": path_star(2, 3),
            "steps": 3000,
            "optimizer": "muon",
            "learning_rate": 1e-3,
            "evaluate_every": 50,
            "stop_at": 0.98,
        },
        seeds={"census": 1},
    ),
    Experiment(
        name="slower",
        question="Is the coin of teacher forcing a matter of the learning rate?",
        cells=[
            {"learning_rate": 3e-4},
            {"optimizer": "adamw", "learning_rate": 5e-4},
            {"learning_rate": 1e-4},
        ],
        fields={
            **FORCED,
            "task": path_star(2, 4),
            "steps": 12_000,
            "optimizer": "muon",
            "warmup": 500,
            "evaluate_every": 100,
            "stop_at": 0.98,
        },
        seeds={"census": 3},
    ),
)
