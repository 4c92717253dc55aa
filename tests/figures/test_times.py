import matplotlib.pyplot as plt

from lookahead import stored
from lookahead.figures.times import draw_plateaus, draw_waits
from lookahead.runs.result import Result


def end_of(result: Result) -> int:
    return result.step_of_success or result.manifest["steps"]


def test_a_seed_that_has_not_learnt_is_an_open_dot_where_its_training_ended() -> None:
    runs = stored("ladder")
    fig = draw_waits({"all": runs})
    dots = fig.axes[0].lines
    assert [dot.get_markerfacecolor() != "none" for dot in dots] == [result.success for result in runs]
    assert [dot.get_xdata()[0] for dot in dots if dot.get_markerfacecolor() == "none"] == [
        result.manifest["steps"] for result in runs if not result.success
    ]
    plt.close("all")


def test_a_plateau_is_thin_and_what_comes_after_it_thick() -> None:
    measure, level = "decision_accuracy", 0.6
    runs = stored("waiting")
    fig = draw_plateaus(
        {f"arms of {length}": seeds for length, seeds in runs.by("path_length").items()}, measure, level
    )
    lines = [line for line in fig.axes[0].lines if len(line.get_xdata()) == 2 and line.get_xdata()[0] != 0]
    thin = [line.get_xdata()[1] for line in lines if line.get_linewidth() < 1]
    thick = [tuple(line.get_xdata()) for line in lines if line.get_linewidth() > 2]
    rises = {result.run.id: result.first_step(measure, level) for result in runs}
    assert sorted(thin) == sorted(min(rises[result.run.id] or end_of(result), end_of(result)) for result in runs)
    assert sorted(thick) == sorted(
        (rises[result.run.id], end_of(result))
        for result in runs
        if rises[result.run.id] is not None and rises[result.run.id] < end_of(result)
    )
    plt.close("all")


def test_what_is_learnt_ends_in_a_dot_and_the_rest_in_an_open_arrow() -> None:
    runs = stored("waiting")
    fig = draw_plateaus({"all": runs}, "decision_accuracy", 0.6)
    ends = [(line.get_marker(), line.get_xdata()[0]) for line in fig.axes[0].lines if line.get_marker() in ("o", ">")]
    assert sorted(ends) == sorted(("o" if result.step_of_success else ">", end_of(result)) for result in runs)
    plt.close("all")
