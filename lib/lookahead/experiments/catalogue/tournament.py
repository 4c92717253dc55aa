"""The tournament: every remedy on the same graphs, with the same network, optimiser and number of training steps.

Options are those of the sources where they name any for a path of l nodes; several tokens are all of them. Nothing is
tuned: the learning rate is that of chapter 6 for all.

Predictions, written down before any of these runs but those of teacher forcing and several tokens, which chapter 6 had
made on arms of four, and of one trial of teacherless training there, at 1/4 after 5,800 steps. What matters is what a
*blind state* is asked for, one that has read the prompt alone. Two explanations: the *ladder* (there must be a target
for every number of look-ups from the goal) and the *look* (any target that needs the goal will do; chapter 6 found it
to be enough on arms of four, and at chance after 4,000 steps on arms of five).

| objective | a blind state is asked for | ladder | look |
| --- | --- | --- | --- |
| teacher_forcing | the first step | no | no |
| reversed | the goal, and later one parent at a time | yes | yes |
| teacherless | every token, each at a position of its own | yes | yes |
| multi_token | every token, by one head each | yes | yes |
| token_order | every token, the nearer the more | yes | yes |
| joint_multi_token | later tokens, given those between | no | yes |
| next_latent | the states that predict later tokens, given those between | no | yes |
| future_summary | which tokens come, in any order | yes | yes |
| sequential_modules | the first step; later ones by a block that reads the teacher's tokens | no | no |
| belief_state | the next token for every end, and the one before that end | yes | yes |
"""

from __future__ import annotations

from typing import Any

from lookahead.experiments.catalogue.several_tokens import FIELDS
from lookahead.experiments.catalogue.shared import path_star
from lookahead.experiments.experiment import Experiment

GRAPHS = ((2, 4, 10), (2, 5, 10), (3, 4, 16), (2, 6, 16))
"""Degree, path length and labels, from easy to hard."""


def entrants(path_length: int) -> list[Any]:
    """The objectives that are compared, with the options that fit an arm of that length."""
    return [
        "teacher_forcing",
        "reversed",
        "teacherless",
        {"name": "multi_token", "tokens": path_length},
        "token_order",
        {"name": "joint_multi_token", "tokens": path_length - 1},
        {"name": "next_latent", "horizon": path_length - 2},
        "future_summary",
        {"name": "sequential_modules", "modules": path_length - 1},
        "belief_state",
    ]


EXPERIMENTS = (
    Experiment(
        name="tournament",
        question="Which remedy learns the choice, and how soon?",
        cells=[
            {"task": path_star(degree, path_length, num_nodes=num_nodes), "objective": one}
            for degree, path_length, num_nodes in GRAPHS
            for one in entrants(path_length)
        ],
        fields=FIELDS,
        seeds={"census": 10},
    ),
)
