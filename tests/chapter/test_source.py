"""What a chapter shows of the library is in the library, and says where."""

import ast
import inspect
from pathlib import Path
from typing import Any

import IPython.display
import pytest

from bookmaker.checks import tree
from bookmaker.notebooks import code_cells, listed, read
from lookahead.chapter import show_source, source
from lookahead.chapter.source import excerpt
from lookahead.errors import LookaheadError
from lookahead.objectives import Hints
from lookahead.objectives.hints import Hints as Shown

CODE = """\
def f(x):
    for y in x:
        print(
            y,
        )
    return x
"""


CHAPTERS = listed(Path(__file__).parents[2])


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """What was shown."""
    pages: list[dict[str, str]] = []

    def keep(page: Any, raw: bool) -> None:
        pages.append(page)

    monkeypatch.setattr(IPython.display, "display", keep)
    return pages


def test_the_whole_is_shown_as_it_stands(shown: list[dict[str, str]]) -> None:
    show_source(Hints)
    (page,) = shown
    assert page["text/plain"] == inspect.getsource(Hints).rstrip()
    assert page["text/markdown"].startswith("```python\nclass Hints(")


def test_an_excerpt_is_in_the_library_and_says_where(shown: list[dict[str, str]]) -> None:
    show_source(Hints.hints, "return torch.where(")
    (page,) = shown
    assert page["text/plain"].startswith("return torch.where(")
    assert page["text/plain"] in inspect.getsource(Shown)
    assert page["text/markdown"] == (
        f"```python\n{page['text/plain']}\n```\n\n"
        '<span class="source">`lib/lookahead/objectives/hints.py`, `Hints.hints`</span>'
    )


def test_it_links_to_the_whole_where_the_repository_has_an_address(
    shown: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "repository", lambda: "https://example.org/lookahead")
    show_source(Hints.hints)
    link = "](https://example.org/lookahead/blob/main/lib/lookahead/objectives/hints.py)</span>"
    assert shown[0]["text/markdown"].endswith(link)


def test_the_address_stands_in_pyproject(tmp_path: Path) -> None:
    assert source.repository(tmp_path) == ""
    project = tmp_path / "pyproject.toml"
    project.write_text('[project]\nname = "lookahead"\n')
    assert source.repository(tmp_path) == ""
    project.write_text('[project.urls]\nRepository = "https://example.org/lookahead/"\n')
    assert source.repository(tmp_path) == "https://example.org/lookahead"
    project.write_text("[project")
    with pytest.raises(LookaheadError, match=r"pyproject\.toml is not TOML"):
        source.repository(tmp_path)


@pytest.mark.parametrize(
    ("first", "last", "lines"),
    [
        ("", "", CODE.rstrip()),
        ("return", "", "return x"),
        ("print(", "", "print(\n    y,\n)"),  # the whole statement, without the space before it
        ("for", "", "for y in x:\n    print(\n        y,\n    )"),
        ("for", "print(", "for y in x:\n    print("),
        ("y,", "", "y,"),
    ],
)
def test_an_excerpt_is_a_statement_or_goes_as_far_as_it_is_told(first: str, last: str, lines: str) -> None:
    assert excerpt(CODE, first, last) == lines


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [
        ("x = 3", "", "0 lines of the source have 'x = 3'"),
        ("x", "", "3 lines of the source have 'x'"),
        ("return", "print(", "no line of the source after 'return' has 'print"),
    ],
)
def test_lines_that_are_not_there_are_refused(first: str, last: str, said: str) -> None:
    with pytest.raises(LookaheadError, match=said):
        excerpt(CODE, first, last)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.stem)
def test_every_line_that_a_chapter_shows_is_in_the_library(chapter: Path, shown: list[dict[str, str]]) -> None:
    names: dict[str, Any] = {"show_source": show_source}
    for cell in code_cells(read(chapter)):
        for node in ast.walk(tree(cell)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("lookahead"):
                exec(ast.unparse(node), names)
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "show_source":
                before = len(shown)
                eval(ast.unparse(node), names)
                assert len(shown) == before + 1
