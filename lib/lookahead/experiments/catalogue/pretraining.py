"""Does a pretrained network cheat, too? Pretraining in miniature: look-ups both ways, copying, sorting; then path-star.

Predictions, written down before any of these runs. (Two trainings came before the drills as they stand
here, and nothing was trained from either. The first version of the task asked for the pairs after the one that is
looked up, too: after 3,000 training steps keys were right in a fifth of the examples and values in a hundredth. The
present one, at the learning rate of the others: copies and sorted keys are learnt by training step 300, and after 3,000
a look-up is still a guess among six pairs, in both directions. Look-ups alone, without copies and sorting, are learnt
within 700. At a third of the rate the mixture gets on, so the drills have that. The predictions are older than all of
this.)

- **The drills** are learnt within 3,000 training steps, look-ups and copying whole; sorting, in most examples.
- **With a teacher** a pretrained network follows arms within 100 training steps, and its first step is right in half of
  the graphs after 4,000, as without pretraining: it can look up a parent, but nothing asks it to begin at the goal.
- **Reversed** it learns the task within 100 training steps.
- **Several tokens** it learns within half of the training steps that it needs from scratch: the heads have to learn
  what to look up, and no longer how.
- **Teacherless** it does no better than from scratch, for its states are blind, and it was never asked without a
  teacher.
"""

from __future__ import annotations

from typing import Any

import torch

from lookahead.contracts import Objective, Task
from lookahead.errors import LookaheadError
from lookahead.evaluation.measures import Measures, evaluate_on
from lookahead.experiments.catalogue.several_tokens import FIELDS, heads
from lookahead.experiments.catalogue.shared import path_star
from lookahead.experiments.experiment import Experiment
from lookahead.machine import device_of
from lookahead.tasks.drills import KINDS, Drills

PRETRAINED: dict[str, Any] = {**FIELDS, "warmup": 500}


def drills(path_length: int, num_nodes: int) -> dict[str, Any]:
    """The pretraining for two arms of that length."""
    task = {"name": "drills", "degree": 2, "path_length": path_length, "num_nodes": num_nodes}
    rate = {"learning_rate": 3e-4, "steps": 3000, "evaluate_every": 100, "stop_at": None}
    return {"task": task, "objective": "teacher_forcing", **rate}


def cells(path_length: int, num_nodes: int) -> list[dict[str, Any]]:
    """Path-star after the drills, and from scratch."""
    ways = (heads(path_length), "reversed", "teacher_forcing", "teacherless")
    task, before = path_star(2, path_length, num_nodes=num_nodes), drills(path_length, num_nodes)
    return [{"task": task, "objective": way, **more} for more in ({"start_from": before}, {}) for way in ways]


def by_kind(objective: Objective, task: Task) -> Measures:
    """The share of whole answers that are right, of each kind of drill."""
    if not isinstance(task, Drills):
        raise LookaheadError(f"only drills are of several kinds, not {task.title}")
    prompts, answers = task.sample("validation", torch.arange(PROBED, device=device_of(objective)))
    found = {}
    for number, kind in enumerate(KINDS):
        chosen = task.kind_of(prompts) == number
        found[kind] = evaluate_on(objective, task, prompts[chosen], answers[chosen])["autoregressive_accuracy"]
    return found


PROBED = 512
"""Validation examples that are looked at kind by kind."""
SMALL, PAPER = (4, 10), (5, 50)

EXPERIMENTS = (
    Experiment(
        name="drills",
        question="Are look-ups, copying and sorting learnt before path-star?",
        cells=[drills(*SMALL)],
        fields=PRETRAINED,
        probe=by_kind,
        seeds={"census": 5},
        overrides={"paper": {"cells": [drills(*PAPER)]}},
    ),
    Experiment(
        name="pretrained",
        question="Does a network that was taught other tasks before still cheat?",
        cells=cells(*SMALL),
        fields=PRETRAINED,
        seeds={"census": 5},
        overrides={"paper": {"cells": cells(*PAPER)}},
    ),
)
