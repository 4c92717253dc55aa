import matplotlib.pyplot as plt

from lookahead import Seeds, stored
from lookahead.chapter.benchmarks import report
from lookahead.figures.cheats import ASKED, draw_asked_again, draw_memory


def test_thick_is_who_chose_on_unseen_graphs_in_time() -> None:
    seeds = stored("waiting").where(objective="teacher_forcing", path_length=4, model="tiny", num_nodes=10)
    measure, level = "autoregressive_accuracy", 0.6
    rises = [result.first_step(measure, level) for result in seeds]
    until = max(filter(None, rises)) - 1
    fig = draw_memory({"all": seeds}, until, level)
    for ax, name in zip(fig.axes, ("training_loss", measure), strict=True):
        lines = ax.lines[: len(seeds)]
        for line, result in zip(lines, seeds, strict=True):
            points = [point for point in zip(*result.series(name), strict=True) if point[0] <= until]
            assert list(zip(line.get_xdata(), line.get_ydata(), strict=True)) == points
        assert [line.get_linewidth() > 2 for line in lines] == [rise is not None and rise <= until for rise in rises]
    assert sum(rise is not None for rise in rises) > sum(line.get_linewidth() > 2 for line in fig.axes[0].lines) > 0
    plt.close("all")


def on_a_fixed_set() -> Seeds:
    return Seeds([result for result in stored("repeats") + stored("waiting") if result.run.train_examples])


def test_every_stored_network_that_saw_the_same_graphs_was_asked_again() -> None:
    asked = [row["run"] for row in report("asked-again")["networks"]]
    assert sorted(asked) == sorted(result.run.id for result in on_a_fixed_set())


def test_a_network_is_drawn_from_what_it_knows_to_what_it_never_saw() -> None:
    seeds, networks = on_a_fixed_set(), report("asked-again")["networks"]
    fig = draw_asked_again(seeds, networks)
    known = {row["run"]: row for row in networks}
    for result, line in zip(seeds, fig.axes[0].lines[: len(seeds)], strict=True):
        shares = [known[result.run.id][way] for way in ASKED]
        assert list(line.get_ydata()) == [*shares, result.measures["decision_accuracy"]]
        assert (line.get_linewidth() > 2) == result.left_chance("decision_accuracy")
    (legend,) = fig.legends
    counts = [int(text.get_text().split()[0]) for text in legend.get_texts()]
    assert counts == [seeds.left_chance("decision_accuracy").sum(), (~seeds.left_chance("decision_accuracy")).sum()]
    plt.close("all")
