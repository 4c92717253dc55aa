"""Figures that can be gone through: what a chapter's still figure shows of all training steps, at each of them.

A chapter asks for one with {moving} below the still, which stays, and which is what prints. The numbers are those of
the same results.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from lookahead.errors import LookaheadError

ASKED = re.compile(r"^```\{moving\} ([\w-]+)$", re.MULTILINE)

INK, FAINT = "#222222", "#6f6f6f"
BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#8f5a9e"
"""As in lookahead.figures, which would load matplotlib; a test compares them."""


def curves(results: Path, name: str, **fields: Any) -> list[list[dict[str, Any]]]:
    """The curves of an experiment's runs that have those fields, a list of evaluations each."""
    import pandas as pd

    packed = pd.read_parquet(results / f"{name}-census.parquet")
    for field, wanted in fields.items():
        packed = packed[packed[field] == wanted]
    return [json.loads(curve) for curve in packed["curve"]]


def at(steps: Iterable[int], curve: list[dict[str, Any]], value: Callable[[dict[str, Any]], float]) -> list[float]:
    """A value of a run at each training step; a run that has stopped keeps its last."""
    found, shown = iter([*curve, None]), []
    entry, ahead = curve[0], next(found)
    for step in steps:
        while ahead is not None and ahead["step"] <= step:
            entry, ahead = ahead, next(found)
        shown.append(round(value(entry), 3))
    return shown


def group(name: str, color: str, steps: list[int], runs: list[Any], value: Callable[[Any], float]) -> dict[str, Any]:
    """One place on the axis below: for each training step the value of each run."""
    return {"name": name, "color": color, "values": list(zip(*(at(steps, run, value) for run in runs), strict=True))}


def asked(notebook: Any) -> list[str]:
    """The figures of that kind that a notebook asks for."""
    return [name for cell in notebook.cells if cell.cell_type == "markdown" for name in ASKED.findall(cell.source)]


def made(name: str, results: Path) -> str:
    """One of them, as JSON for the page.

    Raises:
        LookaheadError: there is none of that name.
    """
    if name not in MOVING:
        raise LookaheadError(f"no figure that can be gone through is called {name}; there are {', '.join(MOVING)}")
    return json.dumps(MOVING[name](results), separators=(",", ":"), allow_nan=False)


def steps_of(runs: list[list[dict[str, Any]]]) -> list[int]:
    """All training steps at which some run was evaluated."""
    return sorted({entry["step"] for run in runs for entry in run})


def losses(results: Path) -> dict[str, Any]:
    """The loss of each token under teacher forcing, as in fig-03-loss."""
    runs = curves(results, "direction", objective="teacher_forcing")
    steps = steps_of(runs)
    tokens = {"first step": (1, ORANGE), "second step": (2, FAINT), "goal": (3, INK)}
    groups = [
        group(name, color, steps, runs, lambda entry, token=token: entry["loss"][token])
        for name, (token, color) in tokens.items()
    ]
    return {
        "steps": steps,
        "axis": "loss, nats",
        "top": 3.2,
        "ticks": [0, 1, 2, 3],
        "chance": 0.6931,
        "panels": [{"title": "twenty networks, one token at a time", "groups": groups}],
    }


def rungs(results: Path) -> dict[str, Any]:
    """What a linear map reads off the state that chooses, after the last block, as in fig-06-lets-go and -keeps."""
    titles = {"teacher_forcing": "one token at a time", "multi_token": "four tokens at once"}
    found = {way: curves(results, "rungs-inside", objective=way) for way in titles}
    steps = sorted(set.intersection(*(set(steps_of(runs)) for runs in found.values())))

    def read(arm: str, rung: int) -> Callable[[dict[str, Any]], float]:
        return lambda entry: entry["rungs"]["decision"][arm][-1][rung]

    names = ("goal", "the node before it", "first step")
    panels = [
        {
            "title": title,
            "groups": [
                {**group(name, BLUE, steps, found[way], read("answer", rung))}
                | {"aside": group(name, FAINT, steps, found[way], read("decoy", rung))["values"]}
                for rung, name in enumerate(names)
            ],
        }
        for way, title in titles.items()
    ]
    return {
        "steps": steps,
        "axis": "read off",
        "top": 1.05,
        "ticks": [0, 0.5, 1],
        "aside": "on the wrong arm",
        "panels": panels,
    }


def networks(results: Path) -> dict[str, Any]:
    """Whole paths right of three networks, by how they are taught and the length of the arm, as in fig-05-networks."""
    ways = {
        "with a teacher, arms of five": ("teacher_forcing", 5, ORANGE),
        "backwards, arms of five": ("reversed", 5, GREEN),
        "teacherless, arms of three": ("teacherless", 3, PURPLE),
    }
    kinds = {"Transformer": "transformer", "Mamba": "mamba", "Mamba-2": "mamba2"}
    found = {
        title: {
            name: curves(results, "architecture", model=kind, objective=way, **{"task.path_length": length})
            for name, kind in kinds.items()
        }
        for title, (way, length, _) in ways.items()
    }
    return {**paths_right(found, {title: color for title, (_, _, color) in ways.items()}), "chance": 0.5}


def paths_right(found: dict[str, dict[str, Any]], colors: dict[str, str]) -> dict[str, Any]:
    """Whole paths right: a panel for each title, the runs of each name side by side in it."""
    steps = steps_of([run for cells in found.values() for runs in cells.values() for run in runs])
    panels = [
        {
            "title": title,
            "groups": [
                group(name, colors[title], steps, runs, lambda entry: entry["autoregressive_accuracy"])
                for name, runs in cells.items()
            ],
        }
        for title, cells in found.items()
    ]
    return {"steps": steps, "axis": "whole paths right", "top": 1.05, "ticks": [0, 0.5, 1], "panels": panels}


MOVING: dict[str, Callable[[Path], dict[str, Any]]] = {"losses": losses, "rungs": rungs, "networks": networks}
"""Name of a figure that can be gone through -> what makes it of a folder of results."""
