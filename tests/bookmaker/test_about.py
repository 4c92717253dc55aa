"""What the pages say of the book: from its citation and project files, onto every page."""

import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from bookmaker.about import about
from bookmaker.site import site
from lookahead.errors import LookaheadError

ROOT = Path(__file__).parents[2]
CITATION: dict[str, Any] = {
    "title": "A Book",
    "authors": [{"name": "The Group"}, {"given-names": "Ada", "family-names": "Lovelace"}],
    "version": "1.2",
    "license": "MIT",
    "date-released": "2026-11-05",
}
URLS = '[project.urls]\nRepository = "https://example.org/us/book/"\n'


def write(root: Path, citation: dict[str, Any] = CITATION, project: str = "") -> Path:
    (root / "CITATION.cff").write_text(yaml.safe_dump(citation))
    (root / "pyproject.toml").write_text(project)
    return root


def test_a_book_says_who_wrote_it_and_when(tmp_path: Path) -> None:
    found = about(write(tmp_path))
    assert "repository" not in found
    assert (found["authors"], found["version"], found["licence"]) == ("The Group and Ada Lovelace", "1.2", "MIT")
    assert found["date"] == "5 November 2026"
    assert found["bibtex"] == (
        "@misc{abook,\n"
        "  title        = {{A Book}},\n"
        "  author       = {{The Group} and Lovelace, Ada},\n"
        "  year         = {2026},\n"
        "  note         = {Version 1.2}\n"
        "}"
    )


def test_the_repository_stands_in_one_place(tmp_path: Path) -> None:
    found = about(write(tmp_path, project=URLS))
    assert found["repository"] == "https://example.org/us/book"
    assert "howpublished = {\\url{https://example.org/us/book}}" in found["bibtex"]


def test_a_book_without_a_citation_says_nothing(tmp_path: Path) -> None:
    assert about(tmp_path) == {}


def test_a_release_without_a_day_has_that_of_the_last_commit(tmp_path: Path) -> None:
    citation = {key: value for key, value in CITATION.items() if key != "date-released"}
    assert "date" not in about(write(tmp_path, citation)), "outside a checkout"
    assert about(ROOT)["date"][-4:].isdigit()


@pytest.mark.parametrize("missing", ["title", "authors", "version", "license"])
def test_a_citation_that_lacks_something_is_told(missing: str, tmp_path: Path) -> None:
    write(tmp_path, {key: value for key, value in CITATION.items() if key != missing})
    with pytest.raises(LookaheadError, match=rf"CITATION\.cff does not say: {missing}"):
        about(tmp_path)


def test_citation_and_project_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(citation["version"]) == project["version"]
    assert citation["license"] == project["license"]
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in project["authors"]]


INDEX = """\
# A Book

What it is about, in one sentence that could stand in a list of books.
"""
WORDS = """\
# Words

```{glossary}
arm
branch
  The nodes from the start to an *end*. A path is the right {term}`arm`, of $\\ln d/2$.
```
"""
CHAPTER = """\
# One

*The lede.* See an {term}`arm` and a {term}`branch`. By $-\\frac{1}{d}$ and

$$
a = \\Delta_t, \\dots
$$ (sum)

as {eq}`sum` says.

```{figure} ../book/static/favicon.svg
:alt: A star

A star.
```
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A tiny book, built with this book's configuration, templates and extensions; the pages' HTML by name."""
    root = write(tmp_path_factory.mktemp("book"), project=URLS)
    shutil.copytree(ROOT / "book", root / "book", ignore=shutil.ignore_patterns("*.md", "__pycache__"))
    for name in ("_config.yml", "LICENSE"):
        shutil.copy(ROOT / name, root)
    (root / "_toc.yml").write_text(
        "format: jb-book\nroot: book/index\nparts:\n- numbered: 1\n  chapters:\n"
        "  - file: chapters/01-one\n  - file: book/words\n"
    )
    (root / "book/index.md").write_text(INDEX)
    (root / "book/words.md").write_text(WORDS)
    table = {"text/html": "<table class='dataframe'><tr><th></th><th>a</th></tr></table>", "text/plain": "a"}
    output = new_output("execute_result", data=table, execution_count=1)
    hidden = {"tags": ["parameters", "hide-input"]}
    parameters = new_code_cell("steps = 3", execution_count=1, metadata=hidden)
    cell = new_code_cell("table", outputs=[output], execution_count=1, metadata={"tags": ["hide-input"]})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "lookahead": {"wall_seconds": 100.0, "found_runs": 2}}
    (root / "chapters").mkdir()
    nbformat.write(
        new_notebook(cells=[new_markdown_cell(CHAPTER), parameters, cell], metadata=metadata),
        root / "chapters/01-one.ipynb",
    )
    html = site(root, root / "build", committed=True).parent
    assert (html / "LICENSE.txt").read_text() == (root / "LICENSE").read_text()
    assert json.loads((html / "chapters/01-one.ipynb").read_text())["cells"]
    return {str(path.relative_to(html)): path.read_text() for path in html.rglob("*.html")}


