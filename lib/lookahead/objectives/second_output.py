"""What objectives share that ask every state for more by a second output matrix."""

from abc import abstractmethod
from typing import Annotated, Any

from torch import Tensor

from lookahead.contracts import Loss
from lookahead.kinds import Range
from lookahead.objectives.heads import counted_mean, linear, width_of
from lookahead.objectives.sequences import answer_loss, exact, states
from lookahead.objectives.teacher_forcing import TeacherForcing


class SecondOutput(TeacherForcing):
    """Teacher forcing + weight times the losses of scores that one more output matrix gives.

    The matrix comes after the model's final norm. Taught are the states from `=` on, and each loss is a mean over
    them. A model answers without it.
    """

    def __init__(self, model: Any, task: Any, *, weight: Annotated[float, Range(above=0)] = 1.0) -> None:
        super().__init__(model, task)
        self.weight = self.checked(weight=weight)["weight"]
        self.second_embedding = linear(width_of(model), model.vocab_size)

    @abstractmethod
    def losses(self, scores: Tensor, answers: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        """What the scores [B, A, V] of each state cost, by name, [B, A] each.

        Args:
            mask: which answer tokens count, [B, A], bool; all if not given. No other is to come.
        """

    def forward(
        self, prompts: Any, answers: Tensor, noise: Tensor | None = None, progress: Tensor | None = None
    ) -> Loss:
        hidden = states(self.model, prompts, answers[:, :-1])  # [B, A, D]
        mask = self.mask(answers)
        loss = answer_loss(self.model.unembed(hidden), answers, mask)
        scores = exact(self.second_embedding(self.model.norm(hidden)))
        for name, losses in self.losses(scores, answers, mask).items():
            loss.parts[name] = counted_mean(losses, mask)
            loss.total = loss.total + self.weight * loss.parts[name]
        return loss
