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
| `examples` | how many examples stand behind each |
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from lookahead.contracts import Objective, Split, Task
from lookahead.errors import LookaheadError
from lookahead.machine import device_of
from lookahead.stack import State, Template, each

Measures = dict[str, float | int | list[float]]

ROWS_AT_ONCE = {"cpu": 128, "cuda": 8192}
"""Examples of all members together that are computed at a time. A CPU is fastest where they fit into its caches; a GPU
wants many (some GB at the size `mini`)."""


@torch.no_grad()
def evaluate(objective: Objective, task: Task, split: Split, count: int, batch_size: int | None = None) -> Measures:
    """Every measure of the table above, on the first `count` examples of a split.

    Args:
        batch_size: examples at a time; what suits the device if not given.

    Raises:
        LookaheadError: nothing to measure on.
    """

    def ask(prompts: Tensor, answers: Tensor, noise: Tensor | None, decoys: Tensor) -> list[Tensor]:
        return [found[None] for found in _ask(objective, prompts[0], answers[0], noise, decoys[0], task.decision)]

    return _evaluate(objective, [task], ask, split, count, batch_size or rows_at_once(objective))[0]


@torch.no_grad()
def evaluate_each(
    template: Template, state: State, tasks: Sequence[Task], split: Split, count: int, batch_size: int | None = None
) -> list[Measures]:
    """As `evaluate`, for S members at once (see `lookahead.stack`), each on the examples of its own task.

    Raises:
        LookaheadError: nothing to measure on.
    """
    rows = rows_at_once(template)
    size = min(batch_size or rows, max(1, count))
    together = max(1, rows // size)
    measures = []
    for first in range(0, len(tasks), together):
        some = {name: values[first : first + together] for name, values in state.items()}

        def ask(
            prompts: Tensor, answers: Tensor, noise: Tensor | None, decoys: Tensor, some: State = some
        ) -> list[Tensor]:
            def of_one(objective: Objective, prompts: Tensor, answers: Tensor, decoys: Tensor) -> tuple[Tensor, ...]:
                return _ask(objective, prompts, answers, noise, decoys, tasks[0].decision)

            return each(of_one, template, some, prompts, answers, decoys)

        measures += _evaluate(template.objective, tasks[first : first + together], ask, split, count, size)
    return measures


def rows_at_once(module: nn.Module) -> int:
    """How many suit the device that a module lies on."""
    return ROWS_AT_ONCE[device_of(module).type]


def _evaluate(
    objective: Objective,
    tasks: Sequence[Task],
    ask: Callable[[Tensor, Tensor, Tensor | None, Tensor], Sequence[Tensor]],
    split: Split,
    count: int,
    batch_size: int,
) -> list[Measures]:
    """The measures of each member; `ask` is `_ask` for all of them, with a leading dimension S."""
    if count < 1:
        raise LookaheadError(f"cannot measure on {count} examples: at least 1")
    device = device_of(objective)
    sums: dict[str, Tensor] = {}
    for first in range(0, count, batch_size):
        indices = torch.arange(first, min(first + batch_size, count), device=device)
        prompts, answers = type(tasks[0]).sample_each(tasks, split, indices[None])
        shape, flat_prompts, flat_answers = prompts.shape[:2], prompts.flatten(0, 1), answers.flatten(0, 1)
        decoys = tasks[0].decoys(flat_prompts, flat_answers)
        asked = ask(prompts, answers, objective.noise(("evaluation", split), indices), decoys.unflatten(0, shape))
        losses, predictions, given, led = (tensor.flatten(0, 1) for tensor in asked)
        found = _judge(tasks[0], flat_prompts, flat_answers, decoys, losses, predictions, given, led)
        for name, value in found.items():
            sums[name] = sums.get(name, 0) + value.double().unflatten(0, shape).sum(dim=1)
    means = {name: (total / count).tolist() for name, total in sums.items()}
    return [{**{name: values[i] for name, values in means.items()}, "examples": count} for i in range(len(tasks))]


def _ask(
    objective: Objective, prompts: Tensor, answers: Tensor, noise: Tensor | None, decoys: Tensor, decision: int
) -> tuple[Tensor, ...]:
    """For b examples, each [b, A]: the losses, the predictions from what training shows, the answers without a teacher,
    and those whose first tokens were forced onto a wrong arm; NaN where that cannot be done."""
    taught, given, led = objective.ask(prompts, answers, decoys[:, : decision + 1], noise)
    led = torch.full(answers.shape, torch.nan, device=prompts.device) if led is None else led.float()
    return taught.tokens, taught.predictions, given, led


def _judge(
    task: Task,
    prompts: Tensor,
    answers: Tensor,
    decoys: Tensor,
    losses: Tensor,
    predictions: Tensor,
    given: Tensor,
    led: Tensor,
) -> dict[str, Tensor]:
    """Each measure for each of b examples: [b] or [b, A]."""
    followed, returned = (led == decoys) + 0 * led, (led == answers) + 0 * led  # NaN where led is
    return {
        "autoregressive_accuracy": task.correct(prompts, answers, given),
        "teacher_forced_accuracy": task.correct(prompts, answers, predictions),
        "autoregressive_token_accuracy": given == answers,
        "teacher_forced_token_accuracy": predictions == answers,
        "decision_accuracy": (predictions == answers).gather(1, task.decisions(prompts, answers)[:, None])[:, 0],
        "cheat_accuracy": followed.prod(dim=1),
        "cheat_token_accuracy": followed,
        "return_token_accuracy": returned,
        "loss": losses,
    }
