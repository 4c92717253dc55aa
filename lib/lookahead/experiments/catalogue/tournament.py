"""The tournament: every remedy on the same graphs, with the same network, optimiser and number of training steps.

Options are those of the sources where they name any for a path of l nodes; several tokens are all of them. Nothing is
tuned: the learning rate is that of chapter 6 for all.

Predictions, written down before any of these runs but those of teacher forcing and several tokens, which chapter 6 had
made on arms of four, and of one trial of teacherless training there, at 1/4 after 5,800 steps; from masked prediction
on, after the first seeds of those above them. What matters is what a *blind state* is asked for, one that has read the
prompt alone. Two explanations: the *ladder* (there must be a target for every number of look-ups from the goal) and the
*look* (any target that needs the goal will do; chapter 6 found it to be enough on arms of four, and at chance after
4,000 steps on arms of five). They stand in PREDICTIONS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lookahead.experiments.catalogue.several_tokens import FIELDS
from lookahead.experiments.catalogue.shared import path_star
from lookahead.experiments.experiment import Experiment

GRAPHS = ((2, 4, 10), (2, 5, 10), (3, 4, 16), (2, 6, 16))
"""Degree, path length and labels, from easy to hard."""


@dataclass(frozen=True)
class Prediction:
    """What two explanations say of a method before it is run: does it learn the choice?"""

    asked: str
    """What a blind state is asked for."""
    ladder: bool
    look: bool


PREDICTIONS = {
    "teacher_forcing": Prediction("the first step", False, False),
    "reversed": Prediction("the goal; then one parent at a time", True, True),
    "teacherless": Prediction("every token, each at a position of its own", True, True),
    "multi_token": Prediction("every token, by one head each", True, True),
    "token_order": Prediction("every token, the nearer the more", True, True),
    "joint_multi_token": Prediction("later tokens, given those between", False, True),
    "next_latent": Prediction("the states that predict later tokens, given those between", False, True),
    "future_summary": Prediction("which tokens come, in any order", True, True),
    "sequential_modules": Prediction("the first step; later ones with the teacher's tokens", False, False),
    "belief_state": Prediction("the next token for every end, and the one before that end", True, True),
    "masked": Prediction("every token, whatever the others that are hidden with it", True, True),
    "any_order": Prediction("every token as the first one", True, True),
    "register_tokens": Prediction("every token, each at a register that only looks on", True, True),
    "lookahead_tokens": Prediction("the first step; after a mark a later one, drawn at random", True, True),
}


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
        {"name": "sequential_modules", "modules": 1},
        "belief_state",
        "masked",
        "any_order",
        {"name": "register_tokens", "farthest": path_length - 1},
        "lookahead_tokens",
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
