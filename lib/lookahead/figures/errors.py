"""Errors of a predictor, drawn: how they compound over an answer, and at which token they lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from lookahead.evaluation.statistics import Interval
from lookahead.figures.plots import points
from lookahead.figures.style import DASH, FAINT, INK, ORANGE, ORDERED, accuracy_axis, figure


def draw_powers(
    ax: Axes, lengths: Sequence[int], measured: Mapping[str, tuple[float, Sequence[float] | Sequence[Interval]]]
) -> None:
    """Shares of answers right after T tokens, beside the (1 - e)^T that an error e of each token predicts.

    Args:
        lengths: the T that were measured.
        measured: label -> (e, a share for each length, with its interval or without), by e; three at most.
    """
    last = lengths[-1]
    every = np.linspace(0, last, 4 * len(lengths) + 1) if last < 20 else np.arange(last + 1)
    for (label, (e, shares)), color in zip(measured.items(), ORDERED, strict=False):
        ax.plot(every, (1 - e) ** every, color=color, linewidth=1.4)
        plain = [share if isinstance(share, Interval) else Interval(share, share, share) for share in shares]
        points(lengths, plain, color=color, ax=ax)
        ax.text(1.03 * last, (1 - e) ** last, label, color=color, va="center")
    accuracy_axis(ax)
    ax.set(xlim=(0, 1.16 * last), ylabel="answers right")


def draw_token_errors(errors: Any, so_far: Sequence[float], decision: int) -> Any:
    """Left the error of each token, right the answers right so far, beside one error that all tokens share.

    Args:
        errors: shares [networks, A].
        so_far: [A].
        decision: the place of the first step, drawn in the colour of teacher forcing.

    Returns:
        the figure.
    """
    errors = np.asarray(errors)
    tokens = np.arange(errors.shape[1])
    even = 1 - so_far[-1] ** (1 / len(tokens))
    fig, (left, right) = figure(3.1, columns=2)
    dashed: dict[str, Any] = {"color": FAINT, "linewidth": 1.4, "linestyle": DASH}
    colors = [ORANGE if token == decision else INK for token in tokens]
    left.bar(tokens, errors.mean(axis=0), color=colors, width=0.7, linewidth=0)
    if len(errors) > 1:
        left.plot(np.tile(tokens, len(errors)), errors.ravel(), "_", color=FAINT, markersize=7)
    left.axhline(even, **dashed)
    left.text(tokens[-1] + 0.4, even + 0.02, "spread evenly", ha="right", color=FAINT, fontsize=9)
    right.plot(tokens, (1 - even) ** (tokens + 1), **dashed)
    right.plot(tokens, so_far, "-o", color=ORANGE, markersize=4.5)
    right.text(tokens[-1], 0.97, "spread evenly, compounding", ha="right", va="top", color=FAINT, fontsize=9)
    right.text(tokens[-1], max(so_far[-1] - 0.06, 0.12), "measured", ha="right", va="top", color=ORANGE)
    left.set(title="error of each token, with the teacher", ylabel="tokens wrong")
    right.set(title="answers right so far, on its own", ylabel="answers right")
    for ax in (left, right):
        ax.set(ylim=(0, 1.05), yticks=[0, 0.5, 1], xlabel="token of the answer, start = 0")
        ax.set_xticks(tokens if len(tokens) <= 10 else tokens[::5])
    return fig
