"""What an execution says of itself on the way, one JSON object a line, where somebody asked for it."""

import json
import os
from pathlib import Path
from typing import Any

JOURNAL = "LOOKAHEAD_JOURNAL"
"""Environment variable: the file to write to; nothing is written without it."""


def note(**entry: Any) -> None:
    """Adds a line. Several processes may add to one file."""
    if path := os.environ.get(JOURNAL):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def entries(path: Path) -> list[dict[str, Any]]:
    """All lines of a journal; none where there is no file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
