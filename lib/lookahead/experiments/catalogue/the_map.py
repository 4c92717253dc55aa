"""Where the failure is, and where it is not: degree, path length and labels, one at a time and together.

The warm-up is the long one of chapter 7, so that nobody is held up before the task by the settings of the training.

Predictions, written down before any of these runs. Known were the outcomes with ten labels on two arms of three to
five, most of them with a short warm-up.

- **With a teacher** the first step is right in 1/d of the graphs, on every graph of the map, after 4,000 training
  steps; arms are followed on all of them.
- **Reversed** learns every graph, within 1,000 training steps on two arms, within 2,000 on five. Longer arms cost
  little, for a look-up is a look-up; more arms cost more, for there are more edges to tell apart.
- **Several tokens** learn arms of three at every degree, arms of four at two and three, arms of five at two at most,
  and late. The ladder is as long as the arm; the wait for its first rung grows with the number of edges.
- **More labels** with the same graph (10, 21, 50) delay everybody, by less than a factor of two, and change no outcome.

"five-graphs" are those of the paper. Predictions, written down before any of its runs, and before any of the map's:

- **Reversed** learns all five, G(20,5) included, where the published networks that were trained from scratch have
  nothing right: 240 tokens of edges only make the look-up wait. Within 4,000 training steps, G(2,20) before G(20,5).
- **With a teacher** all five end at 1/d, unless the network does not learn to follow an edge among eighty.

"few-graphs" was thought of when networks with a teacher had learnt 2,000 and 20,000 graphs by heart (see "repeats" in
`waiting`). Predictions, written down before any of its runs:

- **Reversed** learns the task from 2,000 graphs and from 20,000, as soon as from new ones; from 500 it learns by heart,
  and has less than 0.9 of the other paths right.
- **Several tokens** learn it from 20,000 as from new ones; from 2,000 they learn by heart, at chance on others.
"""

from __future__ import annotations

from typing import Any

from lookahead.experiments.catalogue.several_tokens import FIELDS, heads
from lookahead.experiments.catalogue.shared import path_star
from lookahead.experiments.experiment import Experiment

LABELS = 21
"""As many as the largest graph of the map has nodes."""
GRAPHS = (
    *((degree, path_length, LABELS) for path_length in (4, 3, 5) for degree in (2, 3, 5)),
    *((2, 4, labels) for labels in (50, 10)),
)
"""Degree, path length and labels."""
PAPERS = ((2, 5, 50), (5, 5, 50), (10, 5, 50), (2, 20, 50), (20, 5, 100))
"""Bachmann and Nagarajan's five graphs."""


def cells(graphs: tuple[tuple[int, int, int], ...], *objectives: str, **fields: Any) -> list[dict[str, Any]]:
    """Several tokens, as many as a path has, and the other objectives on each graph."""
    return [
        {"task": path_star(degree, path_length, num_nodes=labels), "objective": objective, **fields}
        for degree, path_length, labels in graphs
        for objective in (*objectives, heads(path_length))
    ]


EXPERIMENTS = (
    Experiment(
        name="map",
        question="On which graphs does a teacher-forced network fail, and a cured one succeed?",
        cells=cells(GRAPHS, "teacher_forcing", "reversed"),
        fields={**FIELDS, "warmup": 500},
        seeds={"census": 10},
        overrides={
            "paper": {
                "cells": [
                    one
                    for model in ("mini", "mamba-mini")
                    for one in cells(PAPERS, "teacher_forcing", "teacherless", "reversed", model=model)
                ]
            }
        },
    ),
    Experiment(
        name="five-graphs",
        question="On the graphs of the paper, with a network that one core can train: who learns?",
        cells=[
            {"task": path_star(degree, path_length, num_nodes=labels), "objective": objective}
            for objective in ("reversed", "teacher_forcing")
            for degree, path_length, labels in PAPERS
        ],
        fields={**FIELDS, "warmup": 500},
        seeds={"census": 3},
    ),
    Experiment(
        name="few-graphs",
        question="From how few graphs is the task learnt, by how the network is asked?",
        cells=[
            {"objective": objective, "train_examples": count}
            for count in (2_000, 500, 20_000)
            for objective in ("reversed", heads(4))
        ],
        fields={**FIELDS, "task": path_star(2, 4)},
        seeds={"census": 5},
    ),
)
