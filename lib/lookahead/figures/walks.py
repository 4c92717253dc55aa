"""A path-star graph with what a network makes of it: every edge as thick as the network is likely to take it."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from torch import Tensor

from lookahead.figures.graphs import EDGE
from lookahead.figures.style import INK, PALE
from lookahead.tasks import PathStar

THICKEST = 9.0
"""Points, of an edge that is taken for certain."""


def draw_walk(ax: Axes, task: PathStar, prompt: Tensor, shares: list[list[float]], said: Tensor, color: Any) -> None:
    """A graph, the start to the left and the goal's arm above; shares as thickness, the answer's nodes filled.

    A step of the answer that no edge leads to is dashed.

    Args:
        prompt: tokens [P].
        shares: how likely each edge of each arm is taken, the goal's arm first, [d][l - 1].
        said: the answer, tokens [A].
    """
    arms = task.arms(prompt[None])[0].tolist()
    start, goal = task.question(prompt[None])[0].tolist()
    middle = (len(arms) - 1) / 2
    spots = {start: (0.0, 0.0)}
    for row, arm in enumerate(arms):
        spots |= {node: (float(column), middle - row) for column, node in enumerate(arm, 1)}
    for arm, along in zip(arms, shares, strict=True):
        for u, v, share in zip([start, *arm], arm, along, strict=False):
            xs, ys = zip(spots[u], spots[v], strict=True)
            ax.plot(xs, ys, color=EDGE, linewidth=1.2, zorder=1)
            if THICKEST * share >= 0.1:  # else nobody sees it
                ax.plot(xs, ys, color=color, linewidth=THICKEST * share, zorder=2, solid_capstyle="butt")
        (x, y), share = spots[arm[0]], along[0]
        ax.text(x / 2 - 0.08, y / 2 + (0.24 if y >= 0 else -0.24), f"{share:.0%}", ha="right", va="center", fontsize=9)
    edges = {pair for arm in arms for pair in zip([start, *arm], arm, strict=False)}
    for u, v in zip(said.tolist(), said.tolist()[1:], strict=False):
        if u in spots and v in spots and (u, v) not in edges:
            ax.plot(*zip(spots[u], spots[v], strict=True), color=color, linewidth=1.8, linestyle=(0, (2, 2)), zorder=2)
    named = set(said.tolist())
    for nodes, fill, ink in ((named & set(spots), color, "white"), (set(spots) - named, PALE, INK)):
        there = {node: spots[node] for node in sorted(nodes)}
        xs, ys = [x for x, _ in there.values()], [y for _, y in there.values()]
        ax.scatter(xs, ys, s=300, color=fill, edgecolor="none", zorder=3)  # together: one shape in the file
        for node, (x, y) in there.items():
            ax.text(x, y, str(node), ha="center", va="center_baseline", color=ink, zorder=4)
    ax.plot(*spots[goal], "o", color="none", markeredgecolor=INK, markersize=22, markeredgewidth=1.2, zorder=4)
    ax.set(xlim=(-0.4, task.path_length - 0.6), ylim=(-middle - 0.55, middle + 0.55))
    ax.axis("off")
