"""Measures against training steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from lookahead.runs.result import Result


def curves(
    ax: Axes,
    results: Sequence[Result],
    measure: str,
    position: int | None = None,
    *,
    color: str,
    label: str | None = None,
) -> None:
    """One measure against steps: a thin line a seed, a thick one for their mean.

    A run that stopped early keeps its last value in the mean.
    """
    longest = max((r.series(measure, position)[0] for r in results), key=len)
    rows = []
    for result in results:
        steps, values = result.series(measure, position)
        ax.plot(
            steps,
            values,
            color=color,
            linewidth=0.8,
            alpha=0.35 if len(results) > 1 else 0,
        )
        rows.append([*values, *[values[-1]] * (len(longest) - len(values))])
    ax.plot(longest, np.mean(rows, axis=0), color=color, label=label)
