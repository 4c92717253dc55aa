"""A stored network, judged on the examples of a file."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, overload

from torch import Tensor

from lookahead.contracts import Objective, Task
from lookahead.errors import LookaheadError, shown
from lookahead.evaluation import measures as measuring
from lookahead.evaluation.measures import Measures
from lookahead.evaluation.statistics import Interval, proportion
from lookahead.machine import resolve_device
from lookahead.runs.result import Result, read_result_of, store_folder, trained
from lookahead.runs.run import Run
from lookahead.runs.sealed import without_nan
from lookahead.tables import columns
from lookahead.tasks.own_data.file_task import FileTask

SHOWN = {
    "autoregressive_token_accuracy": "without a teacher",
    "teacher_forced_token_accuracy": "with a teacher",
}
"""The measures that a table has by position, and what they are called there."""


@dataclass(frozen=True)
class Judged:
    """What a stored network makes of given examples."""

    result: Result
    file: str
    measures: Measures
    """As of `evaluate_on`."""
    trained_on: int | None
    """How many of the different examples stand in the part of a file that the run trained on; None where its task draws
    examples, of which it holds too many to list."""
    counts: list[int]
    """How many different examples stand behind each answer position: those whose answer is as long."""

    def interval(self, name: str, position: int | None = None) -> Interval:
        """A share with its 95% interval, at one position where it has several."""
        value = self.measures[name] if position is None else self.measures[name][position]
        return proportion(value, self.counts[position or 0])

    def to_json(self) -> str:
        """Everything as strict JSON: NaN is null."""
        whole: dict[str, Any] = {
            "run": self.result.run.id,
            "file": self.file,
            "measures": without_nan(self.measures),
            "different_examples": self.counts[0],
            "trained_on": self.trained_on,
            "autoregressive_accuracy": asdict(self.interval("autoregressive_accuracy")),
            "by_position": [
                {name: asdict(self.interval(name, place)) for name in SHOWN} for place in range(len(self.counts))
            ],
        }
        return json.dumps(whole, allow_nan=False)

    def __str__(self) -> str:
        run, whole = self.result.run, self.interval("autoregressive_accuracy")
        forced = self.interval("teacher_forced_accuracy")
        rows = [
            [str(place), *(text for name in SHOWN for text in _cells(self.interval(name, place))), str(count)]
            for place, count in enumerate(self.counts)
        ]
        head = ["token", *(text for name in SHOWN.values() for text in (name, "95%")), "examples"]
        return "\n".join(
            [
                f"{run.build_task().title} {run.objective['name']}, seed {run.seed} ({run.id}), on {self.file}: "  # type: ignore[index]
                f"{self.measures['examples']} examples, {self.counts[0]} of them different",
                *(
                    [f"{self.trained_on} of the different examples are among those it was trained on: remembered?"]
                    if self.trained_on
                    else []
                ),
                f"whole answers right without a teacher: {whole}; with a teacher: {forced}",
                columns(head, rows),
            ]
        )


def _cells(share: Interval) -> list[str]:
    return [f"{share.value:.3f}", f"[{share.low:.3f}, {share.high:.3f}]"]


@overload
def evaluate_on(of: Result | Run | str, given: str | Path, *, device: str = "auto") -> Judged: ...


@overload
def evaluate_on(
    of: Objective, given: Task, prompts: Tensor, answers: Tensor, batch_size: int | None = None
) -> Measures: ...


def evaluate_on(
    of: Any,
    given: Any,
    prompts: Tensor | None = None,
    answers: Tensor | None = None,
    batch_size: int | None = None,
    *,
    device: str = "auto",
) -> Any:
    """Measures a trained network on given examples.

        print(lookahead.evaluate_on(result, "other.jsonl"))  # a run that was done here, on a file
        lookahead.evaluate_on(objective, task, prompts, answers)  # a network in memory, on tokens

    Args:
        of: a run, its result, or its id (or the beginning of it); or an objective.
        given: a file that the run's task reads: path-star graphs in the published format, or prompts and answers; or
            the task of the tokens that follow.
        prompts, answers: tokens [B, P] and [B, A] for an objective.
        batch_size: as of `evaluate`, for an objective.
        device: "auto", "cpu" or "cuda", for a run.

    Returns:
        what a run makes of a file, as `Judged`, with intervals; or the measures of an objective.

    Raises:
        LookaheadError: no such run, or several; no weights; what is wrong with the file or the examples.
    """
    if isinstance(of, Objective):
        if prompts is None or answers is None:
            raise LookaheadError("an objective is measured on tokens: evaluate_on(objective, task, prompts, answers)")
        return measuring.evaluate_on(of, given, prompts, answers, batch_size)
    result = find_result(of.run.id if isinstance(of, Result) else of.id if isinstance(of, Run) else of)
    task, objective = trained(result.run)
    prompts, answers = task.read_examples(given)
    measures = measuring.evaluate_on(objective.to(resolve_device(device)), task, prompts, answers)
    mask, first = task.taught(answers), _first_of_each(prompts)
    counts = [len(first)] * task.answer_length if mask is None else mask[first].sum(dim=0).tolist()
    known = int(task.trained_on(prompts[first], answers[first]).sum()) if isinstance(task, FileTask) else None
    return Judged(result, str(given), measures, known, [max(1, count) for count in counts])


def _first_of_each(prompts: Any) -> list[int]:
    """The first row of every different prompt."""
    return list({tuple(row): place for place, row in reversed(list(enumerate(prompts.tolist())))}.values())


def find_result(run_id: str) -> Result:
    """The result of a run that was done here, by the beginning of its id.

    Raises:
        LookaheadError: none, or several.
    """
    if not isinstance(run_id, str) or not re.fullmatch("[0-9a-f]{1,12}", run_id):
        raise LookaheadError(
            f"a run is named by its id, such as 9bcb11b61904, or the beginning of it; not {shown(run_id)}"
        )
    found = sorted(path.parent.name for path in (store_folder() / "runs").glob(f"{run_id}*/result.json"))
    if len(found) > 1:
        raise LookaheadError(f"several runs begin with {run_id}: {', '.join(found)}")
    result = read_result_of(found[0]) if found else None
    if result is None:
        raise LookaheadError(f"no run {run_id} was done here (in {store_folder()}): its weights are needed")
    return result
