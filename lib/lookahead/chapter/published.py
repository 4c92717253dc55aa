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


def table(exhibit: str) -> None:
    """Shows a quoted table with its source.

    Raises:
        LookaheadError: there is none of that name.
    """
    if exhibit not in _all():
        raise LookaheadError(f"no published table {exhibit!r}; there are {', '.join(_all())}")
    found = _all()[exhibit]
    rows = [[row, *(f"{x:g}" for x in cells)] for row, cells in found["rows"].items()]
    source = f"{found['caption']}. Source: {found['source']}; {found['obtained']}."
    display(Markdown(markdown(["", *found["columns"]], rows, numbers_from=1) + "\n\n" + source))
