"""The sizes in which every experiment comes: quick, census, paper. Plain data; loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lookahead.errors import LookaheadError


@dataclass(frozen=True)
class Profile:
    """One size of all experiments."""

    seeds: int
    """Runs of every cell, unless the experiment or the cell says otherwise."""
    run: Mapping[str, Any]
    """Fields of every run; those of its cell come first."""
    tasks: Mapping[str, Mapping[str, Any]]
    """Options of every task of a name; those of its cell come first."""


_SMALL: dict[str, Any] = {
    "run": {"model": "tiny", "batch_size": 128},
    "tasks": {"path_star": {"num_nodes": 10}},
}

PROFILES = {
    "quick": Profile(seeds=1, **_SMALL),
    "census": Profile(seeds=20, **_SMALL),
    "paper": Profile(
        seeds=3,
        run={
            "model": "mini",
            "batch_size": 256,
            "train_examples": 200_000,
            "steps": 40_000,
            "optimizer": "adamw",
            "learning_rate": 5e-4,
            "evaluate_every": 1000,
            "stop_at": 0.98,
            "precision": "bfloat16",
        },
        tasks={"path_star": {"num_nodes": 50}},
    ),
}
"""`quick`: one seed on a CPU. `census`: the same size, many seeds. `paper`: Bachmann and Nagarajan's GPT-Mini,
200,000 graphs with labels from 50 (their 500 epochs at batch 256 would be 390,000 steps)."""


def find_profile(name: str) -> Profile:
    """The profile of that name.

    Raises:
        LookaheadError: there is none; the message lists those there are.
    """
    if name not in PROFILES:
        raise LookaheadError(f"unknown profile {name!r}; known: {', '.join(PROFILES)}")
    return PROFILES[name]
