"""What a reader takes away of a chapter: its figures, the results behind them; and the numbers of the prose pages."""

import csv
import io
import json
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from bookmaker import measured, moving, notebooks, takeaway
from lookahead import figures
from lookahead.errors import LookaheadError

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"


def drawn(name: str, svg: str) -> nbformat.NotebookNode:
    """A cell that has drawn a figure."""
    metadata = {"mystnb": {"figure": {"name": name}, "image": {"alt": "A line."}}}
    output = new_output("display_data", data={"image/svg+xml": svg, "text/plain": "<Figure>"})
    return new_code_cell("draw()", metadata=metadata, outputs=[output])


def test_the_figures_of_a_notebook() -> None:
    notebook = new_notebook(cells=[new_code_cell("1"), drawn("fig-one", "<svg>1</svg>"), drawn("fig-two", "<svg/>")])
    found = takeaway.pictures(notebook)
    assert [(one.name, one.alt, one.svg) for one in found] == [
        ("fig-one", "A line.", "<svg>1</svg>"),
        ("fig-two", "A line.", "<svg/>"),
    ]


def test_figures_for_small_screens_go_to_the_site_and_not_into_the_notebook(tmp_path: Path) -> None:
    (tmp_path / "chapters").mkdir()
    (tmp_path / "_toc.yml").write_text("root: book/index\nchapters:\n- file: chapters/01-a\n")
    one, other = drawn("fig-one", "<svg>wide</svg>"), drawn("fig-two", "<svg/>")
    one.outputs[0].data[notebooks.NARROW_KIND] = "<svg>narrow</svg>"
    page = tmp_path / "chapters" / "01-a.ipynb"
    nbformat.write(new_notebook(cells=[one, other]), page)
    takeaway.lay_out(tmp_path, tmp_path)
    laid = tmp_path / takeaway.FOLDER
    assert (laid / "narrow" / "fig-one.svg").read_text() == "<svg>narrow</svg>"
    assert (laid / "figures" / "fig-one.svg").read_text() == "<svg>wide</svg>"
    assert [file.name for file in (laid / "narrow").iterdir()] == ["fig-one.svg"]
    assert notebooks.NARROW_KIND not in page.read_text()
    assert "<svg>wide</svg>" in page.read_text()


def test_the_results_that_a_notebook_asks_for() -> None:
    code = 'a = stored("direction")\nb = lookahead.stored("hints").where(seed=0)'
    again = 'stored("direction"), stored(name), stored("hints", "paper")'
    notebook = new_notebook(cells=[new_code_cell(code), new_code_cell(again)])
    assert takeaway.experiments(notebook) == ["direction", "hints"]


def test_results_as_tables() -> None:
    """Every run and every evaluation, with the numbers that are stored."""
    packed = pd.read_parquet(RESULTS / "direction-census.parquet")
    runs, curves = (
        list(csv.DictReader(io.StringIO(text))) for text in takeaway.tables(RESULTS / "direction-census.parquet")
    )
    assert [row["run"] for row in runs] == list(packed["id"])
    assert not set(takeaway.JSON_COLUMNS) & set(runs[0]) - {"run"}
    for row, accuracy in zip(runs, packed["autoregressive_accuracy"], strict=True):
        assert float(row["autoregressive_accuracy"]) == pytest.approx(accuracy, abs=1e-6)
    stored = [
        (run, entry) for run, curve in zip(packed["id"], packed["curve"], strict=True) for entry in json.loads(curve)
    ]
    assert len(curves) == len(stored)
    for row, (run, entry) in zip(curves, stored, strict=True):
        assert (row["run"], int(row["step"])) == (run, entry["step"])
        assert float(row["loss.1"]) == pytest.approx(entry["loss"][1], rel=1e-5)


def test_two_figures_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "chapters").mkdir()
    (tmp_path / "_toc.yml").write_text("root: book/index\nchapters:\n- file: chapters/01-a\n- file: chapters/02-b\n")
    for name in ("01-a", "02-b"):
        nbformat.write(new_notebook(cells=[drawn("fig-one", "<svg/>")]), tmp_path / "chapters" / f"{name}.ipynb")
    with pytest.raises(LookaheadError, match=r"02-b\.ipynb: chapters/01-a has a figure fig-one, too"):
        takeaway.lay_out(tmp_path, tmp_path)


def test_results_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(LookaheadError, match=r"mine-census\.parquet is not there, and a chapter asks for it"):
        takeaway.write_tables(tmp_path / "mine-census.parquet", tmp_path / "mine")


