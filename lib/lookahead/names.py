"""What things are called for a reader, in figures, tables and sentences: the one place that names them."""

from collections.abc import Sequence
from typing import Any

NAMES = {
    "transformer": "Transformer",
    "tiny": "Transformer",
    "mamba": "Mamba",
    "mamba-tiny": "Mamba",
    "mamba2": "Mamba-2",
    "mamba2-tiny": "Mamba-2",
    "adamw": "AdamW",
    "muon": "Muon",
    "multi_token": "several tokens",
    "joint_multi_token": "several tokens jointly",
    "next_latent": "next latent state",
    "corrupted": "corrupted teacher",
    "ranking": "ranking into the future",
    "from_goal": "from the goal",
    "autoregressive_accuracy": "whole path right",
    "decision_accuracy": "first step right",
    "return_token_accuracy": "returns from a wrong arm",
    "loss": "loss, nats",
}
"""Where it is not the name with spaces."""


def named(value: Any) -> str:
    """A value of a field, or a measure, in a reader's words: "teacher_forcing" -> "teacher forcing"."""
    return NAMES.get(value, str(value).replace("_", " "))


def counted(number: int, thing: str) -> str:
    """A number of things: "1 seed", "4,000 steps"."""
    return f"{number:,} {thing}{'s' * (number != 1)}"


def joined(things: Sequence[str]) -> str:
    """Things in a row, as a sentence has them: "a, b and c"."""
    *first, last = things
    return f"{', '.join(first)} and {last}" if first else last
