"""Numbers quoted from papers: typed once, in published.json, with their source and how they were obtained."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from IPython.display import Markdown, display


@cache
def _all() -> dict[str, dict[str, Any]]:
    return json.loads(Path(__file__).with_name("published.json").read_text(encoding="utf-8"))


def table(exhibit: str) -> None:
    """Shows a quoted table with its source."""
    found = _all()[exhibit]
    lines = [
        "| | " + " | ".join(found["columns"]) + " |",
        "| :-- |" + " --: |" * len(found["columns"]),
        *(f"| {row} | " + " | ".join(f"{x:g}" for x in cells) + " |" for row, cells in found["rows"].items()),
        "",
        f"{found['caption']}. Source: {found['source']}; {found['obtained']}.",
    ]
    display(Markdown("\n".join(lines)))
