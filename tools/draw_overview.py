"""The picture of the front page and the README, drawn from stored results; and beside it that for small screens.

python tools/draw_overview.py book/static/overview.svg
"""

import sys
from pathlib import Path

import torch

from lookahead import figures
from lookahead.files import write_text
from lookahead.runs.parquet import read_packed
from lookahead.tasks import PathStar

EXPERIMENT = "several-tokens-census"


def overview() -> tuple[str, str]:
    """Left the task, right who learns it, as SVG; and the second below the first."""
    results = read_packed(EXPERIMENT)
    task = results[0].run.build_task()
    assert isinstance(task, PathStar)
    figures.use_style()
    fig, (left, right) = figures.figure(2.9, columns=2, width_ratios=(1, 1.15))
    prompts, answers = task.sample("validation", torch.tensor([3]))
    figures.draw_graph(left, task, prompts[0], answers[0])
    left.set_title("the task: from start to goal")
    for tokens, label, meaning in ((4, "four tokens at once", "multi_token"), (1, "one at a time", "teacher_forcing")):
        chosen = [r for r in results if r.run.objective["tokens"] == tokens]  # type: ignore[index]
        color = figures.MEANING[meaning]
        figures.curves(chosen, "autoregressive_accuracy", color=color, label=label, ax=right)
    figures.accuracy_axis(right)
    figures.chance(right, task.chance_accuracy)
    right.set(title="the same network, asked for", ylabel="whole path right")
    right.legend(loc="center right", bbox_to_anchor=(1, 0.74))
    fig.set_facecolor("white")  # GitHub shows it on its dark pages, too
    wide, narrow = figures.svg(fig), figures.narrow_svg(fig)
    assert narrow
    return wide, narrow


if __name__ == "__main__":
    place = Path(sys.argv[1])
    for file, drawn in zip((place, place.parent / "narrow" / place.name), overview(), strict=True):
        write_text(file, drawn)
