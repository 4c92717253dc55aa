"""The experiments behind the book, one file a chapter: plain data, which cells with which fields of a run."""

from __future__ import annotations

from lookahead.errors import LookaheadError
from lookahead.experiments.catalogue import (
    clever_hans,
    family,
    in_the_page,
    indecipherable_token,
    lasting,
    not_the_architecture,
    optimisers,
    pretraining,
    several_tokens,
    slips,
    the_map,
    tournament,
    waiting,
)
from lookahead.experiments.experiment import Experiment, own_experiments

CHAPTERS = (
    clever_hans,
    indecipherable_token,
    not_the_architecture,
    several_tokens,
    tournament,
    lasting,
    waiting,
    the_map,
    slips,
    optimisers,
    in_the_page,
    family,
    pretraining,
)
EXPERIMENTS = {experiment.name: experiment for chapter in CHAPTERS for experiment in chapter.EXPERIMENTS}


def all_experiments() -> dict[str, Experiment]:
    """All experiments by name: the book's, and those of `LOOKAHEAD_EXPERIMENTS`.

    Raises:
        LookaheadError: as `own_experiments`, or one of them has the name of one of the book's.
    """
    own = own_experiments()
    if taken := [name for name in own if name in EXPERIMENTS]:
        raise LookaheadError(f"the book has an experiment {', '.join(taken)} of its own: name yours otherwise")
    return EXPERIMENTS | own


def find_experiment(name: str) -> Experiment:
    """The experiment of that name.

    Raises:
        LookaheadError: there is none; the message lists those there are.
    """
    known = all_experiments()
    if name not in known:
        raise LookaheadError(f"unknown experiment {name!r}; known: {', '.join(known)}")
    return known[name]
