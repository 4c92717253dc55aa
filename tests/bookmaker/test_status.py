"""The tables of the status page: nothing in them is taken for more than text."""

import json
from pathlib import Path

import nbformat
import pytest
from markdown_it import MarkdownIt

import tiny_book
from bookmaker import status
from lookahead.runs.parquet import pack
from lookahead.runs.result import Result
from lookahead.runs.run import Run

FOREIGN = "AMD <script>alert(1)</script> | **bold** {glue:text}`x` $y$"
SHOWN = "AMD &lt;script&gt;alert(1)&lt;/script&gt; | **bold** {glue:text}`x` $y$"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A book with a pack that somebody sent."""
    root = tiny_book.write_book(tmp_path / "book")
    monkeypatch.setenv("LOOKAHEAD_RESULTS", str(root / "results"))
    manifest = {"steps": 3, "seconds": 5.0, "finished": "<b>26-01-01", "device": FOREIGN, "torch": FOREIGN}
    measures = {"autoregressive_accuracy": 0.5, "examples": 128}
    run = Run(task={"name": "path_star", "degree": 2, "path_length": 3, "num_nodes": 10}, steps=3)
    for name, more in (("a", {"commit": FOREIGN, "uncommitted_changes": FOREIGN}), ("b", {})):
        found = Result(run, [], measures, {**manifest, **more}, stamp="", replay=[])
        pack(f"{name}`<i>-census", [found])
    return root


def test_what_a_manifest_says_is_shown_as_it_is(root: Path) -> None:
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render("\n".join(status.results(root)))
    assert f"Measured on {SHOWN}, torch {SHOWN}." in page
    assert ">a`&lt;i&gt;-census<" in page
    assert ">&lt;b&gt;26\u201101\u20110<" in page
    assert ">not known<" in page
    assert not [tag for tag in ("<script", "<i>", "<b>", "<strong>", "<code>") if tag in page]


@pytest.mark.parametrize("content", ["", "{", "5", "{}", '{"state": 1}', b"\xff"])
def test_kept_rows_that_are_none_are_made_again(content: str | bytes, root: Path) -> None:
    made, kept = status.results(root), root / "build" / "status.json"
    assert json.loads(kept.read_text())["rows"]
    assert status.results(root) == made
    kept.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert status.results(root) == made


def test_a_table_that_a_task_comes_with_is_no_file_of_results(root: Path) -> None:
    before = status.results(root)
    (root / "lib" / "lookahead" / "tasks").mkdir(parents=True, exist_ok=True)
    (root / "lib" / "lookahead" / "tasks" / "positions.parquet").write_bytes(b"a table of something else")
    assert status.results(root) == before


def test_what_a_notebook_says_of_its_execution_is_shown_as_it_is(root: Path) -> None:
    chapter = root / "chapters" / "02-two.ipynb"
    notebook = nbformat.read(chapter, as_version=4)
    notebook.metadata["lookahead"] = {
        **{"fingerprint": "0", "finished": "<b>26-01-01", "commit": FOREIGN, "uncommitted_changes": None},
        **{"processor": FOREIGN, "python": FOREIGN, "torch": FOREIGN, "found_runs": 0},
        **{"wall_seconds": 1.0, "cpu_seconds": 1.0, "live_cpu_seconds": 1.0, "peak_memory_bytes": 1},
    }
    nbformat.write(notebook, chapter)
    lines = status.chapters(root, [(chapter, chapter)])
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render("\n".join(lines))
    assert f"Executed on {SHOWN}, with Python {SHOWN} and torch {SHOWN}." in page
    assert "<script" not in page