def test_a_page_leads_to_what_belongs_to_it(pages: dict[str, str]) -> None:
    front, chapter = pages["book/index.html"], pages["chapters/01-one.html"]
    assert "<title>When Teacher Forcing Fails</title>" in front
    assert "The Group and Ada Lovelace · version 1.2 · 5 November 2026 · about 10 minutes to read in all" in front
    assert '<a href="https://example.org/us/book">code</a>' in front
    assert '<meta name="description" content="What it is about, in one sentence' in front
    assert "1 minute to read · executed in 2 minutes; 2 networks trained earlier by the same code · " in chapter
    assert '<a href="01-one.ipynb" download>download the notebook</a>' in chapter
    assert "https://example.org/us/book/issues/new?title=chapters/01-one" in chapter
    assert '<meta property="og:title" content="One" />' in chapter
    assert '@top-left { content: "1. One"; }' in chapter
    assert "@misc{abook," in chapter
    assert '<a href="../LICENSE.txt">MIT licence</a>' in chapter
    assert "genindex.html" not in pages


def test_a_page_holds_the_definitions_of_its_terms(pages: dict[str, str]) -> None:
    chapter = pages["chapters/01-one.html"]
    for term in ("arm", "branch"):
        note = chapter.partition(f'id="note-term-{term}"')[2].partition("</div>")[0]
        assert "The nodes from the start to an <em>end</em>." in note
        assert "<a " not in note
        assert "<mi>ln</mi><mspace" in note
        assert f'href="../book/words.html#term-{term}"' in chapter
    assert "term-note" not in pages["book/index.html"]


def test_a_page_is_built_for_all_readers(pages: dict[str, str]) -> None:
    chapter = pages["chapters/01-one.html"]
    assert "Show the code of this table" in chapter
    assert "Show the parameters" in chapter
    assert "Toggle hidden content" not in chapter
    assert "<td></td><th>a</th>" in chapter
    assert '<div class="figure-frame' in chapter
    assert '<mi mathvariant="normal">&#x00394;</mi>' in chapter
    assert '<span class="eqno">(1' in chapter
    for page in pages.values():
        assert "fontawesome" not in page
        assert "MathJax" not in page


def test_a_formula_that_cannot_be_set_is_an_error(tmp_path: Path) -> None:
    write(tmp_path)
    shutil.copytree(ROOT / "book", tmp_path / "book", ignore=shutil.ignore_patterns("*.md", "__pycache__"))
    shutil.copy(ROOT / "_config.yml", tmp_path)
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/index\n")
    (tmp_path / "book/index.md").write_text("# A Book\n\nAs $\\nosuchthing{x}$ says.\n")
    with pytest.raises(LookaheadError, match=r"this formula could not be set: \\nosuchthing"):
        site(tmp_path, tmp_path / "build", committed=True)
