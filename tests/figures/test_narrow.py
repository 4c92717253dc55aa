"""Figures for small screens: fewer columns, nothing lost, and the wide figure as it was before."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell

from bookmaker import notebooks
from lookahead import figures
from lookahead.figures import narrow, style


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    figures.use_style()
    yield
    plt.close("all")


def places(fig: style.SignedFigure) -> dict[str, tuple[int, int]]:
    """Where each panel stands, by the name of its horizontal axis."""
    found = {ax.get_xlabel(): ax.get_subplotspec() for ax in fig.axes if ax.lines}
    return {name: (place.rowspan.start, place.colspan.start) for name, place in found.items() if place}


def test_panels_in_a_row_stand_below_each_other() -> None:
    fig, axes = figures.figure(2.5, columns=3, sharey=True)
    for name, ax in zip("abc", axes, strict=True):
        ax.plot([0, 1], [0, 1])
        ax.set(title=name, xlabel=name)
    axes[0].set_ylabel("right")
    before = figures.svg(fig)
    with narrow.narrowed(fig):
        assert places(fig) == {"a": (0, 0), "b": (1, 0), "c": (2, 0)}
        assert [ax.get_ylabel() for ax in axes] == ["right"] * 3
        assert all(ax.yaxis.get_tick_params()["labelleft"] for ax in axes)
        assert tuple(fig.get_size_inches()) == (narrow.WIDTH, 7.5)
    assert places(fig) == {"a": (0, 0), "b": (0, 1), "c": (0, 2)}
    assert [ax.get_ylabel() for ax in axes] == ["right", "", ""]
    assert figures.svg(fig) == before


def test_a_list_of_panels_is_read_in_its_order() -> None:
    """And a place that is empty takes no room."""
    fig, axes = figures.figure(4, 2, 4)
    for name, ax in zip("abcdef", axes.flat, strict=False):
        ax.plot([0, 1], [0, 1])
        ax.set(title=name, xlabel=name)
    for ax in axes.flat[6:]:
        ax.axis("off")
    with narrow.narrowed(fig):
        assert places(fig) == {name: divmod(at, 2) for at, name in enumerate("abcdef")}
        assert fig.get_size_inches()[1] == 6


def test_a_grid_with_headings_is_cut_into_blocks() -> None:
    """Each has the headings of its columns and the names of the rows."""
    fig, axes = figures.figure(4, 2, 2, sharex=True, sharey=True)
    for (row, column), name in zip(((0, 0), (0, 1), (1, 0), (1, 1)), "abcd", strict=True):
        axes[row, column].plot([0, 1], [0, 1])
        axes[row, column].set_xlabel(name)
    axes[0, 0].set_title("left")
    axes[0, 1].set_title("right")
    axes[0, 0].set_ylabel("above")
    axes[1, 0].set_ylabel("below")
    with narrow.narrowed(fig):
        assert places(fig) == {"a": (0, 0), "c": (1, 0), "b": (2, 0), "d": (3, 0)}
        assert axes[0, 1].get_ylabel() == "above"
        assert axes[1, 1].get_ylabel() == "below"


def test_a_mosaic_is_read_column_by_column() -> None:
    """And each panel keeps its height."""
    fig, axes = figures.figure(4, mosaic="AC;BC", height_ratios=[1, 3])
    for name, ax in axes.items():
        ax.plot([0, 1], [0, 1])
        ax.set(title=name, xlabel=name)
    before = figures.svg(fig)
    with narrow.narrowed(fig):
        assert places(fig) == {"A": (0, 0), "B": (1, 0), "C": (2, 0)}
        assert axes["A"].get_subplotspec().get_gridspec().get_height_ratios() == [1, 3, 4]
        assert fig.get_size_inches()[1] == 8
    assert figures.svg(fig) == before


def test_columns_can_stay() -> None:
    fig, axes = figures.figure(2, columns=2, narrow=2)
    for name, ax in zip("ab", axes, strict=True):
        ax.plot([0, 1], [0, 1])
        ax.set_xlabel(name)
    with narrow.narrowed(fig):
        assert places(fig) == {"a": (0, 0), "b": (0, 1)}
        assert tuple(fig.get_size_inches()) == (narrow.WIDTH, 2)


def test_what_is_written_fits_on_the_sheet() -> None:
    fig, ax = figures.figure(3)
    ax.plot([0, 1], [0, 1])
    name = "training steps until it is learnt (open: not learnt when the training was ended)"
    ax.set_xlabel(name)
    looks = {f"a line of the kind {kind}": {"linestyle": kind} for kind in ("-", "--", ":", "-.")}
    style.legend(fig, looks)
    with narrow.narrowed(fig):
        (legend,) = fig.legends
        assert [text.get_text() for text in legend.get_texts()] == list(looks)
        assert legend.get_window_extent().width < fig.bbox.width
        assert ax.xaxis.label.get_window_extent().width < fig.bbox.width
        assert ax.get_xlabel().split() == name.split()
    assert ax.get_xlabel() == name
    assert len(fig.legends) == 1


def drawing(columns: int = 1) -> tuple[Any, Any]:
    """A figure without axes, of tokens that have room on any sheet."""
    fig, axes = figures.figure(2, columns=columns)
    for ax in np.atleast_1d(axes):
        figures.draw_tokens(ax, ["a", "b"], [figures.PALE] * 2)
        ax.set(xlim=(0, 2), ylim=(-1, 1))
        ax.axis("off")
    return fig, axes


@pytest.mark.parametrize("columns", [1, 2])
def test_a_drawing_is_squeezed(columns: int) -> None:
    fig, _ = drawing(columns)
    assert f'width="{72 * narrow.WIDTH:g}pt"' in (figures.narrow_svg(fig) or "")


def overlap(ax: Any) -> None:
    for x in (0.7, 1.3):
        ax.text(x, 0.8, "some twenty letters", ha="center")


def leave_the_box(ax: Any) -> None:
    figures.draw_tokens(ax, ["some twenty letters, and more"], [figures.PALE], y=0.8)


def leave_the_sheet(ax: Any) -> None:
    ax.text(1, 0.8, "some twenty letters, twenty more, and more").set_in_layout(False)


def touch(ax: Any) -> None:
    ax.scatter([0.2, 0.4], [0.8, 0.8], s=1600)


@pytest.mark.parametrize("crowd", [overlap, leave_the_box, leave_the_sheet, touch])
def test_a_drawing_without_room_stays_as_it_is(crowd: Callable[[Any], None]) -> None:
    """Its letters and discs have places that shrink, and do not shrink themselves."""
    fig, ax = drawing()
    crowd(ax)
    wide = figures.svg(fig)
    assert narrow.without_room(fig) == set(), "on the page there is room"
    assert figures.narrow_svg(fig) is None
    assert figures.svg(fig) == wide


def test_what_is_cramped_on_the_page_may_be_so_on_a_small_screen() -> None:
    fig, ax = drawing()
    for x in (0.4, 0.5):
        ax.text(x, 0.8, "letters", ha="center")
    assert figures.narrow_svg(fig)


def test_a_figure_can_do_without() -> None:
    fig, ax = figures.figure(2, narrow=None)
    ax.plot([0, 1], [0, 1])
    assert figures.narrow_svg(fig) is None


def test_where_the_legend_is_wider_than_the_plot_there_is_only_the_wide_figure() -> None:
    fig, ax = figures.figure(2)
    ax.plot([0, 1], [0, 1], label="a line with a name that is nearly as long as the figure is wide " * 2)
    ax.legend()
    assert figures.narrow_svg(fig) is None


def test_a_name_in_a_legend_is_broken_where_that_helps() -> None:
    fig, ax = figures.figure(2)
    name = "future summary, token order, next latent state and belief state"
    ax.plot([0, 1], [0, 1], label=name)
    ax.plot([0, 1], [0, 0], label="several tokens")
    legend = ax.legend()
    with narrow.narrowed(fig) as fits:
        assert [text.get_text().count("\n") for text in legend.get_texts()] == [1, 0]
        assert fits
    assert legend.get_texts()[0].get_text() == name


def test_numbers_below_a_panel_do_not_run_into_each_other() -> None:
    fig, ax = figures.figure(2)
    ax.plot([0, 1], [0, 1])
    steps = np.linspace(0, 1, 12)
    ax.set_xticks(steps, [f"{step:.3f}" for step in steps])
    with narrow.narrowed(fig):
        assert [label.get_text() for label in ax.get_xticklabels()] == [f"{step:.3f}" for step in steps[::2]]
    assert [label.get_text() for label in ax.get_xticklabels()] == [f"{step:.3f}" for step in steps]


@pytest.mark.parametrize("above", [False, True])
def test_words_that_run_into_each_other_are_turned(above: bool) -> None:
    fig, ax = figures.figure(2)
    ax.plot([0, 1], [0, 1])
    ax.set_xticks([0, 0.1, 0.2], ["first step", "second step", "goal"])
    if above:
        ax.xaxis.tick_top()
    with narrow.narrowed(fig):
        assert {label.get_rotation() for label in ax.get_xticklabels()} == {90}
    assert {label.get_rotation() for label in ax.get_xticklabels()} == {0}


def test_a_notebook_keeps_both_of_a_figure_and_one_of_all_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for prompt in ("ps1", "ps2", "ps3"):  # which a shell leaves behind; Lightning takes them for a notebook
        monkeypatch.setattr(sys, prompt, "", raising=False)
    shell: Any = InteractiveShell.instance()
    try:
        figures.use_style()
        fig, ax = figures.figure(2)
        ax.plot([0, 1], [0, 1])
        data, _ = shell.display_formatter.format(fig)
        plain, _ = shell.display_formatter.format(plt.figure())
        text, _ = shell.display_formatter.format("a word")
    finally:
        InteractiveShell.clear_instance()
    assert f'width="{72 * narrow.WIDTH:g}pt"' in data[style.NARROW_KIND]
    assert f'width="{72 * figures.WIDTH:g}pt"' in data["image/svg+xml"]
    assert set(plain) == {"text/plain", "image/svg+xml"}
    assert set(text) == {"text/plain"}


def test_the_builder_knows_the_output() -> None:
    assert notebooks.NARROW_KIND == style.NARROW_KIND


def test_a_grid_without_headings_is_read_row_by_row() -> None:
    fig, axes = figures.figure(4, 2, 4)
    for name, ax in zip("abcdefgh", axes.flat, strict=True):
        ax.plot([0, 1], [0, 1])
        ax.set_xlabel(name)
    with narrow.narrowed(fig):
        assert places(fig) == {name: divmod(at, 2) for at, name in enumerate("abcdefgh")}
