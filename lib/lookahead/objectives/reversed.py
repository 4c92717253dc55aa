"""The same teacher, the answer back to front: from the goal every step is a look at the one edge into it."""

from typing import Any

from torch import Tensor

from lookahead.contracts import Loss
from lookahead.errors import CannotContinue
from lookahead.objectives.sequences import refuse_different_lengths
from lookahead.objectives.teacher_forcing import TeacherForcing


class Reversed(TeacherForcing, name="reversed"):
    """Teacher forcing on the answer reversed (Bachmann and Nagarajan, 2024, "reversed").

    Raises:
        LookaheadError: a task whose answers differ in length; reversed, they would begin with their filling.
    """

    def __init__(self, model: Any, task: Any) -> None:
        super().__init__(model, task)
        refuse_different_lengths(task, "reversed answers begin at the last token")

    def forward(
        self, prompts: Tensor, answers: Tensor, noise: Tensor | None = None, progress: Tensor | None = None
    ) -> Loss:
        loss = super().forward(prompts, answers.flip(1))
        return Loss(loss.total, loss.tokens.flip(1), loss.predictions.flip(1))

    def answer(self, prompts: Tensor, given: Tensor | None = None) -> Tensor:
        if given is not None:
            raise CannotContinue("reversed answers start at the goal: they cannot go on from the start of a path")
        return super().answer(prompts).flip(1)
