"""Figures say what stands behind them, mean the same by a colour, and are the same text for the same numbers."""

import dataclasses
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest

from lookahead import figures
from lookahead.evaluation.statistics import proportion
from lookahead.figures.cheats import token_look
from lookahead.figures.style import colors_of, duration, legend, rounded
from lookahead.runs.parquet import Packed, read_packed
from lookahead.runs.result import Result
from lookahead.tasks import PathStar


class Asked(list):
    """Results that answer `by` for the one field that these tests ask for."""

    def by(self, field: str) -> dict[str, "Asked"]:
        assert field == "objective"
        names = dict.fromkeys(result.run.objective["name"] for result in self)
        return {name: Asked(r for r in self if r.run.objective["name"] == name) for name in names}


@pytest.fixture(scope="module")
def stored() -> Asked:
    return Asked(read_packed("direction-census"))


@pytest.fixture(autouse=True)
def style():
    figures.use_style()
    yield
    plt.close("all")


def live(result: Result) -> Result:
    """The same, as a chapter that trained it has it."""
    return Result.from_dict(result.to_dict())


def test_a_signature_tells_what_was_trained_here_from_what_was_measured_before(stored: Asked) -> None:
    assert all(isinstance(result, Packed) for result in stored)
    said = figures.signature(stored)
    assert said.startswith("20 seeds each, measured beforehand on ")
    assert "live" not in said
    here = figures.signature([live(stored[0])])
    assert here.startswith("1 seed, live on Intel Xeon, ")
    both = figures.signature([live(stored[0]), *stored[1:3]])
    assert "1 seed, live on" in both
    assert "2 seeds, measured beforehand on" in both
    assert not re.search("census|profile|stored|packed", said + here + both)


def test_a_replaced_result_is_still_one_that_was_read(stored: Asked) -> None:
    assert "beforehand" in figures.signature([dataclasses.replace(stored[0], manifest={**stored[0].manifest})])


def test_a_signature_counts_the_seeds_of_every_setting(stored: Asked) -> None:
    ways = stored.by("objective")
    assert figures.signature([*ways["reversed"], *ways["teacher_forcing"][:10]]).startswith("10 to 20 seeds each, ")


@pytest.mark.parametrize(
    ("devices", "said"),
    [
        (["AMD EPYC, 2 cores"] * 2, "AMD EPYC"),
        (["Intel(R) Xeon(R) Processor, 2 cores", "AMD EPYC, 2 cores"], "AMD EPYC and Intel Xeon"),
        (["NVIDIA H200", "Intel(R) Xeon(R) CPU", "AMD EPYC"], "AMD EPYC, Intel Xeon and NVIDIA H200"),
    ],
)
def test_a_signature_names_every_machine(devices: list[str], said: str, stored: Asked) -> None:
    those = [
        dataclasses.replace(result, manifest={**result.manifest, "device": device})
        for result, device in zip(stored, devices, strict=False)
    ]
    assert f"measured beforehand on {said}, " in figures.signature(those)