# -- figures that can be gone through ------------------------------------------------------------------------------


def test_a_run_that_has_stopped_keeps_its_last_value() -> None:
    curve = [{"step": 0, "x": 1.0}, {"step": 20, "x": 2.0}, {"step": 30, "x": 3.0}]
    assert moving.at([0, 10, 20, 30, 40], curve, lambda entry: entry["x"]) == [1.0, 1.0, 2.0, 3.0, 3.0]


def test_colours_are_those_of_the_figures() -> None:
    for name in ("INK", "FAINT", "BLUE", "ORANGE", "GREEN", "PURPLE"):
        assert getattr(moving, name) == getattr(figures, name)


@pytest.mark.parametrize("name", moving.MOVING)
def test_it_shows_what_is_stored(name: str) -> None:
    """At each training step each network, and no number that is none; light enough for a page."""
    text = moving.made(name, RESULTS)
    told = json.loads(text)
    assert len(text) < 100_000
    assert told["steps"] == sorted(set(told["steps"]))
    for panel in told["panels"]:
        for group in panel["groups"]:
            for values in (group["values"], group.get("aside", group["values"])):
                assert len(values) == len(told["steps"])
                assert {len(row) for row in values} == {len(values[0])}
                assert all(0 <= value <= 1.1 * told["top"] for row in values for value in row)


def test_the_losses_end_where_the_chapter_says() -> None:
    """The mean of the first step's loss after the last training step is the number that chapter 3 glues."""
    chapter = nbformat.read(ROOT / "chapters" / "03-clever-hans.ipynb", as_version=4)
    outputs = [output for cell in chapter.cells for output in cell.get("outputs", [])]
    glued = {
        output.metadata.get("scrapbook", {}).get("name"): output.get("data")
        for output in outputs
        if "metadata" in output
    }
    first = float(glued["c3-first-loss"]["application/papermill.record/text/plain"])
    last = moving.losses(RESULTS)["panels"][0]["groups"][0]["values"][-1]
    assert sum(last) / len(last) == pytest.approx(first, abs=1e-3)


def test_what_no_figure_is_called() -> None:
    notebook = new_notebook(cells=[new_markdown_cell("Text.\n\n```{moving} nothing\nWhat it shows.\n```")])
    assert moving.asked(notebook) == ["nothing"]
    with pytest.raises(LookaheadError, match="called nothing; there are losses, rungs, networks"):
        moving.made("nothing", RESULTS)


# -- numbers of prose pages ----------------------------------------------------------------------------------------

PROSE = [file for file in (ROOT / "book").rglob("*.md") if "{measured}" in file.read_text(encoding="utf-8")]


def test_the_pages_ask_for_numbers_that_there_are_and_for_all_of_them() -> None:
    asked = {name for file in PROSE for name, _ in measured.ROLE.findall(file.read_text(encoding="utf-8"))}
    assert asked == set(measured.NUMBERS)


def test_what_the_objections_say_of_the_numbers() -> None:
    """The words around a number hold as long as these do."""
    value = {name: float(find()) for name, find in measured.NUMBERS.items()}
    assert value["forced-left"] == value["settings-forced-left"] == 0
    assert value["forced"] > value["settings-forced"] > 20
    assert value["settings-reversed-won"] > value["settings-reversed"] / 2
    assert 0.55 < value["weighted-first"] < 0.95, "better than a coin, and not learnt"
    assert 0.55 < value["hidden-first"] < 0.95
    assert value["large-2-5"] == pytest.approx(50, abs=2), "a coin"
    assert value["large-2-20"] == pytest.approx(50, abs=2)


def test_a_number_is_put_into_the_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(measured, "NUMBERS", {"seven": lambda: asked.append(1) or 7})
    said = "It is {measured}`seven:.1f`, or {measured}`seven:.0f`."
    assert measured.fill(tmp_path, said) == "It is 7.0, or 7."
    assert measured.fill(tmp_path, said) == "It is 7.0, or 7."
    assert asked == [1], "it is kept"
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "new.json").write_text("1")
    measured.fill(tmp_path, said)
    assert asked == [1, 1], "until the results change"
    with pytest.raises(LookaheadError, match="no number is called eight; there are seven"):
        measured.fill(tmp_path, "{measured}`eight`")
    with pytest.raises(LookaheadError, match=r"seven is 7\.0, which cannot be written as 'd'"):
        measured.fill(tmp_path, "{measured}`seven:d`")
