"""No teacher: every answer token is predicted from the prompt and dummies, none from the token before it."""

from typing import Any

import torch
from torch import Tensor

from lookahead.contracts import Loss, Needs
from lookahead.errors import CannotContinue
from lookahead.objectives.sequences import PromptFirst, answer_loss, read


class Teacherless(PromptFirst, name="teacherless"):
    """-sum_i log p(a_i | prompt, $ ... $) (Monea et al., 2023; Bachmann and Nagarajan, 2024, "teacherless")."""

    @classmethod
    def needs(cls, prompt_length: int, answer_length: int, **options: Any) -> Needs:
        return Needs(longest=prompt_length + answer_length - 1, extra_tokens=1)

    def read_blind(self, prompts: Tensor) -> Tensor:
        """Logits of every answer token [B, A, V] from the prompt alone, in one pass."""
        return read(self.model, prompts, hints=self.dummies(prompts))

    def forward(
        self, prompts: Tensor, answers: Tensor, noise: Tensor | None = None, progress: Tensor | None = None
    ) -> Loss:
        return answer_loss(self.read_blind(prompts), answers, self.mask(answers))

    @torch.no_grad()
    def answer(self, prompts: Tensor, given: Tensor | None = None) -> Tensor:
        """All tokens at once."""
        if given is not None:
            raise CannotContinue("teacherless answers come in one pass that never reads an answer token")
        return self.read_blind(prompts).argmax(dim=-1)
