"""Next-token training with a teacher: every token is predicted from the true ones before it."""

from typing import Any

from torch import Tensor

from lookahead.contracts import Loss, Needs
from lookahead.objectives.sequences import PromptFirst, answer_loss, generate, read


class TeacherForcing(PromptFirst, name="teacher_forcing"):
    """-sum_i log p(a_i | prompt, a_0 ... a_{i-1}), the true tokens before it shown (Williams and Zipser, 1989)."""

    @classmethod
    def needs(cls, prompt_length: int, answer_length: int, **options: Any) -> Needs:
        return Needs(longest=prompt_length + answer_length - 1)

    def forward(
        self, prompts: Tensor, answers: Tensor, noise: Tensor | None = None, progress: Tensor | None = None
    ) -> Loss:
        logits = read(self.model, prompts, hints=answers[:, :-1])
        return answer_loss(logits, answers, self.mask(answers))

    def answer(self, prompts: Tensor, given: Tensor | None = None) -> Tensor:
        """Autoregressive: the model reads its own tokens where the teacher's stood."""
        return generate(self.model, prompts, self.answer_length, given)
