"""Fields that several experiments share."""

from typing import Any

PAPERS_GRAPHS = ((2, 5), (10, 5))
"""Of those of the paper, one with two arms and one with many."""

SHORT: dict[str, Any] = {
    "steps": 600, "optimizer": "muon", "schedule": "cosine", "evaluate_every": 20, "stop_at": 0.98
}  # fmt: skip
"""A training of a minute or two on one core."""
