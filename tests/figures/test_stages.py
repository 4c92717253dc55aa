"""Trainings that go on from one another."""

import matplotlib.pyplot as plt
import pytest

from lookahead import stored
from lookahead.figures.stages import draw_stages
from lookahead.figures.style import BLUE, ORANGE


def test_the_next_run_begins_where_the_one_before_ends() -> None:
    several, one = (
        stored("several-tokens").by("tokens")[4][0],
        stored("direction").where(objective="teacher_forcing")[0],
    )
    fig = draw_stages([[several, one]], "decision_accuracy")
    (ax,) = fig.axes
    curves = [line for line in ax.lines if len(line.get_xdata()) > 2]
    assert [line.get_color() for line in curves] == [BLUE, ORANGE]
    steps, values = one.series("decision_accuracy")
    begun = several.manifest["steps"]
    assert list(curves[1].get_xdata()) == pytest.approx([begun + step for step in steps])
    assert list(curves[1].get_ydata()) == values
    assert set(fig.results) == {several.run.id, one.run.id}
    plt.close("all")
