"""How a recurrent network remembers, drawn: its memory over the steps, how it is computed, what it keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from lookahead.figures.style import DASH, FAINT, INK, ORDERED, PALE, YELLOW, figure

FILLING = LinearSegmentedColormap.from_list("filling", [PALE, INK])
"""From little to much."""
SIGNED = LinearSegmentedColormap.from_list("signed", [YELLOW, PALE, INK])
"""From the most negative over zero to the most positive."""


def draw_memories(x: Sequence[float], memories: Mapping[str, Sequence[float]]) -> Any:
    """Above an input, below the memory of it, for shares of the past that rise. The figure.

    Args:
        x: [T].
        memories: label -> memory after each step [T]; three at most.
    """
    fig, (top, bottom) = figure(3, rows=2, sharex=True, height_ratios=[1, 2])
    top.vlines(np.arange(len(x)), 0, x, color=INK)
    for (label, memory), color in zip(memories.items(), ORDERED, strict=False):
        bottom.plot(memory, color=color, label=label)
    top.set(ylabel="input $x$")
    bottom.set(xlabel="step", ylabel="memory $h$")
    bottom.legend(ncols=3, loc="lower right")
    return fig


def draw_convolution(kernel: Sequence[float], loop: Sequence[float], convolved: Sequence[float]) -> Any:
    """Left a kernel, right the memory that a loop and the convolution with this kernel compute. The figure.

    Args:
        kernel: [T], from the newest input to the oldest.
        loop, convolved: memory after each step [T].
    """
    fig, (left, right) = figure(2.4, columns=2)
    shown = kernel[:40]
    left.bar(np.arange(len(shown)), shown, color=INK, linewidth=0)
    right.plot(loop, color=FAINT, linewidth=1.5, label="loop")
    right.plot(convolved, "o", color=INK, markersize=3, label="convolution")
    left.set(title="kernel: weight of an input, by its age", xlabel="steps ago", ylabel="weight")
    right.set(title="the memory, computed twice", xlabel="step", ylabel="memory $h$")
    right.legend(loc="upper left")
    return fig


def draw_selection(x: Sequence[float], marked: int, memories: Mapping[str, Sequence[float]]) -> Any:
    """A noisy input with one marked token, and several memories of it. The figure.

    Args:
        x: [T].
        marked: the place of the token to be remembered.
        memories: label -> memory after each step [T]; the last of three is the one that should work.
    """
    fig, ax = figure(2.7)
    ax.vlines(np.arange(len(x)), 0, x, color=PALE, linewidth=2.5)
    looks = ((FAINT, "-", 1.3), (FAINT, ":", 1.6), (INK, "-", 2.5))
    for (label, memory), (color, linestyle, width) in zip(memories.items(), looks, strict=False):
        ax.plot(memory, color=color, linestyle=linestyle, linewidth=width, label=label)
    ax.plot(marked, x[marked], "o", color=INK, markersize=7, label="marked")
    ax.set(xlabel="step", ylabel="input and memory")
    fig.legend(loc="outside upper left", ncols=4, columnspacing=1.4, handlelength=1.6)
    return fig


def draw_doubling(steps: int = 8) -> Any:
    """How many inputs each step's memory holds, after every round of joining it with an earlier one. The figure."""
    rounds = int(np.log2(steps))
    fig, ax = figure(0.6 * rounds + 0.8)
    for y in range(rounds + 1):
        for t in range(steps):
            held = min(2**y, t + 1)
            ax.scatter(t, -y, s=430, color=FILLING(held / steps), linewidth=0, zorder=3)
            ink = "white" if held > steps / 2 else INK
            ax.text(t, -y, str(held), ha="center", va="center_baseline", zorder=4, color=ink)
            if y:
                ax.plot([t, t], [1 - y, -y], color=FAINT, linewidth=1)
            if y and t >= (reach := 2 ** (y - 1)):
                ax.plot([t - reach, t], [1 - y, -y], color=INK, linewidth=1.6)
        ax.text(-0.6, -y, f"round {y}" if y else "steps", ha="right", va="center")
    ax.set(xlim=(-1.7, steps - 0.5), ylim=(-rounds - 0.45, 0.45))
    ax.axis("off")
    return fig


def draw_kept(prompt: int, kept: Mapping[str, Sequence[int]]) -> Any:
    """Numbers that networks keep, against the tokens that they have read. The figure.

    Args:
        prompt: tokens of the prompt.
        kept: name of a network -> numbers after each token [T].
    """
    fig, ax = figure(2.4)
    for name, numbers in kept.items():
        tokens = np.arange(1, len(numbers) + 1)
        ax.plot(tokens, numbers, color=INK)
        ax.annotate(name, (tokens[-1], numbers[-1]), (6, 0), textcoords="offset points", va="center")
    ax.axvline(prompt, color=FAINT, linewidth=1, linestyle=DASH)
    ax.annotate(
        "the prompt ends", (prompt, 0), (-4, 4), textcoords="offset points", ha="right", fontsize=9, color=FAINT
    )  # fmt: skip
    ax.set(xlabel="tokens read", ylabel="numbers kept", xlim=(0, 1.2 * tokens[-1]), ylim=(0, None))
    return fig


def draw_matrices(scores: Any, decay: Any, product: Any) -> Any:
    """Lower triangles side by side: scores, decay in [0, 1], their product. The figure.

    Args:
        scores, decay, product: [T, T], zero above the diagonal.
    """
    fig, axes = figure(2.7, columns=3)
    _triangle(axes[0], scores, "scores $C_i \\cdot B_j$", (-5, 5))
    _triangle(axes[1], decay, "decay between $j$ and $i$", (0, 1))
    _triangle(axes[2], product, "their product", (-5, 5))
    return fig


def _triangle(ax: Axes, matrix: Any, title: str, reach: tuple[float, float]) -> None:
    """One lower triangle, as an image."""
    values = np.asarray(matrix)
    hidden = np.triu(np.ones(values.shape, dtype=bool), 1)
    colors = SIGNED if reach[0] < 0 else FILLING
    ax.imshow(np.ma.masked_where(hidden, values), cmap=colors, vmin=reach[0], vmax=reach[1])
    ax.set(title=title, xlabel="was read at $j$", ylabel="writes at $i$", xticks=[], yticks=[])
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
