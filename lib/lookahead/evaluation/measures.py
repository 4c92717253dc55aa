"""The measures of the book, each under a name of its own.

| name | share of, in [0, 1] unless said |
| --- | --- |
| `autoregressive_accuracy` | answers right as a whole, given without a teacher |
| `teacher_forced_accuracy` | answers right as a whole, every token predicted from what training shows |
| `autoregressive_token_accuracy` | tokens right, by position, without a teacher |
| `teacher_forced_token_accuracy` | tokens right, by position, from what training shows |
| `decision_accuracy` | decision tokens right, from what training shows; chance is 1/d on path-star |
| `cheat_accuracy` | wrong arms finished, to the last node, once put on them; NaN where that cannot be done |
| `cheat_token_accuracy` | tokens that are the wrong arm's, by position, once put on it; NaN likewise |
| `return_token_accuracy` | tokens that are the *right* arm's, by position, though put on a wrong one; NaN likewise |
| `loss` | mean loss by position, nats; NaN where nothing is taught |
| `parts` | the objective's named scalars (`Loss.parts`), each averaged over the examples; absent where it names none |
| `examples` | how many examples stand behind each |
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lookahead.contracts import Objective, Split, Task
from lookahead.errors import CannotContinue, LookaheadError
from lookahead.machine import device_of
from lookahead.stack import State, Template, each

Measures = dict[str, Any]
"""Names of the table above -> a float, a list of A floats by position, or for `parts` a mapping of floats."""

ROWS_AT_ONCE = {"cpu": 128, "cuda": 8192}
"""Examples of all members together that are computed at a time. A CPU is fastest where they fit into its caches; a GPU
wants many (some GB at the size `mini`)."""


@torch.no_grad()
def evaluate(objective: Objective, task: Task, split: Split, count: int, batch_size: int | None = None) -> Measures:
    """Every measure of the table above, on the first `count` examples of a split.

    Args:
        batch_size: examples at a time; what suits the device if not given.

    Raises:
        LookaheadError: nothing to measure on, or a task that the objective was not made for.
    """

    def outputs(prompts: Tensor, answers: Tensor, noise: Tensor | None, decoys: Tensor) -> Outputs:
        *tensors, parts = _outputs(objective, prompts[0], answers[0], noise, decoys[0], task.decision)
        return Outputs(
            *(tensor[None] for tensor in tensors), parts={name: value[None] for name, value in parts.items()}
        )

    return _evaluate(objective, [task], outputs, split, count, batch_size or rows_at_once(objective))[0]


@torch.no_grad()
def evaluate_each(
    template: Template, state: State, tasks: Sequence[Task], split: Split, count: int, batch_size: int | None = None
) -> list[Measures]:
    """As `evaluate`, for S members at once (see `lookahead.stack`), each on the examples of its own task.

    Args:
        template, state: the members.
        tasks: one for each member; they differ in their seed alone.
        batch_size: examples of each member at a time; what suits the device if not given.

    Raises:
        LookaheadError: nothing to measure on, or a task that the objective was not made for.
    """
    rows = rows_at_once(template)
    size = min(batch_size or rows, max(1, count))
    together = max(1, rows // size)
    measures = []
    for first in range(0, len(tasks), together):
        some = {name: values[first : first + together] for name, values in state.items()}

        def outputs(
            prompts: Tensor, answers: Tensor, noise: Tensor | None, decoys: Tensor, some: State = some
        ) -> Outputs:
            def of_one(objective: Objective, prompts: Tensor, answers: Tensor, decoys: Tensor) -> Outputs:
                return _outputs(objective, prompts, answers, noise, decoys, tasks[0].decision)

            return each(of_one, template, some, prompts, answers, decoys)

        measures += _evaluate(template.objective, tasks[first : first + together], outputs, split, count, size)
    return measures


def rows_at_once(module: nn.Module) -> int:
    """How many examples suit the device that a module lies on."""
    return ROWS_AT_ONCE[device_of(module).type]


class Outputs(NamedTuple):
    """What an objective makes of b examples; for S members together, each with a leading dimension S."""

    losses: Tensor
    """[b, A]."""
    predictions: Tensor
    """Answers predicted from what training shows, [b, A]."""
    given: Tensor
    """Answers given without a teacher, [b, A]."""
    led: Tensor
    """Answers whose first tokens were forced onto a wrong arm, [b, A], as floats; NaN where that cannot be done."""
    parts: dict[str, Tensor]
    """`Loss.parts`."""


def _evaluate(
    objective: Objective,
    tasks: Sequence[Task],
    outputs: Callable[[Tensor, Tensor, Tensor | None, Tensor], Outputs],
    split: Split,
    count: int,
    batch_size: int,
) -> list[Measures]:
    """The measures of S members; `outputs` is `_outputs` for all of them, with a leading dimension S."""
    if count < 1:
        raise LookaheadError(f"cannot measure on {count} examples: at least 1")
    objective.check(tasks[0])
    device = device_of(objective)
    sums: dict[str, Tensor] = {}
    counts: dict[str, Tensor] = {}
    parts: dict[str, Tensor] = {}
    for first in range(0, count, batch_size):
        indices = torch.arange(first, min(first + batch_size, count), device=device)
        prompts, answers = type(tasks[0]).sample_each(tasks, split, indices[None])  # [S, b, P], [S, b, A]
        shape, flat_prompts, flat_answers = prompts.shape[:2], prompts.flatten(0, 1), answers.flatten(0, 1)
        decoys = tasks[0].decoys(flat_prompts, flat_answers)
        noise = objective.noise(("evaluation", split), indices)
        *tensors, found_parts = outputs(prompts, answers, noise, decoys.unflatten(0, shape))
        judged = _judge(tasks[0], flat_prompts, flat_answers, decoys, *(tensor.flatten(0, 1) for tensor in tensors))
        mask = tasks[0].taught(flat_answers)
        for name, value in judged.items():
            counted = torch.ones_like(value) if mask is None or value.dim() == 1 else mask
            value = torch.where(counted.bool(), value.double(), 0)
            sums[name] = sums.get(name, 0) + value.unflatten(0, shape).sum(dim=1)
            counts[name] = counts.get(name, 0) + counted.double().unflatten(0, shape).sum(dim=1)
        for name, value in found_parts.items():
            parts[name] = parts.get(name, 0) + value.double() * len(indices)
    means = {name: (total / counts[name]).tolist() for name, total in sums.items()}
    part_means = {name: (total / count).tolist() for name, total in parts.items()}
    return [
        {name: values[i] for name, values in means.items()}
        | ({"parts": {name: values[i] for name, values in part_means.items()}} if parts else {})
        | {"examples": count}
        for i in range(len(tasks))
    ]


def _outputs(
    objective: Objective, prompts: Tensor, answers: Tensor, noise: Tensor | None, decoys: Tensor, decision: int
) -> Outputs:
    """The outputs of one objective; the prompts are read once."""
    read = objective.prefill(prompts)
    loss = objective(read, answers, noise=noise)
    try:
        led = objective.answer(read, decoys[:, : decision + 1]).float()
    except CannotContinue:
        led = torch.full(answers.shape, torch.nan, device=answers.device)
    return Outputs(loss.tokens, loss.predictions, objective.answer(read), led, loss.parts)


def _judge(
    task: Task,
    prompts: Tensor,  # [b, P]
    answers: Tensor,  # [b, A], as all that follow
    decoys: Tensor,
    losses: Tensor,
    predictions: Tensor,
    given: Tensor,
    led: Tensor,
) -> dict[str, Tensor]:
    """Each measure for each of b examples: [b] or [b, A]."""
    mask = task.taught(answers)
    followed, returned = (torch.where(led.isnan(), led, (led == path).float()) for path in (decoys, answers))
    return {
        "autoregressive_accuracy": task.correct(prompts, answers, given),
        "teacher_forced_accuracy": task.correct(prompts, answers, predictions),
        "autoregressive_token_accuracy": given == answers,
        "teacher_forced_token_accuracy": predictions == answers,
        "decision_accuracy": (predictions == answers).gather(1, task.decisions(prompts, answers)[:, None])[:, 0],
        "cheat_accuracy": (followed if mask is None else torch.where(mask, followed, 1)).prod(dim=1),
        "cheat_token_accuracy": followed,
        "return_token_accuracy": returned,
        "loss": losses,
    }
