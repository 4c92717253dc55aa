"""What a chapter shows of the library is in the library, and says where."""

import inspect
from typing import Any

import IPython.display
import pytest

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
