"""Tasks and fields that several experiments share."""

from typing import Any

SHORT: dict[str, Any] = {
    "steps": 600, "optimizer": "muon", "schedule": "cosine", "evaluate_every": 20, "stop_at": 0.98
}  # fmt: skip
"""A training of a minute or two on one core."""


def path_star(degree: int, path_length: int, **options: Any) -> dict[str, Any]:
    """The path-star task on G(degree, path_length); labels as the profile says, unless it is told."""
    return {"name": "path_star", "degree": degree, "path_length": path_length, **options}


PAPERS_GRAPHS = (path_star(2, 5), path_star(10, 5))
"""Of those of the paper, one with two arms and one with many."""
