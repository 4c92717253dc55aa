"""What `make bench` and others measured, read from the store: medians in milliseconds, and the machine behind them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lookahead.errors import LookaheadError
from lookahead.runs.result import store_folders

OURS = "lookahead"
EVALUATE_EVERY = 20
"""Training steps to an evaluation, as the chapters train."""


class Benchmark:
    """A measured report; a row tells the work, who did it, the size, the batch.

    Args:
        report: as `benchmarks/bench_speed.py` writes it.
    """

    def __init__(self, report: Mapping[str, Any]) -> None:
        self.rows: list[dict[str, Any]] = report["rows"]
        self.machine = ", ".join([report["processor"], report["instruction_set"], "one thread", report["clock"]])
        """The processor, and which clock was read."""
        versions = ", ".join(f"{name} {report[name]}" for name in ("torch", "transformers"))
        self.source = f"{self.machine}; {versions}; {report['measured']}"
        """What stands behind a number: machine, versions, day."""

    def where(self, **fields: Any) -> list[dict[str, Any]]:
        """The rows that tell this: `where(work="generation", size="tiny")`.

        Raises:
            LookaheadError: there is none.
        """
        found = [row for row in self.rows if all(row[name] == value for name, value in fields.items())]
        if not found:
            works = ", ".join(dict.fromkeys(row["work"] for row in self.rows))
            raise LookaheadError(f"nothing measured with {fields}; there is {works}")
        return found

    def median(self, work: str, who: str = OURS, size: str | None = None, batch: int | None = None) -> float:
        """Milliseconds, the median over the rounds; of the first row that fits."""
        fields = {"work": work, "who": who, "size": size, "batch": batch}
        return self.where(**{name: value for name, value in fields.items() if value is not None})[0]["median_ms"]

    def ratio(self, other: str, work: str, size: str | None = None, batch: int | None = None) -> float:
        """The time that another one takes in units of this library's."""
        return self.median(work, other, size, batch) / self.median(work, OURS, size, batch)

    def parts(self, optimizer: str) -> dict[str, float]:
        """Milliseconds of a training step by what it does, its share of an evaluation included.

        Most are differences of two medians, so that one that takes next to no time may come out below zero.
        """
        ms = {row["size"]: row["median_ms"] for row in self.where(work="parts of a training", who=optimizer)}
        data, forward, both = ms["data"], ms["forward"], ms["forward and backward"]
        return {
            "data": data,
            "forward": forward,
            "backward": both - forward,
            "optimiser": ms["whole step"] - both - data,
            "evaluation (a twentieth)": ms["evaluation"] / EVALUATE_EVERY,
        }


def report(name: str) -> dict[str, Any]:
    """A report of the store as it was written, such as "memory" of `results/memory.json`; else the committed one.

    Raises:
        LookaheadError: there is none, or it cannot be read.
    """
    paths = [folder / f"{name}.json" for folder in store_folders()]
    path = next((path for path in paths if path.exists()), paths[0])
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LookaheadError(f"{path} cannot be read ({error}): `make bench` or a tool writes it") from error
