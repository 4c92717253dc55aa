"""Several tokens at once, and the ladder that should explain it.

Predictions for arms of five, written down before any such network was trained. Teacher forcing; beside it, heads at
the start's state are asked for chosen rungs (0: the goal; 3: the first step, which teacher forcing asks for).

| rungs asked for | learns the first step? | why |
| --- | --- | --- |
| none | no | rung 3 alone is a needle |
| 0 | no | a copy teaches no look-up |
| 1 | no, or late | one look-up is learnt, and rung 3 is two further ones away |
| 2 | no | two look-ups from the goal is itself a needle |
| 0 and 1 | as 1 | the copy adds nothing |
| 0 and 2 | as 2 | the copy adds nothing |
| 1 and 2 | yes | each rung is one look-up from the next |
| 0, 1 and 2 | yes, not sooner than 1 and 2 | the whole ladder |

For arms of four, after the first three seeds of rung 1 and of its decoy (both learnt the task in most) and before any
run of "either": it will not help. The coin asks for tokens of the same kind as rung 1, but says nothing about the arm.
It did not in most seeds, but rung 0, a copy, did. After that, and before any run of "smaller" at rung 0 (the smaller
label of the two arms' ends): if what helps is a reason to look at the goal, it will not help, for it is named without
the goal; if any second task at that state helps that can be learnt, it will.
"""

from __future__ import annotations

from typing import Any

from lookahead.contracts import Objective, Task
from lookahead.evaluation.measures import Measures
from lookahead.evaluation.probes import probe_rungs
from lookahead.experiments.catalogue.shared import path_star
from lookahead.experiments.experiment import Experiment

FIELDS: dict[str, Any] = {
    "steps": 4000, "optimizer": "muon", "learning_rate": 1e-3, "evaluate_every": 50, "stop_at": 0.98
}  # fmt: skip
"""A constant rate, and fresh graphs."""


def heads(tokens: int, **options: Any) -> dict[str, Any]:
    """Multi-token prediction of that many tokens."""
    return {"name": "multi_token", "tokens": tokens, **options}


def ladder(*rungs: int, **options: Any) -> dict[str, Any]:
    """Teacher forcing with those rungs asked of a blind state."""
    return {"name": "ladder", "rungs": list(rungs), **options}


def readable(objective: Objective, task: Task) -> Measures:
    """Which rungs a linear map reads off the blind states."""
    return {"rungs": probe_rungs(objective, task)}


def transformer(layers: int) -> dict[str, Any]:
    """The tiny Transformer with another number of layers."""
    return {"name": "transformer", "width": 64, "heads": 4, "layers": layers}


EXPERIMENTS = (
    Experiment(
        name="several-tokens",
        question="How many tokens at once does it take to learn the choice?",
        cells=[{"task": path_star(2, 4), "objective": heads(n)} for n in (4, 3, 2, 1)],
        fields=FIELDS,
    ),
    Experiment(
        name="several-tokens-longer",
        question="And on longer arms, with more steps?",
        cells=[{"task": path_star(2, 5), "objective": heads(n)} for n in (5, 4, 3, 2)],
        fields={**FIELDS, "steps": 12_000, "evaluate_every": 100},
        seeds={"census": 10},
    ),
    Experiment(
        name="ladder",
        question="Which rungs are needed, which suffice?",
        cells=[
            {"task": path_star(2, 4), "objective": one}
            for one in (
                ladder(1),
                ladder(0),
                ladder(0, 1),
                ladder(1, 1),
                ladder(1, of="decoy"),
                ladder(1, of="either"),
                ladder(0, of="smaller"),
                ladder(0, 1, at="prompt"),
                ladder(1, at="prompt"),
                ladder(2, at="prompt"),
            )
        ],
        fields=FIELDS,
    ),
    Experiment(
        name="ladder-longer",
        question="And on arms of five, where the ladder has three rungs below the first step?",
        cells=[
            {"task": path_star(2, 5), "objective": ladder(*rungs)}
            for rungs in ((1, 2), (0, 1, 2), (1,), (2,), (0,), (0, 1), (0, 2))
        ],
        fields={**FIELDS, "steps": 12_000, "evaluate_every": 100},
        seeds={"census": 10},
    ),
    Experiment(
        name="rungs-inside",
        question="After which block, and when, can each rung be read off a blind state?",
        cells=[{"task": path_star(2, 4), "objective": one} for one in (heads(4), ladder(1), "teacher_forcing")],
        fields={**FIELDS, "steps": 2000},
        probe=readable,
        seeds={"census": 5},
    ),
    Experiment(
        name="several-tokens-networks",
        question="Does it depend on the depth, and does it cure Mamba?",
        cells=[
            {"task": path_star(2, 4), "objective": heads(4), "model": "mamba-tiny", "learning_rate": 2e-3},
            *({"task": path_star(2, 4), "objective": heads(4), "model": transformer(layers)} for layers in (2, 4, 6)),
            {"task": path_star(2, 5), "objective": heads(5), "model": "mamba-tiny", "learning_rate": 2e-3},
        ],
        fields=FIELDS,
        seeds={"census": 10},
    ),
)
