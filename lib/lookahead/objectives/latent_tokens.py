"""Latent tokens: after what is known come slots for the tokens to come; all are predicted, only the first is kept."""

from typing import Any, Literal

import torch
from torch import Tensor

from lookahead.contracts import Loss, Needs, Objective
from lookahead.errors import LookaheadError
from lookahead.kinds import Count
from lookahead.objectives.heads import counted_mean, token_losses
from lookahead.objectives.sequences import answer_loss, begun


class LatentTokens(Objective, name="latent_tokens"):
    """-sum_k sum_i log p_k(a_{i+k-1} | prompt, a_0 ... a_{i-1}, n slots) for k = 1 ... n (He et al., 2026).

    A slot is the dummy `$` at the place of a token to come; slot k predicts the token of its own place. The slots see
    the prompt, the tokens so far and one another, also those after them; nothing else sees them. So the first slot,
    which gives the next token, is helped by what the others have found, in training and in answering. At the first
    token, n = A is teacherless training with slots that look both ways; n = 1 is teacher forcing with one more token
    to think.

    Open in what is published of it, chosen here: after the last tokens of an answer come no more slots than there are
    tokens to come; the tokens so far are read causally and taught nothing. In training the slots of all i stand in
    one sequence, each with a mask that keeps the others' out.

    Args:
        tokens: n, how many slots there are.
        weighting: the loss of the slots after the first is their "sum" or their "mean".

    Raises:
        LookaheadError: more slots than an answer has tokens.
    """

    positions: Tensor
    seen: Tensor

    def __init__(self, model: Any, task: Any, *, tokens: Count, weighting: Literal["sum", "mean"] = "sum") -> None:
        super().__init__(model, task)
        self.tokens, weighting = self.checked(tokens=tokens, weighting=weighting).values()
        if self.tokens > self.answer_length:
            raise LookaheadError(f"an answer has {self.answer_length} tokens: there cannot be {self.tokens} slots")
        self.weight = 1.0 if weighting == "sum" else 1 / max(1, self.tokens - 1)
        self.counts = [self.answer_length - k for k in range(self.tokens)]
        """Of the first slots, of the second ones, and so on: as they stand after the answer."""
        read = self.prompt_length + self.answer_length - 1
        known = torch.cat([torch.arange(count) for count in self.counts])  # i, how many tokens a slot may know
        ahead = torch.repeat_interleave(torch.arange(self.tokens), torch.tensor(self.counts))  # k - 1
        everything = torch.arange(read)
        prefix = everything < self.prompt_length + known[:, None]
        seen = torch.ones(read + len(known), read + len(known), dtype=torch.bool).tril()
        seen[read:] = torch.cat([prefix, known[:, None] == known], dim=1)
        self.register_buffer("positions", torch.cat([everything, self.prompt_length + known + ahead]), persistent=False)
        self.register_buffer("seen", seen, persistent=False)

    @classmethod
    def needs(cls, prompt_length: int, answer_length: int, **options: Any) -> Needs:
        return Needs(longest=prompt_length + answer_length, extra_tokens=1, attention="masked")

    def forward(
        self, prompts: Tensor, answers: Tensor, noise: Tensor | None = None, progress: Tensor | None = None
    ) -> Loss:
        slots = prompts.new_full((len(prompts), sum(self.counts)), self.dummy)
        read = torch.cat([prompts, answers[:, :-1], slots], dim=1)
        hidden = self.model(read, self.positions, self.seen, last=slots.shape[1])
        first, *later = self.model.unembed(hidden).split(self.counts, dim=1)  # [B, A - k + 1, V] of slots k
        mask = self.mask(answers)
        loss = answer_loss(first, answers, mask)
        for k, logits in enumerate(later, 1):
            part = counted_mean(token_losses(logits, answers[:, k:]), None if mask is None else mask[:, k:])
            loss.parts[f"slot {k + 1}"] = part
            loss.total = loss.total + self.weight * part
        return loss

    @torch.no_grad()
    def answer(self, prompts: Tensor, given: Tensor | None = None) -> Tensor:
        """Autoregressive, each token from the first of its slots; the whole is read anew for each."""
        answers = begun(prompts, given, self.answer_length)
        while (known := answers.shape[1]) < self.answer_length:
            slots = prompts.new_full((len(prompts), min(self.tokens, self.answer_length - known)), self.dummy)
            read = torch.cat([prompts, answers, slots], dim=1)
            seen = torch.ones(read.shape[1], read.shape[1], dtype=torch.bool, device=read.device).tril()
            seen[-slots.shape[1] :] = True
            hidden = self.model(read, attention=seen, last=slots.shape[1])
            answers = torch.cat([answers, self.model.unembed(hidden[:, :1]).argmax(dim=-1)], dim=1)
        return answers
