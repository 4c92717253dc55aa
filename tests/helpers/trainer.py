"""One network trained by itself, for tests of the loop."""

from collections.abc import Callable
from typing import Any

from lookahead.contracts import Objective, Task
from lookahead.machine import device_of
from lookahead.training import Member, Settings, Trained, train
from lookahead.training.checkpoints import Checkpoints
from lookahead.training.optimizers import Optimizers, grouped


def optimizers_of(objective: Objective, settings: Settings) -> Optimizers:
    """The optimisers of an objective, as a step builds them."""
    return Optimizers(dict(objective.named_parameters()), grouped(objective, settings.optimizer), settings)


def train_one(
    objective: Objective,
    task: Task,
    settings: Settings,
    measure: Callable[[Objective], dict[str, Any]],
    *,
    seed: int = 0,
    checkpoints: Checkpoints | None = None,
    resume: Any = "latest",
    **more: Any,
) -> Trained:
    """Trains an objective in place, where it lies; raises what ended it."""
    member = Member(objective, task, settings, seed, checkpoints, resume)
    (outcome,) = train([member], lambda step, rows: [measure(step.objective)], device=device_of(objective), **more)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
