"""Asks networks that saw the same graphs again and again about these very graphs, into results/asked-again.json.

lookahead run repeats --profile census --weights
lookahead run waiting --profile census --weights
python tools/ask_again.py

Each is asked as in training, with the edges in another order, and for the end of another arm. Those whose weights are
not here are left as they stand in the file.
"""

import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lookahead.files import write_text
from lookahead.machine import pin, processor

RESULTS = Path("results/asked-again.json")
ASKED = 4096
"""Graphs that a network is asked about, or as many as it was trained on."""


def rows() -> Iterator[dict[str, Any]]:
    """What each network gives: the share of first steps that are right, by what it is asked.

    "kept" is the share that are still those of the training when it is asked for another goal.
    """
    import torch

    from lookahead.evaluation import evaluate_on
    from lookahead.experiments import find_experiment
    from lookahead.runs.result import has_weights, trained
    from lookahead.tasks.path_star import PathStar
    from lookahead.tasks.path_star.asked_again import for_another_goal, reordered

    for run in (run for name in ("repeats", "waiting") for run in find_experiment(name).runs("census")):
        if run.train_examples is None or not has_weights(run.id):
            continue
        task, objective = trained(run)
        if not isinstance(task, PathStar):
            continue
        prompts, answers = task.sample("train", torch.arange(min(ASKED, run.train_examples)))
        asked = {
            "as in training": (prompts, answers),
            "in another order": (reordered(task, prompts, answers), answers),
            "for another goal": for_another_goal(task, prompts, answers),
        }
        measures = {way: evaluate_on(objective, task, *examples) for way, examples in asked.items()}
        given = objective.answer(asked["for another goal"][0])
        kept = (given == answers)[:, task.decision].double().mean().item()
        yield {"run": run.id, **{way: found["decision_accuracy"] for way, found in measures.items()}, "kept": kept}


def main() -> None:
    """Asks those whose weights are here; what the file says of others stays."""
    pin()  # before torch is loaded
    known = json.loads(RESULTS.read_text(encoding="utf-8"))["networks"] if RESULTS.exists() else []
    found = {row["run"]: row for row in known}
    for row in rows():
        found[row["run"]] = row
        print(row, flush=True)
    report = {
        "processor": processor(),
        "measured": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "asked": ASKED,
        "networks": [found[run] for run in sorted(found)],
    }
    write_text(RESULTS, json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
