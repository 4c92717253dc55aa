"""What the site's own extensions make: where a chapter can be run, what the reference shows of a docstring."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from docutils import nodes
from docutils.utils import new_document

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

import api  # noqa: E402
import small_screens  # noqa: E402
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


@pytest.mark.parametrize(("caption", "said"), [("Left: one.", True), ("One.", False)])
def test_a_narrow_figure_is_offered_where_there_is_one(caption: str, said: bool, tmp_path: Path) -> None:
    """Beside the one image; where the caption says left of what stands above, the frame is marked."""
    for folder, height in (("figures", 100), ("narrow", 200)):
        (tmp_path / "take-away" / folder).mkdir(parents=True)
        (tmp_path / "take-away" / folder / "fig-one.svg").write_text(f'<svg width="9pt" height="{height}pt"/>')
    page = new_document("page")
    for name in ("fig-one", "fig-two"):
        picture = nodes.image(
            uri="take-away/figures/fig-one.svg" if name == "fig-one" else "two.svg", alt="Left: a line."
        )
        frame = nodes.container("", picture, classes=["figure-frame"])
        page += nodes.figure("", frame, nodes.caption("", caption), ids=[name])
    small_screens.offer(SimpleNamespace(srcdir=tmp_path), page, "chapters/01-a")
    one, two = (figure.children[0] for figure in page.findall(nodes.figure))
    assert 'srcset="../take-away/narrow/fig-one.svg"' in one.children[0].astext()
    assert [type(node) for node in one.children] == [nodes.raw, nodes.image, nodes.raw]
    assert [type(node) for node in two.children] == [nodes.image]
    assert ("stacked" in one["classes"]) == said


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
