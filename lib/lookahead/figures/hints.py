"""What the teacher's hints do, drawn: who learns the first step, when, and what is left of the gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lookahead.experiments.seeds import Seeds
from lookahead.figures.plots import curves, heat
from lookahead.figures.style import BLUE, FAINT, GREEN, ORANGE, PURPLE, SKY, YELLOW, accuracy_axis, chance, figure, sign
from lookahead.runs.result import Result

TONES = {
    (True, True, "all"): ORANGE,  # teacher forcing
    (True, False, "all"): BLUE,
    (False, True, "all"): SKY,
    (False, False, "all"): PURPLE,  # teacherless
    (True, True, "decision"): YELLOW,
    (False, True, "decision"): YELLOW,
}
"""By control: whether the start is shown, whether the later hints are, what is taught."""

CONTROL = ("start", "later", "taught")


def control_name(start: bool, later: bool, taught: str = "all", between: str = ", ") -> str:
    """A control in a reader's words: "start shown, later hidden"."""
    first, second = ("shown" if is_shown else "hidden" for is_shown in (start, later))
    parts = ["first step alone", f"start {first}"] if taught == "decision" else [f"start {first}", f"later {second}"]
    return between.join(parts)


def gradient_length(result: Result, position: int) -> np.ndarray:
    """Length of what the gradient of one answer token agrees on, at every evaluation; never below 1e-5."""
    return np.sqrt([max(row["gradient"]["signal"][position], 1e-10) for row in result.curve])


def agreement(results: Sequence[Result], position: int) -> np.ndarray:
    """Cosine of a token's gradient with the first step's, pooled over runs of one length, at every evaluation."""
    evaluations = list(zip(*(result.curve for result in results), strict=True))

    def pooled(name: str, position: int) -> np.ndarray:
        return np.mean([[row["gradient"][name][position] for row in rows] for rows in evaluations], axis=1)

    first = results[0].run.build_task().decision
    squares = pooled("signal", position) * pooled("signal", first)
    return pooled("help", position) / np.sqrt(np.maximum(squares, 1e-12))


def draw_tiles(results: Seeds) -> Any:
    """How many seeds of every control learn the first step, a panel a path length. The figure."""
    lengths = results.by("path_length")
    columns = {"later\nshown": (True, "all"), "later\nhidden": (False, "all"), "first step\nalone": (True, "decision")}
    fig, axes = figure(2.6, columns=len(lengths), squeeze=False)
    for ax, (length, seeds) in zip(axes[0], lengths.items(), strict=True):
        cells = seeds.by(*CONTROL)
        tiles = [[cells[start, *column] for column in columns.values()] for start in (True, False)]
        shares = [[tile.success.value for tile in row] for row in tiles]
        counts = [[f"{tile.won} of {len(tile)}" for tile in row] for row in tiles]
        heat(shares, ax=ax, color=GREEN, rows=["start\nshown", "start\nhidden"], columns=columns, text=counts)
        ax.axvline(2, color=FAINT, linewidth=1)
        ax.set_title(f"l = {length}: seeds that learn the first step")
        sign(fig, seeds)
    return fig


def draw_controls(results: Seeds, ended: int | None = None) -> Any:
    """The first step against training: a row a path length, a column a control. The figure.

    Args:
        ended: a step to mark, at which shorter runs ended.
    """
    rows, columns = results.by("path_length"), results.by(*CONTROL)
    fig, axes = figure(0.6 + 1.7 * len(rows), len(rows), len(columns), sharex=True, sharey=True, squeeze=False)
    for line, (length, seeds) in zip(axes.tolist(), rows.items(), strict=True):
        for ax, (control, those) in zip(line, seeds.by(*CONTROL).items(), strict=True):
            curves(those, "decision_accuracy", color=TONES[control], ax=ax)
            accuracy_axis(ax)
            chance(ax, those[0].run.build_task().chance_accuracy)
            if ended is not None:
                ax.axvline(ended, color=FAINT, linewidth=1)
            ax.set_xlabel("")
        line[0].set_ylabel(f"l = {length}\nfirst step right")
    for control, top, bottom in zip(columns, axes[0], axes[-1], strict=True):
        top.set_title(control_name(*control, between="\n"), fontsize=8.5)
        bottom.set_xlabel("training step", fontsize=9)
    return fig


def draw_gradients(results: Seeds, position: int) -> Any:
    """Left the length of a token's gradient, right its cosine with the first step's where later hints are hidden.

    Args:
        results: with the whole answer taught, on graphs of one size, trained for equally many steps.
        position: of the token in the answer.

    Returns:
        the figure.
    """
    fig, (left, right) = figure(3.6, columns=2)
    for control, seeds in results.by(*CONTROL).items():
        steps, _ = seeds[0].series("loss")
        look = {"color": TONES[control], "label": control_name(*control)}
        sizes = np.array([gradient_length(result, position) for result in seeds])
        left.plot(steps, sizes.T, color=TONES[control], linewidth=0.6, alpha=0.3)
        left.plot(steps, np.median(sizes, axis=0), **look)
        if "later hidden" in look["label"]:
            right.plot(steps, agreement(seeds, position), **look)
    left.set(yscale="log", ylim=(1e-4, 20), ylabel="length", title="gradient of the second step's loss")
    right.axhline(0, color=FAINT, linewidth=1)
    right.set(ylim=(-0.25, 1), title="its cosine with the first step's")
    for ax in (left, right):
        ax.set_xlabel("training step")
    left.minorticks_off()
    fig.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=2)
    sign(fig, results)
    return fig
