"""Teacher forcing with some hints hidden: the controls that tell which hint is guilty."""

from typing import Any, Literal

import torch
from torch import Tensor

from lookahead.contracts import Loss, Needs
from lookahead.errors import CannotContinue
from lookahead.objectives.sequences import PromptFirst, answer_loss, generate, read


class Hints(PromptFirst, name="hints"):
    """Every answer input is the true token or the dummy `$`.

    Both shown is teacher forcing, both hidden is teacherless training (answered token by token).

    Args:
        start: show the token before the decision (the start node), else hide it.
        later: show every later token, else hide them.
        taught: "all" answer tokens, or the "decision" alone.
    """

    shown: Tensor
    taught: Tensor | None

    def __init__(
        self,
        model: Any,
        task: Any,
        *,
        start: bool = True,
        later: bool = True,
        taught: Literal["all", "decision"] = "all",
    ) -> None:
        super().__init__(model, task)
        start, later, taught = self.checked(start=start, later=later, taught=taught).values()
        steps = torch.arange(self.answer_length)
        shown = torch.where(steps[:-1] < task.decision, start, later)
        self.register_buffer("shown", shown, persistent=False)
        self.register_buffer("taught", steps[[task.decision]] if taught == "decision" else None, persistent=False)

    @classmethod
    def needs(cls, prompt_length: int, answer_length: int, **options: Any) -> Needs:
        return Needs(longest=prompt_length + answer_length - 1, extra_tokens=1)

    def hints(self, answers: Tensor) -> Tensor:
        """The inputs behind the prompt, [B, A - 1], for answers [B, A]."""
        return torch.where(self.shown, answers[:, :-1], self.dummy)

    def forward(
        self, prompts: Tensor, answers: Tensor, noise: Tensor | None = None, progress: Tensor | None = None
    ) -> Loss:
        return answer_loss(read(self.model, prompts, self.hints(answers)), answers, self.mask(answers), self.taught)

    def answer(self, prompts: Tensor, given: Tensor | None = None) -> Tensor:
        """Autoregressive: the model reads its own tokens where hints are shown, dummies elsewhere."""
        if given is not None and not self.shown[given.shape[1] - 1 : given.shape[1]].all():
            raise CannotContinue("the last forced token would be hidden from the network: it cannot go on from it")
        return generate(self.model, prompts, self.answer_length, given, self.hints)