def test_a_signature_says_what_is_out_of_date(stored: Asked) -> None:
    old = dataclasses.replace(stored[0], stamp="of old", replay=[0.0] * 6)
    assert figures.signature([old, stored[1]]).endswith("; 1 OUT OF DATE")


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "1 second"), (40, "40 seconds"), (61, "1 minute"), (9000, "2.5 hours")]
)
def test_a_duration_is_counted_rightly(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_the_plain_text_of_a_figure_is_what_stands_behind_it(stored: Asked) -> None:
    fig, ax = figures.figure(2)
    figures.curves(stored[:3], "autoregressive_accuracy", ax=ax)
    figures.sign(fig, note="a word")
    assert repr(fig) == f"{figures.signature(stored[:3])}; a word"
    assert fig.get_supxlabel() == ""


def test_a_figure_without_results_has_nothing_behind_it() -> None:
    fig, _ = figures.figure(2)
    assert repr(fig) == "<SignedFigure size 720x200 with 1 Axes>"


def test_curves_are_a_thin_line_a_seed_and_a_thick_one_for_their_mean(stored: Asked) -> None:
    seeds = stored.by("objective")["reversed"]
    _, ax = figures.figure(2)
    figures.curves(seeds, "autoregressive_accuracy", ax=ax, color=figures.GREEN)
    *thin, mean = ax.get_lines()
    assert len(thin) == len(seeds) == 20
    assert max(line.get_linewidth() for line in thin) < mean.get_linewidth()
    last = [result.series("autoregressive_accuracy")[1][-1] for result in seeds]
    assert mean.get_ydata()[-1] == pytest.approx(np.mean(last))  # those that stopped early keep their last value


def test_two_seeds_have_no_mean(stored: Asked) -> None:
    seeds = stored[:2]
    _, ax = figures.figure(2)
    figures.curves(seeds, "autoregressive_accuracy", ax=ax, label="a name")
    assert len(ax.get_lines()) == 2
    assert len({line.get_linewidth() for line in ax.get_lines()}) == 1
    assert ax.get_legend_handles_labels()[1] == ["a name"]


def test_a_field_makes_panels_and_colours_by_meaning(stored: Asked) -> None:
    fig = figures.curves(stored, "autoregressive_accuracy", columns="objective", color="objective")
    found = {ax.get_title(loc="left"): ax.get_lines()[0].get_color() for ax in fig.axes}
    assert found == {
        "reversed": figures.MEANING["reversed"],
        "teacher forcing": figures.MEANING["teacher_forcing"],
    }
    assert set(fig.results) == {result.run.id for result in stored}


def test_no_two_methods_share_a_colour() -> None:
    methods = ("teacher_forcing", "reversed", "teacherless", "multi_token", "start hidden", "later hidden", "right arm")
    assert len({figures.MEANING[method] for method in methods}) == len(methods)


def test_a_legend_for_all_panels_is_in_ink() -> None:
    fig, _ = figures.figure(2, columns=2)
    legend(fig, {"last": {"linestyle": "-"}, "first": {"linestyle": "--", "marker": "s"}})
    (drawn,) = fig.legends
    assert [text.get_text() for text in drawn.get_texts()] == ["last", "first"]
    assert {line.get_color() for line in drawn.get_lines()} == {figures.INK}


def test_every_panel_of_a_row_has_both_its_axes_named(stored: Asked) -> None:
    fig = figures.curves(stored, "autoregressive_accuracy", columns="objective")
    assert {(ax.get_xlabel(), ax.get_ylabel()) for ax in fig.axes} == {("training step", "whole path right")}
    assert all(ax.yaxis.label.get_visible() for ax in fig.axes)


def test_what_has_no_meaning_gets_a_colour_that_no_other_has() -> None:
    found = colors_of(["reversed", "a", "teacher_forcing", "b", "c", "d", "e"])
    assert len(set(found.values())) == 7
    assert found["reversed"] == figures.MEANING["reversed"]


def test_the_tokens_of_an_answer_look_different() -> None:
    task = PathStar(2, 6, 20)
    looks = [token_look(task, position) for position in range(task.answer_length)]
    assert [look["label"] for look in looks] == [
        "start",
        "first step",
        "second step",
        "third step",
        "fourth step",
        "goal",
    ]
    assert len({(look["color"], look.get("linestyle", "-")) for look in looks}) == task.answer_length


def test_points_reach_as_far_as_their_intervals() -> None:
    _, ax = figures.figure(2)
    share = proportion(0.3, 100)
    figures.points([1], [share], color=figures.BLUE, ax=ax, shift=0.1)
    (bar,) = ax.collections[0].get_segments()
    assert bar == pytest.approx(np.array([[1.1, share.low], [1.1, share.high]]))


def test_a_heat_map_has_its_numbers_or_the_given_words_in_it() -> None:
    _, (left, right) = figures.figure(2, columns=2)
    figures.heat([[0.1, 0.95]], ax=left, color=figures.GREEN, columns=["teacher_forcing", "b"])
    figures.heat([[0.1, 0.95]], ax=right, color=figures.GREEN, text=[["2 of 20", "19 of 20"]])
    assert [text.get_text() for text in left.texts] == ["0.10", "0.95"]
    assert [text.get_text() for text in right.texts] == ["2 of 20", "19 of 20"]
    assert [text.get_text() for text in left.get_xticklabels()] == ["teacher forcing", "b"]


def test_an_svg_is_the_same_text_for_the_same_numbers(stored: Asked) -> None:
    one, other = (figures.svg(figures.curves(stored[:2], "autoregressive_accuracy")) for _ in range(2))
    assert one == other
    assert not re.search(r"<dc:date>|\d\d\d\d-\d\d-\d\d", one)
    assert not re.search(r"[1-9]\.\d{3}", one)


@pytest.mark.parametrize(("before", "after"), [("12.34567", "12.35"), ("-7.000", "-7"), ("0.015625", "0.015625")])
def test_lengths_are_rounded_and_scales_are_kept(before: str, after: str) -> None:
    assert rounded(before) == after
