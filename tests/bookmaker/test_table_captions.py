"""A table that a cell makes gets its caption and number, and prose can refer to it."""

import io
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

EXTENSIONS = Path(__file__).parents[2] / "book" / "_ext"
sys.path.insert(0, str(EXTENSIONS))

TABLE = "|  | seeds |\n| :-- | --: |\n| Mamba | 10 |"
SAID = {"name": "tab-01-seeds", "caption": "How many *seeds*, and $p$; see {numref}`tab-01-seeds`."}


def built(folder: Path, outputs: list[str]) -> tuple[str, str]:
    """A page with a captioned cell that shows these pieces of Markdown, as HTML; and the warnings."""
    shown = [nbformat.v4.new_output("display_data", {"text/markdown": text, "text/plain": "x"}) for text in outputs]
    cell: Any = nbformat.v4.new_code_cell("table()", metadata={"mystnb": {"table": SAID}}, outputs=shown)
    prose = "# A page\n\n| a | b |\n| - | - |\n| 1 | 2 |\n\nSee {numref}`tab-01-seeds`."
    notebook: Any = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(prose), cell])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    (folder / "source").mkdir()
    nbformat.write(notebook, folder / "source" / "index.ipynb")
    settings = {
        "extensions": ["myst_nb", "table_captions"], "nb_execution_mode": "off", "numfig": True,
        "nb_render_markdown_format": "myst", "myst_enable_extensions": ["dollarmath"], "html_theme": "basic",
    }  # fmt: skip
    places = (folder / "source", None, folder / "html", folder / "work")
    warnings = io.StringIO()
    with docutils_namespace():
        Sphinx(*places, "html", confoverrides=settings, status=None, warning=warnings, freshenv=True).build()
    return (folder / "html" / "index.html").read_text(encoding="utf-8"), warnings.getvalue()


def test_a_table_has_its_caption_above_it_and_a_number(tmp_path: Path) -> None:
    """That of its cell, whatever else the cell shows; a table of the prose has none."""
    page, warnings = built(tmp_path, ["checked: ten seeds", TABLE])
    assert warnings == ""
    (figure,) = re.findall(r'<figure[^>]* id="tab-01-seeds">.*?</figure>', page, re.DOTALL)
    caption, table = figure.split("</figcaption>")
    assert 'class="caption-number">Table 1 </span>' in caption
    assert "<em>seeds</em>" in caption
    assert "<table" in table
    assert "Mamba" in table
    assert page.count("caption-number") == 1
    assert page.count('href="#tab-01-seeds"><span class="std std-numref">Table 1</span>') == 2


@pytest.mark.parametrize("tables", [0, 2])
def test_one_caption_is_of_one_table(tables: int, tmp_path: Path) -> None:
    _, warnings = built(tmp_path, ["checked"] + [TABLE] * tables)
    assert f"one caption, tab-01-seeds, for {tables} tables of a cell" in warnings
