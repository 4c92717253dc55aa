"""Teacher forcing with some hints hidden, or the decision's loss reweighted: the controls that tell what is guilty."""

from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from lookahead.contracts import Loss, Needs
from lookahead.errors import CannotContinue, LookaheadError
from lookahead.kinds import Range
from lookahead.objectives.sequences import PromptFirst, answer_loss, generate, read


class Hints(PromptFirst, name="hints"):
    """Every answer input is the true token or the dummy `$`.

    Both shown is teacher forcing, both hidden is teacherless training (answered token by token).

    Args:
        start: show the token before the decision (the start node), else hide it.
        later: show every later token, else hide them.
        taught: "all" answer tokens, or the "decision" alone.
        weight: of the decision in the mean over all tokens; each other token has 1. To teach the decision alone is the
            limit of large weights.

    Raises:
        LookaheadError: a weight where the decision is taught alone.
    """

    shown: Tensor
    taught: Tensor | None
    weights: Tensor | None

    def __init__(
        self,
        model: Any,
        task: Any,
        *,
        start: bool = True,
        later: bool = True,
        taught: Literal["all", "decision"] = "all",
        weight: Annotated[float, Range(above=0)] = 1.0,
    ) -> None:
        super().__init__(model, task)
        start, later, taught, weight = self.checked(start=start, later=later, taught=taught, weight=weight).values()
        if taught == "decision" and weight != 1:
            raise LookaheadError(
                f"weight {weight} weighs nothing where the decision is taught alone: leave one of the two"
            )
        steps = torch.arange(self.answer_length)
        shown = torch.where(steps[:-1] < task.decision, start, later)
        self.register_buffer("shown", shown, persistent=False)
        self.register_buffer("taught", steps[[task.decision]] if taught == "decision" else None, persistent=False)
        weights = None if weight == 1 else torch.where(steps == task.decision, float(weight), 1.0)
        self.register_buffer("weights", weights, persistent=False)

    @classmethod
    def needs(cls, prompt_length: int, answer_length: int, **options: Any) -> Needs:
        return Needs(longest=prompt_length + answer_length - 1, extra_tokens=1)

    def hints(self, answers: Tensor) -> Tensor:
        """The inputs after the prompt, [B, A - 1], for answers [B, A]."""
        return torch.where(self.shown, answers[:, :-1], self.dummy)

    def forward(
        self, prompts: Tensor, answers: Tensor, noise: Tensor | None = None, progress: Tensor | None = None
    ) -> Loss:
        logits = read(self.model, prompts, self.hints(answers))
        return answer_loss(logits, answers, self.mask(answers), self.taught, self.weights)

    def answer(self, prompts: Tensor, given: Tensor | None = None) -> Tensor:
        """Autoregressive: the model reads its own tokens where hints are shown, dummies elsewhere."""
        if given is not None and not self.shown[given.shape[1] - 1 : given.shape[1]].all():
            raise CannotContinue("the last forced token would be hidden from the network: it cannot go on from it")
        return generate(self.model, prompts, self.answer_length, given, self.hints)
