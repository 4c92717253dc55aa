"""The tournament: every remedy on the same graphs, with the same network, optimiser and number of training steps.

Options are those of the sources where they name any for a path of l nodes; several tokens are all of them. Nothing is
tuned: the learning rate is that of chapter 6 for all.

Predictions, written down before any of these runs but those of teacher forcing and several tokens, which chapter 6 had
made on arms of four, and of one trial of teacherless training there, at 1/4 after 5,800 steps; from masked prediction
on, after the first seeds of those above them. What matters is what a *blind state* is asked for, one that has read the
prompt alone. Two explanations: the *ladder* (there must be a target for every number of look-ups from the goal) and the
*look* (any target that needs the goal will do; chapter 6 found it to be enough on arms of four, and at chance after
4,000 steps on arms of five).

A third, *one state*, was written down when masked prediction and any order had failed on arms of four, and hidden hints
was at chance after 1,500 steps; before any result of register tokens, lookahead tokens, first step weighted, ranking,
latent lookahead, latent tokens and planning tokens: the very state that chooses must be asked, at once, for more than
the first step. Another state, or the same one in another example, does not help it to look.

*Latent steps back* is of our own, made after the outcomes of the other twenty on arms of four, for reversed training
was the soonest there: what it reads of itself begins at the goal, and each step is one look-up. Written down before any
of its runs: learnt on arms of four within 300 training steps; on arms of five and six, where most are late, within
600.

What they say stands with each of the ENTRANTS.

"follow-at-all": of the first three networks that were taught reversed on arms of six, one had learnt the task after 350
training steps, and two had not after 4,000 and 2,900: they had not even learnt to go from a node to its parent.
Written down before any of these runs: it is the training, not the task. With AdamW, with a third of the learning rate,
and with a warm-up ten times as long they learn it, all of them.

"warmed-up": seed 0 had learnt it in each of the three ways when this was written, before any run of "warmed-up". It
gives the longer warm-up to the other networks of ours that did not even follow an edge: masked and teacherless on arms
of four, and the ladders with rungs 1 and 2, and 0, 1 and 2, on arms of five. Expected: all of them follow edges. Then
masked and both ladders learn the choice, as the ladder says; teacherless, whose states are all blind, stays behind.
When masked had learnt it (0.976), all the others were added on arms of four. Expected, before any of them ran: those
that had followed edges without learning the choice do so again, for they were not held up there, and those that had
learnt it learn it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lookahead.experiments.catalogue.several_tokens import FIELDS, ladder
from lookahead.experiments.catalogue.shared import path_star
from lookahead.experiments.experiment import Experiment
from lookahead.runs.run import Run

GRAPHS = ((2, 4, 10), (2, 5, 10), (3, 4, 16), (2, 6, 16))
"""Degree, path length and labels, from easy to hard."""


@dataclass(frozen=True)
class Entrant:
    """A method, and what three explanations said of it before it was run: does it learn the choice?"""

    title: str
    objective: Mapping[str, Any]
    """Without the option that depends on the length of a path."""
    asked: str
    """What a blind state is asked for."""
    ladder: bool
    look: bool
    one: bool
    """For those that are not FORETOLD, after their runs."""
    length: tuple[str, int] | None = None
    """That option, and by how much it differs from the number of nodes on a path."""

    def method(self, path_length: int) -> dict[str, Any]:
        """The objective for paths of that length."""
        return {**self.objective, **({self.length[0]: path_length + self.length[1]} if self.length else {})}


def entrant(title: str, objective: str, asked: str, ladder: bool, look: bool, one: bool, **options: Any) -> Entrant:
    """An entrant by its objective's name and options; `length` is the one that depends on the path."""
    length = options.pop("length", None)
    return Entrant(title, {"name": objective, **options}, asked, ladder, look, one, length)


