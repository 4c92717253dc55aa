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

import torch
from torch import Tensor

from lookahead.contracts import Objective, Split, Task
from lookahead.errors import CannotContinue, LookaheadError

Measures = dict[str, float | int | list[float]]


@torch.no_grad()
def evaluate(objective: Objective, task: Task, split: Split, count: int, batch_size: int = 1024) -> Measures:
    """Every measure of the table above, on the first `count` examples of a split.

    Raises:
        LookaheadError: nothing to measure on.
    """
    if count < 1:
        raise LookaheadError(f"cannot measure on {count} examples: at least 1")
    device = next(objective.parameters()).device
    sums: dict[str, Tensor] = {}
    for first in range(0, count, batch_size):
        indices = torch.arange(first, min(first + batch_size, count), device=device)
        for name, value in _measure(objective, task, split, indices).items():
            sums[name] = sums.get(name, 0) + value.double().sum(dim=0)
    means = {name: (total / count).tolist() for name, total in sums.items()}
    return {**means, "examples": count}


def _measure(objective: Objective, task: Task, split: Split, indices: Tensor) -> dict[str, Tensor]:
    """Each measure for each of the examples `indices` [b]: [b] or [b, A]."""
    prompts, answers = task.sample(split, indices)
    taught = objective(prompts, answers, noise=objective.noise(("evaluation", split), indices))
    given = objective.answer(prompts)
    decoys, led = _on_a_wrong_arm(objective, task, prompts, answers)
    followed, returned = (led == decoys) + 0 * led, (led == answers) + 0 * led  # NaN where led is
    return {
        "autoregressive_accuracy": task.correct(prompts, answers, given),
        "teacher_forced_accuracy": task.correct(prompts, answers, taught.predictions),
        "autoregressive_token_accuracy": given == answers,
        "teacher_forced_token_accuracy": taught.predictions == answers,
        "decision_accuracy": (taught.predictions == answers)[:, task.decision],
        "cheat_accuracy": followed.prod(dim=1),
        "cheat_token_accuracy": followed,
        "return_token_accuracy": returned,
        "loss": taught.tokens,
    }


def _on_a_wrong_arm(objective: Objective, task: Task, prompts: Tensor, answers: Tensor) -> tuple[Tensor, Tensor]:
    """The wrong arms, and the answers whose first tokens were forced onto them, both [b, A]; NaN where none can be."""
    decoys = task.decoys(prompts, answers)
    try:
        led = objective.answer(prompts, given=decoys[:, : task.decision + 1]).float()
    except CannotContinue:
        led = torch.full(answers.shape, torch.nan, device=prompts.device)
    return decoys, led
