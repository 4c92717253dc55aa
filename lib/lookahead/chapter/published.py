"""Numbers quoted from papers: typed once, in published.json, with their source and how they were obtained."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from IPython.display import Markdown, display

from lookahead.errors import LookaheadError
from lookahead.tables import markdown

PUBLISHED = Path(__file__).with_name("published.json")


@cache
def _all() -> dict[str, dict[str, Any]]:
    return json.loads(PUBLISHED.read_text(encoding="utf-8"))


def table(exhibit: str, rows: str = "") -> None:
    """Shows a quoted table with its source.

    Args:
        rows: what the names of the rows that are shown begin with.

    Raises:
        LookaheadError: there is none of that name, or no such row.
    """
    if exhibit not in _all():
        raise LookaheadError(f"no published table {exhibit!r}; there are {', '.join(_all())}")
    found = _all()[exhibit]
    shown = [[row, *(f"{x:g}" for x in cells)] for row, cells in found["rows"].items() if row.startswith(rows)]
    if not shown:
        raise LookaheadError(f"the table {exhibit!r} has no row {rows!r}; it has {', '.join(found['rows'])}")
    source = f"{found['caption']}. Source: {found['source']}; {found['obtained']}."
    display(Markdown(markdown(["", *found["columns"]], shown, numbers_from=1) + "\n\n" + source))
