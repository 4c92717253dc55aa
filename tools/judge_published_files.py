"""What is in the published test files, and what networks of ours make of them.

git clone https://github.com/gregorbachmann/Next-Token-Failures
lookahead run published-files --profile census --weights
python tools/judge_published_files.py Next-Token-Failures/data/datasets/graphs results/published-files.json

The files themselves are not kept here.
"""

import datetime
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

from lookahead.errors import LookaheadError
from lookahead.experiments import find_experiment
from lookahead.files import write_text
from lookahead.machine import processor
from lookahead.runs.judging import evaluate_on
from lookahead.runs.result import read_result
from lookahead.tasks.path_star import count_graphs, share_drawn

TRAINED_ON = 200_000
"""Graphs in a published training file."""
SIZES = re.compile(r"deg_(?P<degree>\d+)_path_(?P<path_length>\d+)_nodes_(?P<num_nodes>\d+)_.*test.*\.txt")


def graph_of(line: str) -> tuple[frozenset[str], str]:
    """What a line asks: its edges, in whatever order, and its question."""
    edges, question = line.split("=")[0].split("/")
    return frozenset(edges.split("|")), question


def facts(path: Path, size: dict[str, int]) -> dict[str, Any]:
    """What a file holds, and how much of it a training file holds, too."""
    lines = path.read_text(encoding="utf-8").split()
    graphs = count_graphs(**size)
    return {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        **size,
        "lines": len(lines),
        "different_lines": len(set(lines)),
        "different_graphs": len({graph_of(line) for line in lines}),
        "graphs_there_are": graphs,
        "seen_in_training": share_drawn(graphs, TRAINED_ON),
    }


def networks(path: Path, size: dict[str, int]) -> list[dict[str, Any]]:
    """What the networks that were trained on such graphs make of a file, beside what they make of graphs of ours."""
    found = []
    for run in find_experiment("published-files").runs("census"):
        mine = size.items() <= dict(run.task).items()  # type: ignore[arg-type,call-overload]
        if mine and (result := read_result(run)) is not None:
            judged = evaluate_on(run, path)
            found.append(
                {
                    "run": run.id,
                    "objective": run.objective["name"],  # type: ignore[index]
                    "seed": run.seed,
                    **{
                        f"{where}_{name}": measures[name]
                        for where, measures in (("file", judged.measures), ("own", result.measures))
                        for name in ("autoregressive_accuracy", "decision_accuracy")
                    },
                }
            )
    return found


def report(folder: Path) -> dict[str, Any]:
    """Facts and networks of every test file in a folder.

    Raises:
        LookaheadError: there is none.
    """
    files = []
    for path in sorted(folder.glob("*.txt")):
        if sizes := SIZES.fullmatch(path.name):
            size = {name: int(value) for name, value in sizes.groupdict().items()}
            files.append({**facts(path, size), "networks": networks(path, size)})
    if not files:
        raise LookaheadError(f"{folder} holds no published test file, such as deg_2_path_5_nodes_50_test_20000.txt")
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {"measured": today, "processor": processor(), "trained_on": TRAINED_ON, "files": files}


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    write_text(target, json.dumps(report(source), indent=1) + "\n")
    print(f"{target} written")
