"""What an experiment is: a grid of runs, at one of three profiles."""

from __future__ import annotations

import dataclasses
import os
import runpy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lookahead.errors import LookaheadError
from lookahead.runs.harness import Probe
from lookahead.runs.run import Run

OWN = "LOOKAHEAD_EXPERIMENTS"
"""Environment variable: a Python file with experiments of one's own, `EXPERIMENTS = {name: Experiment(...)}`."""

PROFILES: dict[str, dict[str, Any]] = {
    "quick": {"seeds": 1, "num_nodes": 10, "run": {"model": "tiny", "batch_size": 128}},
    "census": {"seeds": 20, "num_nodes": 10, "run": {"model": "tiny", "batch_size": 128}},
    "paper": {
        "seeds": 3,
        "num_nodes": 50,
        "run": {
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
    },
}
"""`quick`: one seed on a CPU. `census`: the same size, many seeds. `paper`: Bachmann and Nagarajan's GPT-Mini,
200,000 graphs with labels from 50 (their 500 epochs at batch 256 would be 390,000 steps)."""


@dataclass(frozen=True)
class Experiment:
    """A grid: graphs x cells x seeds."""

    name: str
    question: str
    graphs: tuple[tuple[int, int], ...]
    """(degree, path_length) of each."""
    cells: Mapping[str, Mapping[str, Any]]
    """Label -> fields of the run. Its `task` says only what differs from the grid's graph; its `seeds`, where there
    are any, that it has no more than those."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Fields that all runs share, before the profile's."""
    probe: Probe | None = None
    """Measured at every evaluation, too."""
    seeds: Mapping[str, int] = field(default_factory=dict)
    """Profile -> how many, where not as many as the profile has."""
    at: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Profile -> what is another there: graphs, cells, fields."""

    def runs(self, profile: str) -> Iterator[tuple[str, Run]]:
        """Every cell's label with its run, all cells of a seed before the next seed.

        Raises:
            LookaheadError: no such profile.
        """
        if profile not in PROFILES:
            raise LookaheadError(f"unknown profile {profile!r}; known: {', '.join(PROFILES)}")
        size, here = PROFILES[profile], dataclasses.replace(self, **self.at.get(profile, {}))
        for seed in range(here.seeds.get(profile, size["seeds"])):
            for degree, path_length in here.graphs:
                task = {
                    "name": "path_star",
                    "degree": degree,
                    "path_length": path_length,
                    "num_nodes": size["num_nodes"],
                }
                for label, cell in here.cells.items():
                    own = {key: value for key, value in cell.items() if key not in ("task", "seeds")}
                    if seed < cell.get("seeds", seed + 1):
                        fields = {"seed": seed, **here.fields, **size["run"], **own}
                        yield label, Run(**{**fields, "task": {**task, **cell.get("task", {})}})


def packed_name(experiment: Experiment, profile: str) -> str:
    """Under which name an experiment's results at a profile are packed."""
    return f"{experiment.name}-{profile}"


def own_experiments() -> dict[str, Experiment]:
    """Those of the file that `LOOKAHEAD_EXPERIMENTS` names; none without it.

    Raises:
        LookaheadError: the file cannot be run, or holds none.
    """
    if not (named := os.environ.get(OWN)):
        return {}
    path = Path(named).expanduser()
    try:
        found = runpy.run_path(str(path))["EXPERIMENTS"]
    except KeyError:
        raise LookaheadError(f"{path} defines no EXPERIMENTS = {{name: Experiment(...)}}") from None
    except Exception as error:  # it is anybody's code
        raise LookaheadError(f"{path}, which {OWN} names, cannot be run: {type(error).__name__}: {error}") from error
    for name, one in found.items():
        if not isinstance(one, Experiment) or one.name != name:
            raise LookaheadError(f"{path}: EXPERIMENTS[{name!r}] is no Experiment of that name")
    return found
