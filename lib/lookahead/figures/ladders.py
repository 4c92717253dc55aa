"""What a state is asked for, drawn: several tokens at once, the rungs of a ladder, what can be read off it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.lines import Line2D

from lookahead.errors import LookaheadError
from lookahead.evaluation.probes import Readable
from lookahead.experiments.seeds import Seeds
from lookahead.figures.graphs import token_name
from lookahead.figures.style import BLUE, DASH, FAINT, INK, ORANGE, PALE, accuracy_axis, figure, sign
from lookahead.figures.tokens import arrow, draw_token, draw_tokens
from lookahead.runs.result import Result
from lookahead.tasks import PathStar

PALE_BLUE = "#9fc7e3"
"""What is asked for, but is no look ahead."""
SHADES = LinearSegmentedColormap.from_list("rungs", ["#7fb8e0", BLUE, "#00324f"])
"""Of the rungs below the first step, the goal's the palest."""
BLIND = {"prompt": "at =", "decision": "at the start"}
"""The blind states, as a figure calls them."""


def rung_color(rung: int, top: int) -> str:
    """A line's colour: orange for the top rung, which teacher forcing asks for, shades of blue for those below."""
    return ORANGE if rung == top else to_hex(SHADES(rung / max(2, top - 1)))


def draw_asked(ax: Axes, task: PathStar, answer: Any, tokens: int) -> None:
    """What every state is asked for when each predicts several tokens: a column a state, a row a head.

    Marked is what must be found from the prompt alone, and is not copied from it.

    Args:
        answer: tokens [A].
        tokens: how many each state predicts.
    """
    names = [task.symbol(token) for token in answer.tolist()]
    draw_tokens(ax, ["=", *names[:-1]], [PALE] * len(names), y=0)
    ax.text(-0.2, 0, "reads", ha="right", va="center")
    for head in range(tokens):
        y = -1.5 - 1.05 * head
        ax.text(-0.2, y, "next token" if head == 0 else f"head {head + 1}", ha="right", va="center")
        for state in range(len(names) - head):
            target = state + head
            blind = state <= task.decision <= target < len(names) - 1
            color = ORANGE if blind and head == 0 else BLUE if blind else PALE_BLUE
            draw_token(ax, names[target], color, state, y)
    for state in range(len(names)):
        arrow(ax, (state + 0.5, -0.5), (state + 0.5, -1.0))
    ax.set(xlim=(-1.6, len(names) + 0.1), ylim=(-2.2 - 1.05 * (tokens - 1), 0.6))
    ax.axis("off")


def draw_ladder(ax: Axes, task: PathStar, answer: Any) -> None:
    """The arm from its goal to the first step, each node a rung that is one look-up above the one before.

    Args:
        answer: tokens [A].
    """
    names, top = [task.symbol(token) for token in answer.tolist()], task.answer_length - 2
    for rung in range(top + 1):
        position = task.answer_length - 1 - rung
        color = ORANGE if rung == top else BLUE if rung else PALE_BLUE
        draw_token(ax, names[position], color, rung * 1.9)
        ax.text(rung * 1.9 + 0.5, -0.62, f"rung {rung}", ha="center", va="top", fontsize=10)
        ax.text(rung * 1.9 + 0.5, -1.1, token_name(task, position), ha="center", va="top", fontsize=10, color=FAINT)
        if rung:
            arrow(ax, (rung * 1.9 - 0.9, 0), (rung * 1.9 - 0.03, 0), INK)
            ax.text(rung * 1.9 - 0.45, 0.25, "look-up", ha="center", va="bottom", fontsize=9, color=FAINT)
    ax.set(xlim=(-0.1, 1.9 * top + 1.1), ylim=(-1.6, 0.75))
    ax.axis("off")


def draw_climb(seeds: Seeds) -> Any:
    """Which rungs a blind state has right, and the first step, against steps: a panel for every seed. The figure.

    Args:
        seeds: taught by the objective `ladder`.
    """
    fig, axes = figure(2.4, columns=len(seeds))
    for ax, result in zip(np.atleast_1d(axes), seeds, strict=True):
        steps = [row["step"] for row in result.curve]
        task, asked = result.run.build_task(), result.run.config["objective"]
        for rung in sorted(set(asked["rungs"])):
            right = [row["parts"][f"rung {rung} right"] for row in result.curve]
            color = rung_color(rung, task.answer_length - 1 - task.decision)
            ax.plot(steps, right, color=color, label=f"rung {rung}")
        ax.plot(*result.series("decision_accuracy"), color=ORANGE, label="first step")
        accuracy_axis(ax)
        ax.set(title=f"seed {result.run.seed}", xlabel="training step", ylim=(-0.03, 1.05))
        sign(fig, [result])
    fig.axes[0].set_ylabel("right, at the start")
    fig.axes[0].legend(loc="center left")
    return fig


def draw_inside(task: PathStar, result: Result) -> Any:
    """`draw_readable` of the state that chooses, from the curve of a run with the probe of rungs. The figure."""
    found = {row["step"]: {"decision": row["rungs"]["decision"]} for row in result.curve}
    fig = draw_readable(task, found)
    sign(fig, [result])
    return fig


def draw_readable(task: PathStar, found: Mapping[int, Readable]) -> Any:
    """What a linear map reads off the blind states while a network is trained: a row a state, a panel a layer.

    A line a rung: solid the answer's token, dashed the wrong arm's at the same place. Layer 0 is left out: the state of
    the prompt's last token is the same for every graph there.

    Args:
        found: training step -> what `lookahead.evaluation.probe_rungs` found there.

    Raises:
        LookaheadError: nothing was found.
    """
    if not found:
        raise LookaheadError("nothing to draw: found must hold one training step or more")
    steps = sorted(found)
    states, top = list(found[steps[0]]), task.answer_length - 1 - task.decision
    layers = len(found[steps[0]][states[0]]["answer"]) - 1
    fig, axes = figure(1.0 + 1.75 * len(states), len(states), layers, sharex=True, sharey=True, squeeze=False)
    for row, state in zip(axes, states, strict=True):
        for layer, ax in enumerate(row, 1):
            for of, look in (("decoy", {"linestyle": DASH, "linewidth": 1.2}), ("answer", {"marker": "."})):
                for rung in range(top + 1):
                    values = [found[step][state][of][layer][rung] for step in steps]
                    ax.plot(steps, values, color=rung_color(rung, top), **look)
            accuracy_axis(ax)
            ax.locator_params(axis="x", nbins=3)
            if state == states[0]:
                ax.set_title(f"after block {layer}")
        row[0].set_ylabel(f"readable {BLIND[state]}")
    fig.supxlabel("training step", fontsize=10)
    names = [f"rung {rung}: {token_name(task, task.answer_length - 1 - rung)}" for rung in range(top + 1)]
    lines = [Line2D([], [], color=rung_color(rung, top)) for rung in range(top + 1)]
    lines.append(Line2D([], [], color=INK, linewidth=1.2, linestyle=DASH))
    fig.legend(lines, [*names, "on the wrong arm"], loc="outside upper left", ncols=len(lines), columnspacing=1.2)
    return fig
