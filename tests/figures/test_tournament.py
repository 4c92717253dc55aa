"""Many methods side by side."""

from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt

from lookahead import stored
from lookahead.contracts import Objective, Task
from lookahead.evaluation.layouts import asked, layout
from lookahead.figures import tournament
from lookahead.figures.style import BLUE, INK

Build = Callable[..., tuple[Task, Objective]]

TASK = {"name": "path_star", "degree": 2, "path_length": 4, "num_nodes": 10}


def looks(ax: Any, row: int) -> list[str]:
    """The marks of a row, as they are named."""
    found = []
    for line in ax.lines:
        if line.get_ydata()[0] == row and line.get_linestyle() == "None":
            filled = line.get_markerfacecolor()
            found.append("no" if line.get_marker() == "_" else "given" if filled == "none" else "alone")
    return found


def test_a_panel_shows_what_every_state_reads_and_is_asked_for(build: Build) -> None:
    methods = ("teacher_forcing", "reversed", "teacherless")
    task, _ = build("reversed", task=TASK)
    layouts = {name: layout(build(name, task=TASK)[1], task) for name in methods}
    fig = tournament.draw_layouts(task, layouts, {}, columns=2)
    panels = [ax for ax in fig.axes if ax.axison]
    assert [ax.get_title() or ax.get_title(loc="left") for ax in panels] == list(methods)
    read = [[label.get_text() for label in ax.get_xticklabels()] for ax in panels]
    assert read == [["=", "s", "1", "2"], ["=", "g", "2", "1"], ["=", "$", "$", "$"]]
    assert all(len(ax.lines) == 16 for ax in panels)
    asked_for = [(line.get_xdata()[0], line.get_ydata()[0]) for line in panels[1].lines if line.get_color() == INK]
    assert {(0, 3), (1, 2), (2, 1), (3, 0)} <= set(asked_for)
    plt.close("all")


def test_what_is_asked_stands_beside_the_times_of_the_same_method(build: Build) -> None:
    task, forcing = build("teacher_forcing", task=TASK)
    cells = {"several": stored("several-tokens").where(tokens=4), "one": stored("several-tokens").where(tokens=1)}
    asks = {
        "several": asked(build({"name": "multi_token", "tokens": 4}, task=TASK)[1], task),
        "one": asked(forcing, task),
    }
    fig = tournament.draw_tournament(asks, cells, ["1st step", "2nd", "goal"], {"several": BLUE})
    left, right = fig.axes
    assert looks(left, 0) == ["alone", "alone", "alone"]
    assert looks(left, 1) == ["alone", "no", "no"]
    dots = [line for line in right.lines if round(line.get_ydata()[0]) == 0]
    assert len(dots) == len(cells["several"])
    assert {line.get_color() for line in dots} == {BLUE}
    assert set(fig.results) == {result.run.id for seeds in cells.values() for result in seeds}
    plt.close("all")


def test_a_card_shows_every_training_of_a_method_in_a_line_of_its_graphs_style(build: Build) -> None:
    task, network = build({"name": "multi_token", "tokens": 4}, task=TASK)
    four, five = stored("several-tokens").where(tokens=4), stored("several-tokens-longer").where(tokens=5)
    fig = tournament.draw_card(task, layout(network, task), {"G(2,4)": four, "G(2,5)": five}, BLUE, until=12_000)
    left, right = fig.axes
    assert len(left.lines) == 16
    assert [line.get_linestyle() for line in right.lines] == ["-"] * len(four) + ["--"] * len(five)
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["G(2,4)", "G(2,5)"]
    for line, result in zip(right.lines, [*four, *five], strict=True):
        steps, values = result.series("autoregressive_accuracy")
        assert list(line.get_ydata()) == values[1:]
        assert list(line.get_xdata()) == steps[1:]
    assert set(fig.results) == {result.run.id for result in [*four, *five]}
    nothing = tournament.draw_card(task, layout(network, task), {})
    assert nothing.axes[1].get_legend() is None
    plt.close("all")
