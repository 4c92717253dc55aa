"""What the teacher's hints do, drawn: who learns the first step, when, and what is left of the gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lookahead.experiments.seeds import Seeds
from lookahead.figures.plots import curves, heat
from lookahead.figures.style import FAINT, INK, MEANING, accuracy_axis, chance, figure, sign
from lookahead.runs.result import Result

TONES = {
    (True, True, "all"): MEANING["teacher_forcing"],
    (True, False, "all"): MEANING["later hidden"],
    (False, True, "all"): MEANING["start hidden"],
    (False, False, "all"): MEANING["teacherless"],
    (True, True, "decision"): INK,
    (False, True, "decision"): INK,
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
    first = results[0].run.build_task().decision
    helps, signal, wanted = (
        np.mean([[row["gradient"][name][place] for row in result.curve] for result in results], axis=0)
        for name, place in (("help", position), ("signal", position), ("signal", first))
    )
    return helps / np.sqrt(np.maximum(signal * wanted, 1e-12))


def agreement_band(results: Sequence[Result], position: int, draws: int = 1000) -> np.ndarray:
    """The middle 95% of `agreement` over seeds drawn again with replacement, [2, evaluations]."""
    drawn = np.random.default_rng(0).integers(len(results), size=(draws, len(results)))
    cosines = [agreement([results[i] for i in seeds], position) for seeds in drawn]
    return np.quantile(cosines, [0.025, 0.975], axis=0)


def draw_tiles(results: Seeds) -> Any:
    """How many seeds of every control learn the first step, and how many leave chance, a column a path length.

    Returns:
        the figure.
    """
    lengths = results.by("path_length")
    columns = {"later\nshown": (True, "all"), "later\nhidden": (False, "all"), "first step\nalone": (True, "decision")}
    fig, axes = figure(4.7, 2, len(lengths), squeeze=False)
    for (learn, leave), (length, seeds) in zip(axes.T, lengths.items(), strict=True):
        cells = seeds.by(*CONTROL)
        tiles = [[cells[start, *column] for column in columns.values()] for start in (True, False)]
        for ax, name, count in (
            (learn, "learn the first step", lambda tile: tile.won),
            (leave, "leave chance", lambda tile: int(tile.left_chance().sum())),
        ):
            shares = [[count(tile) / len(tile) for tile in row] for row in tiles]
            counts = [[f"{count(tile)} of {len(tile)}" for tile in row] for row in tiles]
            heat(shares, ax=ax, color=INK, rows=["start\nshown", "start\nhidden"], columns=columns, text=counts)
            ax.axvline(2, color=FAINT, linewidth=1)
            ax.set_title(f"$l = {length}$: seeds that {name}")
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
        line[0].set_ylabel(f"$l = {length}$\nfirst step right")
    for control, top, bottom in zip(columns, axes[0], axes[-1], strict=True):
        top.set_title(control_name(*control, between="\n"), fontsize=9)
        bottom.set_xlabel("training step")
    return fig


def draw_gradients(results: Seeds, position: int) -> Any:
    """Left the norm of a token's gradient, right its cosine with the first step's where later hints are hidden, with a
    95% band over the seeds.

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
        measured = np.where(sizes > 2e-5, sizes, np.nan)  # lower ones are no estimate
        left.plot(steps, measured.T, color=TONES[control], linewidth=0.6, alpha=0.3)
        left.plot(steps, np.median(sizes, axis=0), **look)
        if "later hidden" in look["label"]:
            right.plot(steps, agreement(seeds, position), **look)
            right.fill_between(steps, *agreement_band(seeds, position), color=TONES[control], alpha=0.15, linewidth=0)
    left.set(yscale="log", ylim=(2e-3, 20), ylabel="length", title="gradient of the second step's loss")
    right.axhline(0, color=FAINT, linewidth=1)
    right.set(ylim=(-0.25, 1), ylabel="cosine", title="its cosine with the first step's")
    for ax in (left, right):
        ax.set_xlabel("training step")
    left.minorticks_off()
    fig.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=2)
    sign(fig, results)
    return fig
