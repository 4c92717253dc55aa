"""Many methods side by side: what each asks of a state that has read the prompt alone, and how soon it is learnt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from lookahead.contracts import RESERVED_TOKENS, Task
from lookahead.evaluation.layouts import Ask, Asked
from lookahead.experiments.seeds import Seeds
from lookahead.figures.style import FAINT, INK, PALE, accuracy_axis, figure, sign
from lookahead.figures.times import logarithmic_steps, plot_waits

LOOKS: dict[Ask, dict[str, Any]] = {
    "read": {"marker": "s", "markersize": 9, "markeredgecolor": "none", "markerfacecolor": PALE},
    "alone": {"marker": "s", "markersize": 9},
    "given": {"marker": "s", "markersize": 9, "markerfacecolor": "none"},
    "no": {"marker": "_", "markersize": 5, "markeredgecolor": FAINT},
}
"""How it is drawn that a token was read, or is asked for."""
SMALL = {ask: {**look, "markersize": 0.75 * look["markersize"]} for ask, look in LOOKS.items()}
NAMED: dict[Ask, str] = {"alone": "asked for", "given": "with others given", "no": "not asked for", "read": "read"}


def plot_asks(ax: Axes, asks: Mapping[str, Sequence[Ask]], tokens: Sequence[str], colors: Mapping[str, str]) -> None:
    """A row a method, a column an answer token: filled if a blind state is asked for it, open if with others given."""
    for row, (name, found) in enumerate(asks.items()):
        for column, ask in enumerate(found):
            ax.plot(column, row, linestyle="none", color=colors.get(name, INK), **LOOKS[ask])
    ax.set_yticks(range(len(asks)), list(asks))
    ax.set_xticks(range(len(tokens)), tokens)
    ax.set(xlim=(-0.6, len(tokens) - 0.4), ylim=(len(asks) - 0.5, -0.5))
    ax.xaxis.tick_top()
    ax.tick_params(axis="x", length=0)
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.grid(axis="y")


def draw_layouts(
    task: Task, layouts: Mapping[str, Sequence[Asked]], colors: Mapping[str, str], columns: int = 4
) -> Any:
    """What every state reads and is asked for: a panel a method, a column a state, a row an answer token. The figure.

    Grey: the state has read the token. Shaded: the state is blind. The other marks are those of `plot_asks`.

    Args:
        task: whose first training example the layouts were found with.
        layouts: of every method, as `lookahead.evaluation.layouts.layout` finds them.
    """
    rows = -(-len(layouts) // columns)
    fig, axes = figure(0.6 + (0.55 + 0.24 * task.answer_length) * rows, rows, columns, squeeze=False)
    for ax, (name, states) in zip(axes.flat, layouts.items(), strict=False):
        plot_layout(ax, task, states, colors.get(name, INK))
        ax.set_title(name)
        if ax not in axes[:, 0]:
            ax.tick_params(labelleft=False)
    for ax in axes.flat[len(layouts) :]:
        ax.axis("off")
    name_looks(fig, read=True)
    return fig


def plot_layout(ax: Axes, task: Task, states: Sequence[Asked], color: str) -> None:
    """What every state reads and is asked for: a column per state, a row per answer token; blind states are shaded."""
    answer = task.sample("train", torch.arange(1))[1][0].tolist()
    names = [short_name(task, k) for k in range(task.answer_length)]
    for column, state in enumerate(states):
        if state.blind:
            ax.axvspan(column - 0.4, column + 0.4, color=FAINT, alpha=0.22, linewidth=0, zorder=0)
        for row, ask in enumerate(state.asks):
            ax.plot(column, row, linestyle="none", color=color, **SMALL[ask])
    reads = [names[answer.index(s.reads)] if s.reads in answer else mark(task, s.reads) for s in states]
    ax.set_xticks(range(len(states)), reads, fontsize=9)
    ax.set_yticks(range(len(names)), names, fontsize=9)
    ax.set(xlim=(-0.6, max(len(states), 4) - 0.4), ylim=(len(names) - 0.5, -0.5))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.grid(False)


def draw_card(
    task: Task, states: Sequence[Asked], cells: Mapping[str, Seeds], color: str = INK, until: int = 4000
) -> Any:
    """One method: what its states are asked for, beside the whole paths right in all its trainings. The figure.

    Args:
        task: as of `draw_layouts`.
        states: the method's layout.
        cells: its results by graph, from easy to hard; four at most.
        until: where the axis of training steps ends; the scale is logarithmic.
    """
    fig, (left, right) = figure(2.3, columns=2, width_ratios=(1, 2.2))
    plot_layout(left, task, states, color)
    for (name, seeds), style in zip(cells.items(), ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2))), strict=False):
        for result in seeds:
            steps, values = result.series("autoregressive_accuracy")
            begun = [(step, value) for step, value in zip(steps, values, strict=True) if step]
            (line,) = right.plot(*zip(*begun, strict=True), color=color, linestyle=style)
        line.set_label(name)
        sign(fig, seeds)
    accuracy_axis(right)
    logarithmic_steps(right)
    right.minorticks_off()  # a page of cards is heavy enough
    right.set(xlabel="training step", ylabel="whole path right", xlim=(40, until))
    if cells:
        right.legend(loc="lower right" if len(cells) < 2 else "upper left")
    return fig


def short_name(task: Task, place: int) -> str:
    """An answer token in a letter or two: "s" for the start, its number for a step, "g" for the goal."""
    if place < task.decision:
        return "s"
    return "g" if place == task.answer_length - 1 else str(place - task.decision + 1)


def mark(task: Task, token: int | None) -> str:
    """What stands at a state that reads no token of the answer; all reserved ones are dummies."""
    if token is None:
        return "\N{BULLET}"
    return RESERVED_TOKENS[0] if token >= task.vocab_size else task.text(torch.tensor([[token]]))[0]


def name_looks(fig: Any, read: bool = False) -> None:
    """Says what the marks of `plot_asks` mean."""
    shown: list[Ask] = [ask for ask in NAMED if ask != "read" or read]
    lines = [Line2D([], [], linestyle="none", color=INK, **LOOKS[ask]) for ask in shown]
    fig.legend(lines, [NAMED[ask] for ask in shown], loc="outside upper right", ncols=len(shown))


def draw_tournament(
    asks: Mapping[str, Sequence[Ask]], cells: Mapping[str, Seeds], tokens: Sequence[str], colors: Mapping[str, str]
) -> Any:
    """What each method asks a blind state for, beside the training steps until it is learnt. The figure.

    Args:
        asks: of every method, as `lookahead.evaluation.layouts` finds them.
        cells: the results of the same methods, in the same order.
        tokens: names of the answer tokens from the decision on.
        colors: of the methods that have a meaning of their own; the others are drawn in ink.
    """
    fig, (left, right) = figure(1.3 + 0.33 * len(cells), columns=2, narrow=2, sharey=True, width_ratios=(1, 2.2))
    plot_asks(left, asks, tokens, colors)
    plot_waits(right, cells, {name: colors.get(name, INK) for name in cells})
    right.tick_params(axis="y", length=0, labelleft=False)
    for seeds in cells.values():
        sign(fig, seeds)
    name_looks(fig)
    return fig
