"""The Clever Hans cheat, drawn: what it needs, in which order it is learnt, what it costs, where it looks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

from matplotlib.ticker import StrMethodFormatter
from torch import Tensor

from lookahead.contracts import Task
from lookahead.experiments.seeds import Seeds
from lookahead.figures.graphs import token_name
from lookahead.figures.plots import curves, heat
from lookahead.figures.style import DASH, INK, MEANING, ORANGE, ORDERED, RED, accuracy_axis, chance, figure, sign
from lookahead.figures.tokens import draw_teaching
from lookahead.names import named
from lookahead.runs.result import Result
from lookahead.tasks import PathStar

WITH_TEACHER = "teacher_forced_token_accuracy"
ASKED = ("as in training", "in another order", "for another goal")
"""How a network is asked about its own graphs in `results/asked-again.json`."""


def token_look(task: Task, position: int) -> dict[str, Any]:
    """How the line of an answer token looks: the first step in a colour of its own, the start dotted, the
    goal dashed.
    """
    look: dict[str, Any] = {"label": token_name(task, position), "position": position}
    if position == task.decision:
        return {**look, "color": ORANGE}
    if position < task.decision:
        return {**look, "color": INK, "linestyle": ":"}
    if position == task.answer_length - 1:
        return {**look, "color": INK, "linestyle": DASH}
    return {**look, "color": ORDERED[(position - task.decision - 1) % len(ORDERED)]}


def draw_needs(task: PathStar, answer: Tensor) -> Any:
    """What is read behind the prompt, what is to be predicted, and what must be known for it. The figure.

    Args:
        answer: tokens [A].
    """
    names = [task.symbol(token) for token in answer.tolist()]
    needs = ["copy\nthe start", "look ahead\nto the goal", *["follow\none edge"] * (len(names) - 3)]
    needs.append("copy the goal\nor follow\none edge")
    fig, ax = figure(2.45)
    draw_teaching(ax, ["=", *names[:-1]], names, hard=[task.decision])
    for x, need in enumerate(needs):
        color = ORANGE if x == task.decision else INK
        ax.text(x + 0.5, -0.6, need, ha="center", va="top", fontsize=9.5, color=color)
    for y, name in ((1.4, "reads"), (0, "predicts")):
        ax.text(-0.1, y, name, ha="right", va="center")
    ax.set(xlim=(-0.75, len(names) + 0.1), ylim=(-1.7, 1.95))
    return fig


def draw_views(results: Sequence[Result]) -> Any:
    """Left each token with the teacher, right the whole path without, against steps. The figure."""
    task = results[0].run.build_task()
    fig, (left, right) = figure(2.9, columns=2, sharey=True)
    for position in range(task.decision, task.answer_length):
        curves(results, WITH_TEACHER, ax=left, **token_look(task, position))
    curves(results, "autoregressive_accuracy", ax=right, color=INK)
    for ax in (left, right):
        accuracy_axis(ax)
        chance(ax, task.chance_accuracy, "1/d" if ax is right else "")
    left.set(title="with the teacher: each token", ylabel="token right")
    right.set(title="without: the whole path", ylabel="whole path right")
    left.legend(loc="center right", bbox_to_anchor=(1, 0.25), labelspacing=0.2)
    return fig


def draw_order(results: Sequence[Result], until: int) -> Any:
    """A panel a token: its accuracy with the teacher against steps, the first `until` of them. The figure."""
    task = results[0].run.build_task()
    fig, axes = figure(2.3, columns=task.answer_length, sharey=True)
    for position, ax in enumerate(axes):
        color = ORANGE if position == task.decision else INK
        curves(results, WITH_TEACHER, position=position, color=color, ax=ax)
        accuracy_axis(ax)
        ax.set(title=token_name(task, position), ylabel="token right")
        ax.set(xlim=(0, until), xticks=[0, until // 2, until])
    return fig


def draw_losses(results: Sequence[Result], highest: float = 2.6) -> Any:
    """The loss of each token behind the start against steps, and ln d, which a blind choice costs. The figure."""
    task = results[0].run.build_task()
    fig, ax = figure(2.9)
    for position in range(task.decision, task.answer_length):
        curves(results, "loss", ax=ax, **token_look(task, position))
    chance(ax, -math.log(task.chance_accuracy), "ln d")
    ax.set(ylim=(0, highest), ylabel=named("loss"))
    ax.legend(loc="upper right")
    return fig


def draw_memory(cells: Mapping[str, Seeds], until: int, level: float) -> Any:
    """What is learnt by heart, and whether it is of use: a column for each of the cells, a line for each network.

    Above the mean loss on the training graphs, below the share of paths right on other graphs. The line of a network
    that has `level` of them right, at some training step up to `until`, is thick.

    Returns:
        the figure.
    """
    measure = "autoregressive_accuracy"
    fig, axes = figure(4.2, 2, len(cells), sharex=True, sharey="row")
    axes = axes.reshape(2, len(cells))
    for (upper, lower), (title, seeds) in zip(axes.T, cells.items(), strict=True):
        for result in seeds:
            chosen = (result.first_step(measure, level) or math.inf) <= until
            color = MEANING[result.run.config["objective"]["name"]]
            for ax, name in ((upper, "training_loss"), (lower, measure)):
                steps, values = result.series(name)
                shown = sum(step <= until for step in steps)
                width = 2.2 if chosen else 0.9
                ax.plot(steps[:shown], values[:shown], color=color, linewidth=width, solid_joinstyle="round")
        task = seeds[0].run.build_task()
        first = title == next(iter(cells))
        guessed = -math.log(task.chance_accuracy) / task.answer_length
        chance(upper, guessed, "first step guessed" if first else "", below=4)
        chance(lower, task.chance_accuracy, "1/d" if first else "", below=14)
        accuracy_axis(lower)
        upper.set(title=title, ylim=(0, 0.3), xlim=(0, until))
        lower.set(xlabel="training step", xticks=[0, until // 2, until])
        lower.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        lower.get_xticklabels()[-1].set_horizontalalignment("right")  # or it runs into the next panel's first
        sign(fig, seeds)
    axes[0, 0].set_ylabel("loss on training graphs")
    axes[1, 0].set_ylabel("path right, unseen graphs")
    return fig


def draw_asked_again(seeds: Seeds, networks: Sequence[Mapping[str, Any]]) -> Any:
    """First steps right about the training graphs, by what is asked, and about unseen graphs: a line for each network.

    The line of a network that left chance on unseen graphs is thick.

    Args:
        networks: rows of `results/asked-again.json`: a run, and the share right by what it is asked.

    Returns:
        the figure.
    """
    known = {row["run"]: row for row in networks}
    measure, color = "decision_accuracy", MEANING["teacher_forcing"]
    left = seeds.left_chance(measure)
    looks = {True: {"linewidth": 2.2, "markersize": 6}, False: {"linewidth": 0.9, "markersize": 4}}
    fig, ax = figure(2.8)
    for result, chooses in zip(seeds, left, strict=True):
        shares = [known[result.run.id][way] for way in ASKED] + [result.measures[measure]]
        ax.plot(shares, "o-", color=color, **looks[bool(chooses)])
    for chooses, words in ((True, "left chance on unseen graphs"), (False, "did not")):
        if count := int((left == chooses).sum()):
            ax.plot([], [], "o-", color=color, label=f"{count} {words}", **looks[chooses])
    fig.legend(loc="outside upper right", ncols=2)
    ax.set_xticks(range(len(ASKED) + 1), [fill(words, 12) for words in (*ASKED, "unseen graphs")])
    chance(ax, seeds[0].run.build_task().chance_accuracy, "1/d", below=4)
    accuracy_axis(ax)
    ax.set(ylabel="first step right", xlim=(-0.3, len(ax.get_xticks()) - 0.7))
    sign(fig, seeds)
    return fig


def draw_attention(task: PathStar, right: Mapping[int, Tensor], wrong: Mapping[int, Tensor], later: Tensor) -> Any:
    """Left where the head looks that follows edges best, token by token; right how well every head does. The figure.

    Args:
        right, wrong: answer position -> attention [layers, heads] on the right edge, on others from the same node.
        later: the attention on the edge to follow, behind the first step, [layers, heads].
    """
    layer, head = divmod(int(later.argmax()), later.shape[1])
    fig, (left, every) = figure(2.9, columns=2, width_ratios=(1.3, 1))
    bottom = [0.0] * len(right)
    for shares, color, label in ((right, INK, "right edge"), (wrong, RED, "wrong edge, same node")):
        heights = [float(shares[position][layer, head]) for position in right]
        left.bar(range(len(right)), heights, bottom=bottom, color=color, width=0.55, linewidth=0, label=label)
        bottom = heights
    left.set_xticks(range(len(right)), [token_name(task, position) for position in right])
    left.set(
        title=f"layer {layer + 1}, head {head + 1}: where it looks", xlabel="token that it predicts", ylabel="attention"
    )
    accuracy_axis(left)
    left.set_ylim(0, 1.05)
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2)
    heat(later, ax=every, color=INK, rows=range(1, later.shape[0] + 1), columns=range(1, later.shape[1] + 1))
    every.set(title="attention on the edge to follow", xlabel="head", ylabel="layer")
    return fig
