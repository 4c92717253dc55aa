"""Tables in Markdown, and for a terminal; text of unknown origin made harmless for both."""

import re
from collections.abc import Iterable, Sequence


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]], numbers_from: int | None = None) -> str:
    """A table.

    Args:
        head: the columns' names.
        rows: as many texts each.
        numbers_from: the first of the columns that hold numbers: those stand at the right.
    """
    columns = len(head) if numbers_from is None else numbers_from
    rules = [":--" if column < columns else "--:" for column in range(len(head))]
    return "\n".join(_line(cells) for cells in (head, rules, *rows))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in columns of equal width; what looks like a number stands at the right."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    right = [all(_is_number(row[i]) for row in rows) and bool(rows) for i in range(len(head))]
    aligned = []
    for line in lines:
        cells = (c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True))
        aligned.append("  ".join(cells).rstrip())
    return "\n".join(aligned)


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()


def printable(text: str) -> str:
    """A text for a terminal: what would steer it, or is not to be seen, is written as an escape such as \\x1b."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def plain(text: str) -> str:
    """A text of unknown origin in Markdown, as it is: no markup, no HTML, one line. (Tables care for | themselves.)"""
    return re.sub(r"([!\"#$%&'*+:;<=>?@\[\\\]^_`{}~])", r"\\\1", printable(" ".join(str(text).split())))
