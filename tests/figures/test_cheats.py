import matplotlib.pyplot as plt

from lookahead import Seeds, stored
from lookahead.chapter.benchmarks import report
from lookahead.figures.cheats import draw_asked_again, draw_memory


def test_thick_is_who_chose_on_unseen_graphs_in_time() -> None:
    seeds = stored("waiting").where(objective="teacher_forcing", path_length=4, model="tiny", num_nodes=10)
    measure, level = "autoregressive_accuracy", 0.6
    rises = [result.first_step(measure, level) for result in seeds]
    until = max(filter(None, rises)) - 1
    fig = draw_memory({"all": seeds}, until, level)
    for ax, name in zip(fig.axes, ("training_loss", measure), strict=True):
        lines = ax.lines[: len(seeds)]
        assert [list(line.get_ydata()) for line in lines] == [result.series(name)[1] for result in seeds]
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
    shares = {row["run"]: [share for name, share in row.items() if name != "run"] for row in networks}
    for result, line in zip(seeds, fig.axes[0].lines, strict=False):
        assert list(line.get_ydata()) == [*shares[result.run.id], result.measures["decision_accuracy"]]
        assert (line.get_linewidth() > 2) == result.left_chance("decision_accuracy")
    plt.close("all")
