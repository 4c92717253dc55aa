"""A belief state: from what was read and from how the answer ends, the next token and the one before that end."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookahead.contracts import Loss, Needs
from lookahead.objectives.heads import linear, token_losses, width_of
from lookahead.objectives.sequences import PromptFirst, generate, refuse_different_lengths, states, tokens_of


class TwoWay(nn.Module):
    """norm(x + MLP(x)) for x = [forward state ; backward state], an MLP with a gate (SwiGLU, 8/3 as wide)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = 16 * width // 3
        self.gate, self.into, self.out = linear(2 * width, inner), linear(2 * width, inner), linear(inner, 2 * width)
        self.norm = nn.RMSNorm(2 * width)

    def forward(self, read: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
        """What predicts the next token and what the previous one, [..., D] each, from states [..., D] of the two."""
        x = torch.cat([read, ends], dim=-1)
        x = self.norm(x + self.out(F.silu(self.gate(x)) * self.into(x)))
        ahead, back = x.chunk(2, dim=-1)
        return ahead, back


class BeliefState(PromptFirst, name="belief_state"):
    """-sum_{i<j} [log p(a_i | f_i, b_j) + log p'(a_{j-1} | f_i, b_j)] for 0 <= i < j <= A (Hu et al., 2025, "BST").

    f_i is the model's state that has read the prompt and a_0 ... a_{i-1}; b_j is the state of a second encoder, of the
    same size, that has read the end $ of the answer and a_{A-1} ... a_j, backwards, and never the prompt. Both are
    taken after the final norm of their encoder; `TwoWay` joins them. Embeddings and output matrix are one for all. The
    sum is a mean over the pairs.

    Left out, as in the authors' code, are pairs with no token between the two, which would ask for what the encoders
    have read, and states before `=`. The code halves the loss; here it is the paper's sum.

    The loss of a token, the predictions and the answers are those with b_A, the end alone, which is the same vector
    for every prompt: answering needs no more of the second encoder than that.

    Raises:
        LookaheadError: a task whose answers differ in length; the end of a shorter one would be its filling.
    """

    next: Tensor
    """i, the place of the next token, of every pair."""
    previous: Tensor
    """j - 1, the place of the previous token, of every pair."""
    unaided: Tensor
    """The pairs with b_A, one for each i."""

    def __init__(self, model: Any, task: Any) -> None:
        super().__init__(model, task)
        refuse_different_lengths(task, "ends are read from the last token")
        self.backward_encoder = model.fresh(shared=True)
        self.join = TwoWay(width_of(model))
        pairs = torch.triu_indices(self.answer_length, self.answer_length)
        self.register_buffer("next", pairs[0], persistent=False)
        self.register_buffer("previous", pairs[1], persistent=False)
        self.register_buffer("unaided", (pairs[1] == self.answer_length - 1).nonzero()[:, 0], persistent=False)

    @classmethod
    def needs(cls, prompt_length: int, answer_length: int, **options: Any) -> Needs:
        return Needs(longest=prompt_length + answer_length - 1, extra_tokens=1)

    def forward(
        self, prompts: Any, answers: Tensor, noise: Tensor | None = None, progress: Tensor | None = None
    ) -> Loss:
        read = self.model.norm(states(self.model, prompts, answers[:, :-1]))  # f_0 ... f_{A-1}, [B, A, D]
        ends = self.ends(answers)  # b_1 ... b_A, [B, A, D]
        ahead, back = self.join(read[:, self.next], ends[:, self.previous])  # [B, pairs, D]
        logits = F.linear(ahead, self.model.output)
        following = token_losses(logits, answers[:, self.next])  # [B, pairs]
        preceding = token_losses(F.linear(back, self.model.output), answers[:, self.previous])
        parts = {"next": following.mean(), "previous": preceding.mean()}
        predictions = logits[:, self.unaided].argmax(dim=-1)
        return Loss(parts["next"] + parts["previous"], following[:, self.unaided], predictions, parts)

    def ends(self, answers: Tensor) -> Tensor:
        """The states b_1 ... b_A, [B, A, D], of the ends of answers [B, A]; of none, [B, 0], b_A alone."""
        end = answers.new_full((len(answers), 1), self.dummy)
        read = torch.cat([end, answers[:, 1:].flip(1)], dim=1)
        return self.backward_encoder.norm(self.backward_encoder(read)).flip(1)

    @torch.no_grad()
    def answer(self, prompts: Any, given: Tensor | None = None) -> Tensor:
        """Autoregressive, towards the end alone."""
        end = self.ends(tokens_of(prompts)[:1, :0])  # [1, 1, D]

        def unembed(hidden: Tensor, token: Tensor) -> Tensor:
            read = self.model.norm(hidden)  # [B, 1, D]
            return F.linear(self.join(read, end.expand_as(read))[0], self.model.output)

        return generate(self.model, prompts, self.answer_length, given, unembed=unembed)
