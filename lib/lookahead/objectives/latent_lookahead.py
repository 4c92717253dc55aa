"""Latent lookahead: before it decides, a model reads its own states, each of them asked for one token further on."""

from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from lookahead.contracts import Loss, Needs, Objective
from lookahead.errors import LookaheadError
from lookahead.kinds import Count, Range
from lookahead.objectives.heads import counted_mean, token_losses
from lookahead.objectives.sequences import Prefilled, answer_loss, generate, refuse_different_lengths


class LatentLookahead(Objective, name="latent_lookahead"):
    """-sum_i log p(a_i | prompt, a_0 ... a_{i-1}, z) - weight / n sum_j log p(a_{s+j-1} | z_j) for j = 1 ... n.

    z_1 is the state that predicts a_s in teacher forcing; z_{j+1} is the state at z_j, which is read as if it were the
    embedding of a token:

        input       the prompt   =    a_0   z_1   z_2   z_3   a_1   a_2
        predicts                 a_0  a_1   a_2   a_3   a_1   a_2   a_3
        state                         z_1   z_2   z_3

    for s = 1 and n = 3. So a_s is predicted a second time, by the state that has read all latents z, and so is what
    follows; that is the answer (Noci et al., 2026: "latent lookahead"). All states before it know the prompt alone.

    Open in what is published of it, chosen here: the latents are those of one place, s; what is fed back is the state
    before the final norm, so that the blocks go on where they were; gradients go through all steps.

    In training the sequence is read anew for every step, n + 1 times; an answer reads it once.

    Backward, z_j is asked for the j-th token from the end instead, a_{A-j}: a plan from the goal on, while the answer
    is given in the task's order. No publication is known for that.

    Args:
        steps: n, how many latents there are.
        at: s, that of the first answer token ("prompt") or of the "decision".
        order: in which the latents are asked for what is to come: "forward" from a_s on, or "backward" from the end.
        weight: of the latents' loss, which is their mean.

    Raises:
        LookaheadError: more steps than there are tokens to come; backward, a task whose answers differ in length.
    """

    def __init__(
        self,
        model: Any,
        task: Any,
        *,
        steps: Count,
        at: Literal["prompt", "decision"] = "decision",
        order: Literal["forward", "backward"] = "forward",
        weight: Annotated[float, Range(above=0)] = 1.0,
    ) -> None:
        super().__init__(model, task)
        checked = self.checked(steps=steps, at=at, order=order, weight=weight)
        self.steps, at, order, self.weight = checked.values()
        self.backward_first = order == "backward"
        if self.backward_first:
            refuse_different_lengths(task, "a plan from the end on would begin with filling")
        self.place = task.decision if at == "decision" else 0
        if (coming := self.answer_length - self.place) < self.steps:
            raise LookaheadError(
                f"from that state {coming} tokens are to come: it cannot look {self.steps} steps ahead"
            )

    @classmethod
    def needs(cls, prompt_length: int, answer_length: int, **options: Any) -> Needs:
        return Needs(longest=prompt_length + answer_length - 1 + options["steps"])

    def forward(
        self, prompts: Tensor, answers: Tensor, noise: Tensor | None = None, progress: Tensor | None = None
    ) -> Loss:
        first, end = self.place, self.place + self.steps
        read = self.model.embed(torch.cat([prompts, answers[:, :first]], dim=1))
        for _ in range(self.steps):
            read = torch.cat([read, self.model(read, last=1)], dim=1)
        read = torch.cat([read, self.model.embed(answers[:, first:-1])], dim=1)  # [B, P + A - 1 + n, D]
        hidden = self.model(read, last=self.answer_length + self.steps)
        mask = self.mask(answers)
        others = torch.cat([hidden[:, :first], hidden[:, end:]], dim=1)  # [B, A, D]
        loss = answer_loss(self.model.unembed(others), answers, mask)
        asked = answers[:, first:end]
        if self.backward_first:
            asked = answers[:, -self.steps :].flip(1)
        latent = token_losses(self.model.unembed(hidden[:, first:end]), asked)
        loss.parts["latents"] = counted_mean(latent, None if mask is None else mask[:, first:end])
        loss.total = loss.total + self.weight * loss.parts["latents"]
        return loss

    @torch.no_grad()
    def answer(self, prompts: Tensor, given: Tensor | None = None) -> Tensor:
        """Autoregressive, with the latents in their place."""
        given = prompts[:, :0] if given is None else given
        begun = generate(self.model, prompts, self.place, given[:, : self.place])
        hidden, cache = self.model.decode(torch.cat([prompts, begun], dim=1), last=1)
        for _ in range(self.steps):
            hidden, cache = self.model.decode(hidden, cache, last=1)
        read = Prefilled(prompts, hidden, cache)
        rest = generate(self.model, read, self.answer_length - self.place, given[:, self.place :])
        return torch.cat([begun, rest], dim=1)
