"""A teacher that errs: some tokens that it shows are hidden, random, or the model's own; it asks for the true ones."""

from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from lookahead.contracts import Loss, Needs
from lookahead.errors import LookaheadError
from lookahead.kinds import Range
from lookahead.objectives.sequences import Prefilled, answer_loss, generate, read
from lookahead.objectives.teacher_forcing import TeacherForcing


class Corrupted(TeacherForcing, name="corrupted"):
    """-sum_i log p(a_i | prompt, b_0 ... b_{i-1}), where b_j is a_j, or with a probability another token.

    The other token is the dummy `$` or a random label (Frydenlund, 2025: "token masking", "token replacement"), or what
    the model itself says after b_0 ... b_{j-1} (Bengio et al., 2015: "scheduled sampling"). Every a_i is asked for,
    whatever was read before it. An answer is read as it is given: nothing is hidden or random there.

    Open in what is published of it, chosen here: each token errs independently; a random label may be the true
    one; the model's own token is its most probable one, as in its answers, and no gradient goes through the choice.

    Args:
        how: "mask" puts the dummy, "replace" a random label, "sample" the model's own token.
        rate: the probability; if not given, one is drawn for each example, uniform from 0 to 1. At 0 it is teacher
            forcing; at 1 nothing of the answer is read.
        rising: the probability grows in proportion to the steps done, up to `rate`, as in Bengio et al. What is
            measured on the way is measured at `rate`.
    """

    def __init__(
        self,
        model: Any,
        task: Any,
        *,
        how: Literal["mask", "replace", "sample"],
        rate: Annotated[float, Range(least=0, most=1)] | None = None,
        rising: bool = False,
    ) -> None:
        super().__init__(model, task)
        self.how, self.rate, self.rising = self.checked(how=how, rate=rate, rising=rising).values()
        self.labels = task.labels

    @classmethod
    def needs(cls, prompt_length: int, answer_length: int, **options: Any) -> Needs:
        how = options["how"]
        return Needs(
            longest=prompt_length + answer_length - 1,
            extra_tokens=int(how == "mask"),
            noise=2 if how == "replace" else 1,
        )

    def forward(
        self, prompts: Any, answers: Tensor, noise: Tensor | None = None, progress: Tensor | None = None
    ) -> Loss:
        if noise is None:
            raise LookaheadError("which tokens are wrong is drawn from noise: Objective.noise gives it")
        hints = self.hints(prompts, answers, noise, progress)
        return answer_loss(read(self.model, prompts, hints), answers, self.mask(answers))

    def hints(
        self, prompts: Tensor | Prefilled, answers: Tensor, noise: Tensor, progress: Tensor | None = None
    ) -> Tensor:
        """What is read after the prompt, b_0 ... b_{A-2}, [B, A - 1]."""
        coins = noise[..., 0] if self.how == "replace" else noise  # [B, A]
        rate = coins[:, -1:] if self.rate is None else self.rate  # the last token is not read: its coin is free
        if self.rising and progress is not None:
            rate = rate * progress
        wrong, true = coins[:, :-1] < rate, answers[:, :-1]
        if self.how == "mask":
            return torch.where(wrong, self.dummy, true)
        if self.how == "replace":
            return torch.where(wrong, (noise[:, :-1, 1] * self.labels).long(), true)

        def mixed(own: Tensor) -> Tensor:
            return torch.where(wrong, own, true)

        return mixed(generate(self.model, prompts, self.answer_length - 1, hint=mixed))
