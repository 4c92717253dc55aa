"""Trainings written for TensorBoard as they go: `lookahead run NAME --tensorboard DIR`, `tensorboard --logdir DIR`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lookahead.errors import LookaheadError
from lookahead.runs.run import Run


class TensorBoard:
    """Writes each row of a training's curve as scalars into `folder`/run id; given to `lookahead.run` as `follow`.

        lookahead.run(task=PathStar(2, 4, 10), seed=1, follow=TensorBoard("logs"))

    A training that is gone on from, or done again, takes the place of what it had written from that step on.

    Raises:
        LookaheadError: no package tensorboard, or a folder that cannot be written.
    """

    def __init__(self, folder: str | Path):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise LookaheadError(f"this needs the package tensorboard: pip install tensorboard ({error})") from error
        self.folder, self.open_writer = Path(folder), SummaryWriter
        self.writers: dict[str, Any] = {}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LookaheadError(f"TensorBoard's folder {self.folder} cannot be made: {error}") from error

    def __call__(self, run: Run, row: dict[str, Any]) -> None:
        step = row["step"]
        writer = self.writers.get(run.id)
        if writer is None:
            writer = self.open_writer(str(self.folder / run.id), purge_step=step)
            writer.add_text("run", f"    {run.to_json()}", step)
            self.writers[run.id] = writer
        for name, value in scalars(row):
            writer.add_scalar(name, value, step)
        writer.flush()
        if step == run.steps or run.good_enough(row):
            self.writers.pop(run.id).close()


def scalars(row: dict[str, Any], inside: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a row of a curve, named; those of a list by their place: "token_loss/2". Without NaN and None."""
    for key, value in row.items():
        name = f"{inside}{key}"
        if isinstance(value, dict):
            yield from scalars(value, f"{name}/")
        elif isinstance(value, list):
            yield from scalars({str(place): one for place, one in enumerate(value)}, f"{name}/")
        elif isinstance(value, (int, float)) and key != "step" and not math.isnan(value):
            yield name, float(value)
