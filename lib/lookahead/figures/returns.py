"""What recurrent networks learn, drawn: returns from a wrong arm, the place of the question, the size of the memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lookahead.experiments.seeds import Seeds
from lookahead.figures.plots import curves, points
from lookahead.figures.style import BLUE, ORANGE, YELLOW, accuracy_axis, chance, figure, sign
from lookahead.names import named

ORDERS = (YELLOW, BLUE)
"""The question behind the edges, before them."""


def draw_returns(taught: Seeds, position: int = 2) -> Any:
    """A column a model: above the first step against training, below against returns from a wrong arm. The figure.

    Args:
        taught: by teacher forcing, all on graphs of one size.
        position: of the answer's token at which the network may return.
    """
    models = taught.by("model")
    level = taught[0].run.build_task().chance_accuracy
    fig, axes = figure(4.4, rows=2, columns=len(models), sharey=True, squeeze=False)
    for (above, below), (model, seeds) in zip(axes.T, models.items(), strict=True):
        curves(seeds, "decision_accuracy", color=ORANGE, ax=above)
        returns, chosen = seeds.values("return_token_accuracy", position), seeds.values("decision_accuracy")
        below.plot(returns, chosen, "o", color=ORANGE, markersize=5.5, alpha=0.6, markeredgewidth=0)
        above.set_title(named(model))
        below.set(xlim=(-0.05, 1.05), xticks=[0, 0.5, 1], xlabel="returns from a wrong arm")
        for ax in (above, below):
            accuracy_axis(ax)
            chance(ax, level, "1/d" if ax is axes[1, 0] else "")
    for ax in axes[:, 0]:
        ax.set_ylabel("first step right")
    return fig


def draw_orders(orders: Mapping[str, Seeds]) -> Any:
    """The first step against training, a panel a setting, with the question last and first. The figure.

    Args:
        orders: label -> results; the last one's objectives and path lengths are the panels.
    """
    *_, smallest = orders.values()
    settings = smallest.by("objective", "path_length")
    fig, axes = figure(2.7, columns=len(settings), sharey=True)
    for ax, (objective, length) in zip(axes, settings, strict=True):
        for (label, results), color in zip(orders.items(), ORDERS, strict=True):
            seeds = results.where(objective=objective, path_length=length)
            curves(seeds, "decision_accuracy", color=color, ax=ax, label=label)
        accuracy_axis(ax)
        chance(ax, seeds[0].run.build_task().chance_accuracy, "1/d" if ax is axes[-1] else "")
        ax.set_title(f"{named(objective)}, l = {length}")
    axes[0].set_ylabel("first step right")
    axes[0].legend(loc="upper left")
    return fig


def draw_sizes(orders: Mapping[str, Seeds]) -> Any:
    """Left the whole path right, a dot a seed and their mean; right the share of seeds that succeed. The figure.

    Args:
        orders: label -> results, for one order of question and edges; by `state`, numbers of memory a channel.
    """
    fig, (left, right) = figure(2.9, columns=2)
    for (label, results), color, shift in zip(orders.items(), ORDERS, (-0.08, 0.08), strict=True):
        sizes = results.by("state")
        places = np.arange(len(sizes)) + shift
        for place, seeds in zip(places, sizes.values(), strict=True):
            accuracies = seeds.values("autoregressive_accuracy")
            left.plot([place] * len(seeds), accuracies, "o", color=color, markersize=4.5, alpha=0.7, markeredgewidth=0)
        means = [seeds.values("autoregressive_accuracy").mean() for seeds in sizes.values()]
        left.plot(places, means, color=color, linewidth=1.4, label=label)
        shares = [seeds.success for seeds in sizes.values()]
        points(range(len(sizes)), shares, color=color, ax=right, shift=shift, line=True)
        sign(fig, results)
    for ax, name in ((left, "whole path right"), (right, "seeds that succeed")):
        accuracy_axis(ax)
        ax.set_xticks(range(len(sizes)), [str(state) for state in sizes])
        ax.set(xlabel="numbers of memory a channel", ylabel=name)
    left.legend(loc="lower right")
    return fig
