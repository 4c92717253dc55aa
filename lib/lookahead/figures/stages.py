"""Trainings that go on from one another, drawn in succession."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lookahead.figures.style import FAINT, INK, MEANING, accuracy_axis, chance, figure, sign
from lookahead.names import joined, named
from lookahead.runs.result import Result


def draw_stages(chains: Sequence[Sequence[Result]], measure: str, pointed: str | None = None) -> Any:
    """A share against training steps, a line per chain of runs, each run in the colour of its method. The figure.

    A dotted line is where the next run begins. A run on another task than the last one's is grey, and named after that
    task.

    Args:
        chains: each a run, the run that started from its weights, and so on.
        pointed: the method of the first run whose chain is named where it ends.
    """
    fig, ax = figure(2.9)
    methods: dict[str, dict[str, Any]] = {}  # colour -> name -> line
    for chain in chains:
        begun, last = 0, chain[-1].run.config["task"]["name"]
        for stage, result in enumerate(chain):
            method, task = (result.run.config[field]["name"] for field in ("objective", "task"))
            name, color = (method, MEANING.get(method, INK)) if task == last else (task, FAINT)
            steps, values = result.series(measure)
            if stage:
                ax.axvline(begun, color=FAINT, linewidth=1, linestyle=":")
            (line,) = ax.plot([begun + step for step in steps], values, color=color)
            methods.setdefault(color, {})[named(name)] = line
            begun += result.manifest["steps"]
        if (first := chain[0].run.config["objective"]["name"]) == pointed:
            text, end = named(first), (begun, chain[-1].series(measure)[1][-1])
            ax.annotate(text, end, xytext=(0, -14), textcoords="offset points", ha="right", va="top", fontsize=9.5)
        sign(fig, chain)
    accuracy_axis(ax)
    chance(ax, chains[0][-1].run.build_task().chance_accuracy, "1/d")
    ax.set(xlabel="training step", ylabel=named(measure))
    lines = [next(iter(those.values())) for those in methods.values()]
    ax.legend(lines, [joined(list(those)) for those in methods.values()], loc="lower right")
    return fig
