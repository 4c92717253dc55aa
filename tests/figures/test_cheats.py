import matplotlib.pyplot as plt

from lookahead import stored
from lookahead.figures.cheats import draw_memory


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
