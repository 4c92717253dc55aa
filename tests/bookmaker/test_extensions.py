"""What the site's own extensions make: where a chapter can be run, what the reference shows of a docstring."""

import sys
from pathlib import Path

import pytest
from docutils import nodes
from docutils.utils import new_document

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

import api  # noqa: E402
from search_index import readable  # noqa: E402
from take_away import launches  # noqa: E402


def test_a_chapter_can_be_run_where_the_repository_is() -> None:
    assert launches("https://github.com/someone/book", "chapters/03-clever-hans") == {
        "Colab": "https://colab.research.google.com/github/someone/book/blob/main/chapters/03-clever-hans.ipynb",
        "Binder": "https://mybinder.org/v2/gh/someone/book/main?labpath=chapters%2F03-clever-hans.ipynb",
    }


def test_the_search_finds_what_is_read_and_no_code() -> None:
    page, cell = new_document("page"), nodes.container(nb_element="cell_code")
    folded = nodes.container("", nodes.literal_block("", "import hidden"))
    figure = nodes.figure("", nodes.caption("", "a caption"))
    table = nodes.table("", nodes.paragraph("", "a table"))
    cell += [nodes.literal_block("", "import shown"), folded, nodes.literal_block("", "printed"), figure, table]
    page += [nodes.paragraph("", "prose with", nodes.math("", "\\frac")), cell, nodes.literal_block("", "make book")]
    before = page.astext()
    found = readable(page).astext()
    for word in ("prose", "a caption", "a table", "make book"):
        assert word in found
    for word in ("hidden", "shown", "printed", "frac"):
        assert word not in found
    assert page.astext() == before


@pytest.mark.parametrize("address", ["", "https://example.org/someone/book"])
def test_nowhere_without_a_repository_that_they_know(address: str) -> None:
    assert launches(address, "chapters/03-clever-hans") == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("`model` [B, T] * 2", r"``model`` [B, T] \* 2"),
        ("p(a_i | b)", r"p(a\_i \| b)"),
        ("**The split.** One", "**The split.** One"),
        ("no `code_here`", "no ``code_here``"),
    ],
)
def test_a_docstring_as_the_reference_needs_it(text: str, told: str) -> None:
    assert api.in_rst(text) == told


def test_the_page_of_the_command_line_has_every_command() -> None:
    page = (ROOT / "book" / "api" / "command-line.md").read_text(encoding="utf-8")
    for name in api.commands():
        assert f"```{{command}} {name}\n" in page
    assert page.count("```{command}") == len(api.commands())


def test_help_fits_on_a_page() -> None:
    assert max(len(line) for text in api.commands().values() for line in text.splitlines()) <= api.FITS