ENTRANTS = (
    entrant("teacher forcing", "teacher_forcing", "the first step", False, False, False),
    entrant("reversed", "reversed", "the goal; then one parent at a time", True, True, True),
    entrant("teacherless", "teacherless", "every token, each at a position of its own", True, True, False),
    entrant("several tokens", "multi_token", "every token, by one head each", True, True, True, length=("tokens", 0)),
    entrant("token order", "token_order", "every token, the nearer the more", True, True, True),
    entrant(
        "several tokens jointly",
        "joint_multi_token",
        "later tokens, given those between",
        False,
        True,
        True,
        length=("tokens", -1),
    ),
    entrant(
        "next latent state",
        "next_latent",
        "the states that predict later tokens, given those between",
        False,
        True,
        True,
        length=("horizon", -2),
    ),
    entrant("future summary", "future_summary", "which tokens come, in any order", True, True, True),
    entrant(
        "sequential modules",
        "sequential_modules",
        "the first step; later ones with the teacher's tokens",
        False,
        False,
        False,
        modules=1,
    ),
    entrant(
        "belief state", "belief_state", "the next token for every end, and the one before that end", True, True, True
    ),
    entrant("masked", "masked", "every token, whatever the others that are hidden with it", True, True, False),
    entrant("any order", "any_order", "every token as the first one", True, True, False),
    entrant(
        "register tokens",
        "register_tokens",
        "every token, each at a register that only looks on",
        True,
        True,
        False,
        length=("farthest", -1),
    ),
    entrant(
        "lookahead tokens",
        "lookahead_tokens",
        "the first step; after a mark a later one, drawn at random",
        True,
        True,
        False,
    ),
    entrant("hidden hints", "corrupted", "every token, where all before it are hidden", True, True, False, how="mask"),
    entrant("first step weighted", "hints", "the first step", False, False, False, weight=8),
    entrant("ranking", "ranking", "the order of all tokens", True, True, True),
    entrant(
        "latent lookahead",
        "latent_lookahead",
        "every token, each at a state that is read again",
        True,
        True,
        False,
        order="forward",
        length=("steps", -1),
    ),
    entrant(
        "latent tokens",
        "latent_tokens",
        "every token, each at a slot of its own",
        True,
        True,
        False,
        length=("tokens", 0),
    ),
    entrant("planning tokens", "planning_tokens", "an encoding of the whole answer", True, True, False),
    entrant(
        "latent steps back",
        "latent_lookahead",
        "every token from the goal on, each at a state that is read again",
        True,
        True,
        False,
        order="backward",
        length=("steps", -1),
    ),
)


FORETOLD = (
    "register tokens",
    "lookahead tokens",
    "first step weighted",
    "ranking",
    "latent lookahead",
    "latent tokens",
    "planning tokens",
    "latent steps back",
)
"""Of these the third explanation spoke before their outcome was known."""


def entrant_of(run: Run) -> Entrant:
    """Whose run of the tournament it is."""
    length = run.config["task"]["path_length"]
    taught: Any = run.objective  # with the options that stand at their default
    return next(one for one in ENTRANTS if one.method(length).items() <= taught.items())


EXPERIMENTS = (
    Experiment(
        name="tournament",
        question="Which remedy learns the choice, and how soon?",
        cells=[
            {"task": path_star(degree, path_length, num_nodes=num_nodes), "objective": one.method(path_length)}
            for degree, path_length, num_nodes in GRAPHS
            for one in ENTRANTS
        ],
        fields=FIELDS,
        seeds={"census": 10},
    ),
    Experiment(
        name="follow-at-all",
        question="Why do some networks not even learn to follow an edge?",
        cells=[
            {"learning_rate": 1e-3},
            {"optimizer": "adamw", "learning_rate": 2e-3},
            {"learning_rate": 3e-4},
            {"warmup": 500},
        ],
        fields={**FIELDS, "task": path_star(2, 6, num_nodes=16), "objective": "reversed"},
        seeds={"census": 5},
    ),
    Experiment(
        name="warmed-up",
        question="Does a longer warm-up help the others that did not follow an edge?",
        cells=[
            *({"task": path_star(2, 4), "objective": one.method(4)} for one in ENTRANTS),
            {"task": path_star(2, 5), "objective": ladder(1, 2)},
            {"task": path_star(2, 5), "objective": ladder(0, 1, 2)},
        ],
        fields={**FIELDS, "warmup": 500},
        seeds={"census": 5},
    ),
)
