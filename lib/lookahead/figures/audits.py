"""What audits have found, drawn: what each token costs, and how that changes with the number of examples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from lookahead.auditing.drawing import AXES, told
from lookahead.auditing.meter import ALONE, REVERSED, SEVERAL, WITH_TEACHER
from lookahead.auditing.report import Audit
from lookahead.evaluation.statistics import Interval
from lookahead.figures.style import FAINT, MEANING, PALE, YELLOW, figure, save, use_style
from lookahead.names import named

COLORS = {
    "nothing": FAINT,
    "prompt": MEANING["teacherless"],
    "half": YELLOW,
    "last": YELLOW,
    "teacher": MEANING["teacher_forcing"],
}
ORDERS = {
    WITH_TEACHER: MEANING["teacher_forcing"],
    ALONE: MEANING["teacherless"],
    REVERSED: MEANING["reversed"],
    SEVERAL: MEANING["multi_token"],
}
COLUMNS = 3


def draw_audit(audit: Audit, labels: Sequence[str] | None = None, legend: str = "outside upper left") -> Any:
    """Held-out loss of every answer token, a line a reader, with 95% intervals; the decision is shaded. The figure.

    Args:
        labels: what the tokens are called, one for each; their numbers, or the names of the parts, if not given.
        legend: where it stands.
    """
    fig, ax = figure(2.9)
    _tokens(ax, audit)
    if shown := labels or audit.units.names:
        ax.set_xticks(range(len(shown)), shown)
    ax.set(xlabel="token of the answer" if labels is not None else AXES[audit.units.kind], ylabel=named("loss"))
    _legend(fig, ax, legend)
    return fig


def write_audit(path: Path, audit: Audit) -> None:
    """`draw_audit`, with the verdict above it, to a file that ends in .png, .svg or .pdf.

    Raises:
        LookaheadError: another kind of file.
    """
    use_style()
    fig = draw_audit(audit, legend="outside lower left")  # the verdict stands above
    fig.suptitle(audit.verdict.reasons[0], x=0.01, ha="left", fontsize=11, parse_math=False, wrap=True)
    save(fig, path)


def draw_audits(audits: Mapping[str, Audit]) -> Any:
    """`draw_audit` in small, a panel a data set with the verdict in its title. The figure."""
    rows = math.ceil(len(audits) / COLUMNS)
    fig, axes = figure(1.75 * rows + 0.5, rows, COLUMNS, squeeze=False)
    for ax, (title, audit) in zip(axes.flat, audits.items(), strict=False):
        _tokens(ax, audit)
        ax.set_title(f"{title}:\n{audit.verdict.answer}", fontsize=9.5)
        ax.locator_params(axis="x", integer=True, nbins=6)
    for ax in axes.flat[len(audits) :]:
        ax.axis("off")
    for ax in axes[:, 0]:
        ax.set_ylabel(named("loss"))
    for ax in axes[-1]:
        ax.set_xlabel("token of the answer")
    _legend(fig, axes.flat[0])
    return fig


def _tokens(ax: Axes, audit: Audit) -> None:
    """The lines of one audit."""
    places = [place for place in audit.places if place.examples > 1]
    if audit.decision is not None:
        ax.axvspan(audit.decision - 0.3, audit.decision + 0.3, color=PALE, zorder=0)
    for name, text in told(places).items():
        _line(ax, [place.index for place in places], [getattr(place, name) for place in places], text, COLORS[name])
    ax.set_ylim(bottom=0)


def draw_sizes(audits: Mapping[str, Mapping[int, Audit]]) -> Any:
    """What a whole answer costs each reader, against the number of examples; the verdict below. The figure.

    Args:
        audits: data set -> examples in the file -> its audit.
    """
    fig, axes = figure(2.7, 1, len(audits), squeeze=False)
    for ax, (title, sizes) in zip(axes.flat, audits.items(), strict=True):
        counts = sorted(size for size, audit in sizes.items() if audit.orders)
        for place, name in enumerate(ORDERS):
            costs = [sizes[size].orders[place].total for size in counts]
            _line(ax, counts, costs, name, ORDERS[name])
        ax.set(title=title, xscale="log", xlabel="thousand examples, verdict")
        said = [sizes[count].verdict.answer.replace(" ", "\n") for count in counts]
        ax.set_xticks(counts, [f"{count / 1000:g}\n{one}" for count, one in zip(counts, said, strict=True)], fontsize=9)
        ax.minorticks_off()
        ax.margins(x=0.12)
        ax.set_ylim(bottom=0)
    axes[0, 0].set_ylabel("whole answer, nats")
    _legend(fig, axes.flat[0], "outside lower left")
    return fig


def _legend(fig: Any, ax: Axes, where: str = "outside upper left") -> None:
    """The names of the lines of some axes, beside them all."""
    handles, names = ax.get_legend_handles_labels()
    if names:
        fig.legend(handles, names, loc=where, ncols=len(names))


def _line(ax: Axes, x: Sequence[float], losses: Sequence[Interval], label: str, color: str) -> None:
    values = [loss.value for loss in losses]
    reach = [[loss.value - loss.low for loss in losses], [loss.high - loss.value for loss in losses]]
    ax.errorbar(x, values, reach, label=label, color=color, marker="o", markersize=4, linewidth=1.6, elinewidth=1)
