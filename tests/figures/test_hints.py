"""The controls' figures name every control and count its seeds; a gradient agrees with itself."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from lookahead import Seeds, figures, stored
from lookahead.figures.hints import (
    agreement,
    agreement_band,
    draw_controls,
    draw_gradients,
    draw_tiles,
    gradient_length,
)


@pytest.fixture(scope="module")
def hints() -> Seeds:
    return stored("hints")


@pytest.fixture(autouse=True)
def style():
    figures.use_style()
    yield
    plt.close("all")


def test_first_step_agrees_with_itself(hints: Seeds):
    seeds = hints.where(path_length=4, start=False, later=True, taught="all")
    assert agreement(seeds, seeds[0].run.build_task().decision) == pytest.approx(1)
    assert np.abs(agreement(seeds, 2)).max() < 1


def test_length_is_never_nothing(hints: Seeds):
    assert min(gradient_length(result, 2).min() for result in hints if result.run.objective["taught"] == "all") >= 1e-5


def test_tiles_count_seeds_that_learn_and_seeds_that_leave_chance(hints: Seeds):
    fig = draw_tiles(hints)
    panels = {ax.get_title(loc="left"): [int(text.get_text().split(" of ")[0]) for text in ax.texts] for ax in fig.axes}
    for length, seeds in hints.by("path_length").items():
        learn, leave = (
            panels[f"$l = {length}$: seeds that {what}"] for what in ("learn the first step", "leave chance")
        )
        assert len(learn) == len(leave) == 6
        assert (sum(learn), sum(leave)) == (seeds.won, seeds.left_chance().sum())
    assert len(fig.results) == len(hints)


def test_band_holds_the_agreement_and_narrows_with_seeds(hints: Seeds):
    seeds = hints.where(path_length=4, start=True, later=False, taught="all")
    low, high = agreement_band(seeds, 2)
    assert ((low <= agreement(seeds, 2)) & (agreement(seeds, 2) <= high)).all()
    fewer_low, fewer_high = agreement_band(seeds[:3], 2)
    assert (high - low).mean() < (fewer_high - fewer_low).mean()


def test_controls_are_named_once(hints: Seeds):
    fig = draw_controls(hints, ended=300)
    titles = [ax.get_title(loc="left") for ax in fig.axes]
    assert titles[:2] == ["start shown\nlater shown", "start shown\nlater hidden"]
    assert titles[5] == "first step alone\nstart hidden"
    assert not any(titles[6:])


def test_cosine_is_drawn_where_later_hints_are_hidden(hints: Seeds):
    fig = draw_gradients(hints.where(path_length=4, taught="all"), 2)
    _, right = fig.axes
    labels = right.get_legend_handles_labels()[1]
    assert labels == ["start shown, later hidden", "start hidden, later hidden"]
