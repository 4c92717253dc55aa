"""The picture of the front page and the README, drawn from stored results.

python tools/draw_overview.py book/static/overview.png
"""

import sys
from pathlib import Path

import torch

from lookahead import PathStar, figures
from lookahead.files import replacing
from lookahead.runs.parquet import read_packed

EXPERIMENT = "direction-census"


def draw(path: str | Path) -> None:
    """Left the task, right who learns it; written to a PNG."""
    results = read_packed(EXPERIMENT)
    task = results[0].run.build_task()
    assert isinstance(task, PathStar)
    figures.use_style()
    fig, (left, right) = figures.figure(2.7, columns=2, width_ratios=(1, 1.15))
    prompts, answers = task.sample("validation", torch.tensor([3]))
    figures.draw_graph(left, task, prompts[0], answers[0])
    left.set_title("the task: from start to goal")
    for name, color, label in (
        ("reversed", figures.GREEN, "answered backwards"),
        ("teacher_forcing", figures.ORANGE, "answered forwards"),
    ):
        chosen = [r for r in results if r.run.objective["name"] == name]  # type: ignore[index]
        figures.curves(right, chosen, "autoregressive_accuracy", color=color, label=label)
    figures.accuracy_axis(right)
    figures.chance(right, task.chance_accuracy, "")
    right.set_title("the same network, the same teacher")
    right.set_xlabel("training step")
    right.set_ylabel("whole path right")
    right.legend(loc="center right", bbox_to_anchor=(1, 0.74), fontsize=9)
    seeds = len({r.run.seed for r in results})
    figures.sign(fig, f"{task.graph}, {seeds} seeds each, stored results")
    with replacing(path) as temporary:
        fig.savefig(temporary, format="png", dpi=200, facecolor="white")


if __name__ == "__main__":
    draw(sys.argv[1])
