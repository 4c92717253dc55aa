"""Tasks below one another."""

import matplotlib.pyplot as plt

from lookahead import stored
from lookahead.figures.style import FAINT, MEANING
from lookahead.figures.tasks import draw_tasks


def test_a_row_has_a_dot_per_network_and_a_stroke_at_the_cheat() -> None:
    slips = stored("slips")
    tasks = {name: slips.where(schedule=name) for name in ("cosine", "constant")}
    fig = draw_tasks(tasks)
    (ax,) = fig.axes
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert len(dots) == sum(map(len, tasks.values()))
    expected = {
        (row, result.measures["autoregressive_accuracy"], MEANING[result.run.config["objective"]["name"]])
        for row, seeds in enumerate(tasks.values())
        for result in seeds
    }
    assert {(round(dot.get_ydata()[0]), dot.get_xdata()[0], dot.get_color()) for dot in dots} == expected
    strokes = [line for line in ax.lines if line.get_color() == FAINT and len(set(line.get_xdata())) == 1]
    assert [line.get_xdata()[0] for line in strokes] == [0.5, 0.5]
    assert set(fig.results) == {result.run.id for seeds in tasks.values() for result in seeds}
    plt.close("all")
