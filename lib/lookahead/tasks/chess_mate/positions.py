"""The mates in two that come with the library."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from lookahead.errors import Corrupt

SHIPPED = Path(__file__).with_name("positions.parquet")
"""Written by `tools/make_chess_positions.py`."""
CONTENT = "2500d231ec1c1a17"
"""The checksum of what is in it. As a part of the code it is a part of what a stored result depends on."""
COLUMNS = pa.schema(
    [
        ("drawn", pa.string()),  # the pieces that it was found from, such as "QR-r quiet"
        ("fen", pa.string()),  # white to move
        ("line", pa.string()),  # the move that mates in two, the reply, the mate
        ("first_moves", pa.uint8()),  # legal moves, of which one is right
        ("replies", pa.uint8()),  # legal replies to it
        ("mates", pa.uint8()),  # moves that mate after the reply that is written down
    ]
)


def rows() -> list[dict[str, Any]]:
    """One of each position, with the columns above.

    Raises:
        Corrupt: the file holds something else than what was written.
    """
    table = parquet.read_table(SHIPPED)
    if (found := checksum_of(table)) != CONTENT:
        raise Corrupt(
            f"{SHIPPED} is not what came with the library (checksum {found}, not {CONTENT}): install it again"
        )
    return table.to_pylist()


def checksum_of(table: pa.Table) -> str:
    """What tells the content of a table from others, however it is packed."""
    return hashlib.sha256(json.dumps(table.to_pylist()).encode()).hexdigest()[:16]
