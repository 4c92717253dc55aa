"""An objective whose answers are known beforehand: what a measure makes of them is known, too."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lookahead.contracts import Loss, Model, Needs, Objective, Split, Task


class KnownAnswers(Objective):
    """Answers the first examples of a split: some right, some wrong in a part, some led onto a wrong arm.

    A network after few steps gets nearly nothing right, so that its measures would hardly tell one from another.

    Args:
        model, task: as of the objective in whose place this one is measured; the model is not asked.
        split, count: the examples; it must be measured on them, in one batch.
    """

    def __init__(self, model: Model, task: Task, split: Split, count: int) -> None:
        super().__init__(model, task)
        prompts, answers = task.sample(split, torch.arange(count))  # [B, P], [B, A]
        decoys, others = task.decoys(prompts, answers), answers.roll(1, 0)
        places = torch.arange(count)[:, None] + torch.arange(task.answer_length)  # [B, A]
        self.losses = places / 16  # a sum of such numbers has no rounding
        self.predictions = _mixed(answers, others, places, whole=3 * count // 8, every=2)
        self.unaided = _mixed(answers, others, places, whole=5 * count // 8, every=3)
        self.led = None if decoys is None else _mixed(decoys, answers, places, whole=count // 4, every=4)

    @classmethod
    def needs(cls, prompt_length: int, answer_length: int, **options: Any) -> Needs:
        return Needs(longest=prompt_length + answer_length)

    def forward(
        self, prompts: Tensor, answers: Tensor, noise: Tensor | None = None, progress: Tensor | None = None
    ) -> Loss:
        return Loss(self.losses.mean(), self.losses, self.predictions)

    def answer(self, prompts: Tensor, given: Tensor | None = None) -> Tensor:
        if given is None:
            return self.unaided
        assert self.led is not None, "who knows no decoys forces nobody onto one"
        return self.led


def _mixed(some: Tensor, others: Tensor, places: Tensor, whole: int, every: int) -> Tensor:
    """The first `whole` rows of `some`; in the rows below only tokens of it `every` so many places, else `others`."""
    first = torch.arange(len(some))[:, None] < whole
    return torch.where(first | (places % every == 0), some, others)
