"""What is asked of a state, drawn."""

import matplotlib.pyplot as plt
import pytest
import torch

from lookahead import stored
from lookahead.errors import LookaheadError
from lookahead.figures import figure, ladders
from lookahead.figures.style import ORANGE
from lookahead.tasks import PathStar


def texts(ax: plt.Axes) -> list[str]:
    return [text.get_text() for text in ax.texts if text.get_text()]


def test_every_head_asks_for_the_token_that_far_ahead() -> None:
    task = PathStar(2, 5, 10)
    answer = task.sample("train", torch.arange(1))[1][0]
    names = [task.symbol(token) for token in answer.tolist()]
    _, ax = figure(3)
    ladders.draw_asked(ax, task, answer, tokens=3)
    asked = [*names, *names[1:], *names[2:]]
    said = [text for text in texts(ax) if text not in ("reads", "next token", "head 2", "head 3")]
    assert said == ["=", *names[:-1], *asked]
    plt.close("all")


def test_a_ladder_begins_at_the_goal_and_ends_at_the_first_step() -> None:
    task = PathStar(2, 5, 10)
    answer = task.sample("train", torch.arange(1))[1][0]
    _, ax = figure(1.5)
    ladders.draw_ladder(ax, task, answer)
    nodes = [text for text in texts(ax) if text in {task.symbol(token) for token in answer.tolist()}]
    assert nodes == [task.symbol(token) for token in reversed(answer.tolist()[1:])]
    assert [text for text in texts(ax) if text.startswith("rung")] == ["rung 0", "rung 1", "rung 2", "rung 3"]
    plt.close("all")


def test_a_climb_shows_every_rung_that_was_asked_for_and_the_first_step() -> None:
    runs = stored("ladder").by("rungs", "at", "of")[(1,), "decision", "answer"]
    fig = ladders.draw_climb(runs)
    assert len(fig.axes) == len(runs)
    for ax, result in zip(fig.axes, runs, strict=True):
        asked, first = ax.lines[:2]
        assert list(asked.get_ydata()) == [row["parts"]["rung 1 right"] for row in result.curve]
        assert list(first.get_ydata()) == result.series("decision_accuracy")[1]


def test_what_is_readable_has_a_panel_a_layer_and_a_line_a_rung() -> None:
    """Whatever the order in which the training steps are given; layer 0 is left out."""

    def at(step: int) -> dict:
        rungs = {
            of: [[step / 100 + layer / 10 + rung / 100 for rung in range(3)] for layer in range(3)]
            for of in ("answer", "decoy")
        }
        return {"prompt": rungs, "decision": rungs}

    fig = ladders.draw_readable(PathStar(2, 4, 10), {50: at(50), 0: at(0)})
    assert [ax.get_title() or ax.get_title(loc="left") for ax in fig.axes] == ["after block 1", "after block 2", "", ""]
    assert [ax.get_ylabel() for ax in fig.axes] == ["readable at =", "", "readable at the start", ""]
    solid = [line for line in fig.axes[1].lines if line.get_linestyle() == "-"]
    assert [line.get_xdata().tolist() for line in solid] == [[0, 50]] * 3
    assert [line.get_ydata().tolist() for line in solid] == [
        pytest.approx([0.2 + r / 100, 0.7 + r / 100]) for r in range(3)
    ]
    assert len({line.get_color() for line in solid}) == 3
    assert solid[-1].get_color() == ORANGE, "what teacher forcing asks for"
    said = [text.get_text() for text in fig.legends[0].get_texts()]
    assert said == ["rung 0: goal", "rung 1: second step", "rung 2: first step", "on the wrong arm"]
    with pytest.raises(LookaheadError, match="nothing to draw"):
        ladders.draw_readable(PathStar(2, 4, 10), {})
    plt.close("all")
