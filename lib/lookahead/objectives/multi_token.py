"""Several tokens at once: every state predicts the next token and, by heads of their own, the ones after it."""

from typing import Any, Literal

import torch
from torch import Tensor

from lookahead.contracts import Loss, Needs
from lookahead.errors import LookaheadError
from lookahead.kinds import Count
from lookahead.objectives.heads import counted_mean, extra_heads, token_losses
from lookahead.objectives.sequences import Prefilled, answer_loss, states
from lookahead.objectives.teacher_forcing import TeacherForcing


class MultiToken(TeacherForcing, name="multi_token"):
    """-sum_k sum_i log p_k(a_{i+k-1} | prompt, a_0 ... a_{i-1}) for the heads k = 1 ... n (Gloeckle et al., 2024).

    The first head is the model itself: teacher forcing. Taught are the states from `=` on, for they alone have read
    the whole prompt. A model answers by its first head, or by all of them (`answer_in_passes`).

    Args:
        tokens: n, how many tokens each state predicts, the next one included; 1 is teacher forcing.
        depth: of an extra head: "linear", "mlp" or "block" (see `heads.Head`).
        weighting: the loss of the extra heads is their "sum" (Gloeckle et al.) or their "mean".

    Raises:
        LookaheadError: more tokens than an answer has.
    """

    def __init__(
        self,
        model: Any,
        task: Any,
        *,
        tokens: Count,
        depth: Literal["linear", "mlp", "block"] = "mlp",
        weighting: Literal["sum", "mean"] = "sum",
    ) -> None:
        super().__init__(model, task)
        tokens, depth, weighting = self.checked(tokens=tokens, depth=depth, weighting=weighting).values()
        if tokens > self.answer_length:
            raise LookaheadError(f"an answer has {self.answer_length} tokens: a state cannot predict {tokens}")
        self.tokens, self.depth = tokens, depth
        self.weight = 1.0 if weighting == "sum" else 1 / max(1, tokens - 1)
        self.heads = extra_heads(model, tokens - 1, depth)

    @classmethod
    def needs(cls, prompt_length: int, answer_length: int, **options: Any) -> Needs:
        return Needs(longest=prompt_length + answer_length - 1)

    def prefill(self, prompts: Tensor) -> Any:
        return prompts if self.depth == "block" else super().prefill(prompts)  # a block looks at the whole prompt

    def forward(
        self, prompts: Any, answers: Tensor, noise: Tensor | None = None, progress: Tensor | None = None
    ) -> Loss:
        hidden, ahead = self.read(prompts, answers[:, :-1])
        mask = self.mask(answers)
        loss = answer_loss(self.model.unembed(hidden), answers, mask)
        for k, logits in enumerate(ahead, 1):
            tokens = token_losses(logits[:, : self.answer_length - k], answers[:, k:])
            part = counted_mean(tokens, None if mask is None else mask[:, k:])
            loss.parts[f"head {k + 1}"] = part
            loss.total = loss.total + self.weight * part
        return loss

    def read(self, prompts: Tensor | Prefilled, hints: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The states that predict the answer tokens, [B, A, D], and the logits of every extra head there, [B, A, V]."""
        if self.depth != "block":
            hidden = states(self.model, prompts, hints)
            return hidden, [self.model.unembed(head(hidden)) for head in self.heads]
        assert isinstance(prompts, Tensor)
        every = self.model(torch.cat([prompts, hints], dim=1))  # [B, P + A - 1, D]
        count = hints.shape[1] + 1
        return every[:, -count:], [head.unembed(head(every, last=count)) for head in self.heads]  # type: ignore[operator]

    @torch.no_grad()
    def answer_in_passes(self, prompts: Tensor) -> Tensor:
        """Answers [B, A], n tokens from every pass through the model: one from each head."""
        answers = prompts.new_zeros(len(prompts), 0)
        while (known := answers.shape[1]) < self.answer_length:
            hidden, ahead = self.read(prompts, answers)
            last = [self.model.unembed(hidden)[:, -1], *(one[:, -1] for one in ahead)]
            tokens = torch.stack(last, dim=1).argmax(dim=-1)  # [B, n]
            answers = torch.cat([answers, tokens[:, : self.answer_length - known]], dim=1)
        return answers
