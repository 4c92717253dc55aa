"""Tables, and text of unknown origin in them."""

import pytest
from markdown_it import MarkdownIt

from lookahead.tables import markdown, plain, printable

FOREIGN = [
    "AMD <script>alert(1)</script>",
    "a & b &amp; c &#60;",
    "**bold** _it_ ~~x~~ `code` $x^2$ [a](javascript:x) ![b](c) <!-- d --> {glue:text}`e`",
    "back\\slash \\| pipe | pipe \\",
    "# heading",
    "=== * --- 1. > +",
]


@pytest.mark.parametrize("text", FOREIGN)
def test_plain_text_is_shown_as_it_is(text: str) -> None:
    """In a table and in a sentence."""
    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    shown = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert f">{shown}</td>" in reader.render(markdown(["head"], [[plain(text)]]))
    assert reader.render(f"Measured on {plain(text)}.") == f"<p>Measured on {shown}.</p>\n"


def test_plain_text_is_one_line_without_what_steers_a_terminal() -> None:
    assert plain("a\n\n# b\r\tc") == "a \\# b c"
    assert plain("\x1b[2J") == "\\\\x1b\\[2J"


def test_a_terminal_is_not_steered() -> None:
    assert printable("é ∑ 語\nsecond line") == "é ∑ 語\nsecond line"
    assert printable("\x1b]0;title\x07 \r \t \x9b \u202e \udcff") == r"\x1b]0;title\x07 \r \t \x9b \u202e \udcff"
