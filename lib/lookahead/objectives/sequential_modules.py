"""Several tokens, one module after the other: each reads the state below it and the teacher's next token."""

from typing import Annotated, Any

import torch
from torch import Tensor, nn

from lookahead.contracts import Loss, Model
from lookahead.errors import LookaheadError
from lookahead.kinds import Count, Range
from lookahead.objectives.heads import counted_mean, linear, token_losses, width_of
from lookahead.objectives.sequences import Prefilled, answer_loss, prefill, states, tokens_of
from lookahead.objectives.teacher_forcing import TeacherForcing


class Module(nn.Module):
    """block(M [norm(h) ; norm(x)]), for the states h of the module before and the embeddings x of later tokens.

    The block is one of the model's own kind; its embeddings and its output matrix are the model's, its final norm and,
    where it has any, its positions are its own.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        width = width_of(model)
        self.state_norm, self.token_norm = nn.RMSNorm(width), nn.RMSNorm(width)
        self.projection = linear(2 * width, width)
        self.block = model.fresh(1, shared=True)

    def forward(self, hidden: Tensor, embedded: Tensor, last: int | None = None) -> Tensor:
        """States [B, T or last, D] from the states before [B, T, D] and token embeddings [B, T, D]."""
        both = torch.cat([self.state_norm(hidden), self.token_norm(embedded)], dim=-1)
        return self.block(self.projection(both), last=last)


class SequentialModules(TeacherForcing, name="sequential_modules"):
    """-sum_i log p(a_i | prompt, a_0 ... a_{i-1}) - weight / K sum_k sum_i log p_k(a_{i+k} | h_i^k) for k = 1 ... K.

    h_i^k = block_k(M_k [norm(h_i^{k-1}) ; norm(x_{i+k})]), where h_i^0 is the model's state that predicts a_i, and
    x_{i+k} the embedding of the token k places after that state: a_{i+k-1}, from the teacher. A block looks back at
    all of its sequence, the prompt included (DeepSeek-AI, 2024: the "MTP modules" of DeepSeek-V3). So a module that is
    asked for a token has been shown the one before it.

    Open there, chosen here: h^0 is taken before the final norm; a block that has positions counts by i; p_k has a norm
    of its own, as in the released weights. Taught are the states from `=` on, each term a mean over them. A model
    answers without the modules.

    Args:
        modules: K, how many tokens after the next one are predicted.
        weight: of the modules' loss; the report's is 0.3, later 0.1.

    Raises:
        LookaheadError: no token left in an answer for the last module.
    """

    def __init__(
        self, model: Any, task: Any, *, modules: Count, weight: Annotated[float, Range(above=0)] = 0.3
    ) -> None:
        super().__init__(model, task)
        modules, weight = self.checked(modules=modules, weight=weight).values()
        if modules >= self.answer_length:
            raise LookaheadError(
                f"an answer of {self.answer_length} tokens has {self.answer_length - 1} after the next one: "
                f"{modules} modules are too many"
            )
        self.weight = weight / modules
        self.chain = nn.ModuleList(Module(model) for _ in range(modules))

    def prefill(self, prompts: Tensor) -> Prefilled:
        return prefill(self.model, prompts, whole=True)

    def forward(
        self, prompts: Any, answers: Tensor, noise: Tensor | None = None, progress: Tensor | None = None
    ) -> Loss:
        hidden = states(self.model, prompts, answers[:, :-1], whole=True)  # [B, T, D], T = P + A - 1
        mask = self.mask(answers)
        loss = answer_loss(self.model.unembed(hidden[:, -self.answer_length :]), answers, mask)
        embedded = self.model.embed(torch.cat([tokens_of(prompts), answers[:, :-1]], dim=1))  # [B, T, D]
        for k, module in enumerate(self.chain, 1):
            count = self.answer_length - k
            hidden = module(hidden[:, :-1], embedded[:, k:], last=count if k == len(self.chain) else None)
            logits = module.block.unembed(hidden[:, -count:])  # type: ignore[operator, union-attr]
            part = counted_mean(token_losses(logits, answers[:, k:]), None if mask is None else mask[:, k:])
            loss.parts[f"module {k}"] = part
            loss.total = loss.total + self.weight * part
        return loss
