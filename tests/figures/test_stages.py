"""Trainings that go on from one another."""

import matplotlib.pyplot as plt
import pytest

from lookahead import stored
from lookahead.figures.stages import draw_stages
from lookahead.figures.style import BLUE, FAINT, ORANGE


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


def test_a_run_on_another_task_is_grey_and_has_its_name() -> None:
    drills = stored("drills")[0]
    after = stored("pretrained").where(objective="multi_token", start_from=drills.run.id)[0]
    fig = draw_stages([[drills, after]], "autoregressive_accuracy")
    (ax,) = fig.axes
    curves = [line for line in ax.lines if len(line.get_xdata()) > 2]
    assert [line.get_color() for line in curves] == [FAINT, BLUE]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["drills", "several tokens"]
    dashed = [line.get_ydata()[0] for line in ax.lines if list(line.get_ydata()) == [0.5, 0.5]]
    assert dashed, "chance is that of the graph, not of the drills"
    plt.close("all")
