"""Register tokens: after every state a token that is asked for one farther ahead, and that no other token can see."""

from typing import Annotated, Any

import torch
from torch import Tensor

from lookahead.contracts import Loss, Needs
from lookahead.errors import LookaheadError
from lookahead.kinds import Range
from lookahead.objectives.heads import counted_mean, token_losses
from lookahead.objectives.sequences import answer_loss, needed, tokens_of
from lookahead.objectives.teacher_forcing import TeacherForcing


class RegisterTokens(TeacherForcing, name="register_tokens"):
    """-sum_i log p(a_i | prompt, a_0 ... a_{i-1}) - weight sum_i log p(a_{i+d-1} | prompt, a_0 ... a_{i-1}, $ at i+d-1)
    (Gerontopoulos et al., 2025, "MuToR").

    A register is the dummy `$`, read after `=` and after every answer token that is read. It sees all that stands
    before it but no other register, and no token sees it. The distance d of the token it is asked for is one for each
    example, drawn anew in every step from 2 ... farthest. Its position says it: that of the state which predicts the
    same token as the next one. Registers whose token would lie after the answer are left out.

    Each of the two terms is a mean over its tokens. The paper weighs them with 1 - a and a, which but for a factor is a
    weight of a / (1 - a): 1 and 0.43 on its stars. There the registers stand between the tokens, here after all of
    them, which under such a mask is the same. A model answers without them.

    Args:
        farthest: the largest d; in the paper 4 and 6 on paths of 5 and 10 nodes.
        weight: of the registers' loss.

    Raises:
        LookaheadError: a d that leads out of the answer from every state.
    """

    sees: Tensor
    """Which token may look at which, [T, T]."""

    def __init__(
        self,
        model: Any,
        task: Any,
        *,
        farthest: Annotated[int, Range(least=2)],
        weight: Annotated[float, Range(above=0)] = 1.0,
    ) -> None:
        super().__init__(model, task)
        self.farthest, self.weight = self.checked(farthest=farthest, weight=weight).values()
        if self.farthest > self.answer_length:
            raise LookaheadError(
                f"an answer has {self.answer_length} tokens: farthest is at most that, not {self.farthest}"
            )
        real, registers = self.prompt_length + self.answer_length - 1, self.answer_length - 1
        sees = torch.ones(real + registers, real + registers, dtype=torch.bool).tril()
        sees[real:, :real] = sees[self.prompt_length - 1 : real - 1, :real]
        sees[real:, real:] = torch.eye(registers, dtype=torch.bool)
        self.register_buffer("sees", sees, persistent=False)

    @classmethod
    def needs(cls, prompt_length: int, answer_length: int, **options: Any) -> Needs:
        """Registers need no positions but those that are there."""
        return Needs(prompt_length + answer_length - 1, extra_tokens=1, attention="masked", noise=1)

    def forward(
        self, prompts: Any, answers: Tensor, noise: Tensor | None = None, progress: Tensor | None = None
    ) -> Loss:
        aims = self.draw(needed(noise))  # [B, A - 1]
        inside = aims < self.answer_length
        aims = aims.clamp(max=self.answer_length - 1)
        registers = torch.full_like(aims, self.dummy)
        tokens = torch.cat([tokens_of(prompts), answers[:, :-1], registers], dim=1)
        places = torch.arange(self.prompt_length + self.answer_length - 1, device=aims.device)
        positions = torch.cat([places.expand(len(aims), -1), aims + self.prompt_length - 1], dim=1)
        hidden = self.model(tokens, positions, self.sees, last=2 * self.answer_length - 1)
        logits = self.model.unembed(hidden)
        mask = self.mask(answers)
        loss = answer_loss(logits[:, : self.answer_length], answers, mask)
        counts = inside if mask is None else inside & mask.gather(1, aims)
        losses = token_losses(logits[:, self.answer_length :], answers.gather(1, aims))
        loss.parts["registers"] = counted_mean(losses, counts)
        loss.total = loss.total + self.weight * loss.parts["registers"]
        return loss

    def draw(self, noise: Tensor) -> Tensor:
        """The place i + d - 1 of the token that each register is asked for, [B, A - 1], from noise [B, A]."""
        distances = 2 + (noise[:, :1] * (self.farthest - 1)).long()  # [B, 1]
        return torch.arange(self.answer_length - 1, device=noise.device) + distances - 1
