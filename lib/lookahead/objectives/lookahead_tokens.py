"""Lookahead tokens: before the decision some sequences say a later token of the answer, between two marks."""

from typing import Annotated, Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from lookahead.contracts import Loss, Needs
from lookahead.errors import LookaheadError
from lookahead.kinds import Count, Range
from lookahead.objectives.heads import counted_mean, token_losses
from lookahead.objectives.sequences import generate, needed, prefill, read, refuse_different_lengths
from lookahead.objectives.teacher_forcing import TeacherForcing


class LookaheadTokens(TeacherForcing, name="lookahead_tokens"):
    """Teacher forcing, in a share of the examples on a_0 ... a_{D-1} <T> z </T> a_D ... a_{A-1}, where a_D is the
    decision and z a piece of what comes after it (Thankaraj et al., 2025, "Trelawney").

    All answer tokens are taught, z and </T> too. Only <T> is not, so that it is never said unasked. The loss is the
    mean over the tokens that are taught. In general the paper draws z and the place where it is put; what they are in
    this task, it leaves open: here z stands before the decision, has one length, and starts anywhere after it, drawn
    anew for every example of every step ("random" there), or always at one rung ("fixed"). <T> and </T> are two
    reserved tokens.

    Where the loss is measured, that of a token and the predictions are those without z, as in teacher forcing. What was
    descended is the part "drawn".

    Args:
        rung: where z starts: 0 is the last token, 1 the one before it, as in `Ladder`; random if not given.
        length: tokens in z.
        share: of the examples that have z.
        answering: "plain", as in teacher forcing, or with "lookahead": <T> is put before the decision, the model says
            z, </T> is put after it, and the model goes on.

    Raises:
        LookaheadError: no place for z after the decision; a task whose answers differ in length.
    """

    of_answer: Tensor
    """Where the tokens of an answer stand in a sequence without z and in one with it, [2, A]."""
    taught: Tensor
    """Which tokens are, without z and with it, [2, L]."""

    def __init__(
        self,
        model: Any,
        task: Any,
        *,
        rung: Annotated[int, Range(least=0)] | None = None,
        length: Count = 1,
        share: Annotated[float, Range(above=0, most=1)] = 0.5,
        answering: Literal["plain", "lookahead"] = "plain",
    ) -> None:
        super().__init__(model, task)
        options = self.checked(rung=rung, length=length, share=share, answering=answering)
        self.rung, self.length, self.share, self.answering = options.values()
        refuse_different_lengths(task, "the token looked ahead to is counted from the last one")
        self.decision = task.decision
        highest = self.answer_length - 2 - self.decision  # of what comes after the decision
        if self.length > highest + 1:
            raise LookaheadError(f"{highest + 1} tokens come after the decision: length is at most that")
        if self.rung is not None and not self.length - 1 <= self.rung <= highest:
            raise LookaheadError(
                f"{self.length} tokens after the decision start at a rung from {self.length - 1} to {highest}, "
                f"not {self.rung}"
            )
        self.starts = highest + 2 - self.length
        places = torch.arange(self.answer_length)
        with_it = torch.where(places < self.decision, places, places + self.length + 2)
        steps = torch.arange(self.answer_length + self.length + 2)
        self.register_buffer("of_answer", torch.stack([places, with_it]), persistent=False)
        taught = torch.stack([steps < self.answer_length, steps != self.decision])
        self.register_buffer("taught", taught, persistent=False)

    @classmethod
    def needs(cls, prompt_length: int, answer_length: int, **options: Any) -> Needs:
        return Needs(prompt_length + answer_length + options.get("length", 1) + 1, extra_tokens=2, noise=1)

    def forward(
        self, prompts: Any, answers: Tensor, noise: Tensor | None = None, progress: Tensor | None = None
    ) -> Loss:
        sequence, which = self.draw(answers, needed(noise))
        logits = read(self.model, prompts, sequence[:, :-1])  # [B, L, V]
        losses = token_losses(logits, sequence)
        total = counted_mean(losses, self.taught[which])
        if progress is None:
            loss = super().forward(prompts, answers)
            return Loss(total, loss.tokens, loss.predictions, {"drawn": total})
        places = self.of_answer[which]
        return Loss(total, losses.gather(1, places), logits.argmax(dim=-1).gather(1, places), {"drawn": total})

    def draw(self, answers: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """What comes after the prompt, [B, L], filled up where there is no z; and whether there is, [B], 0 or 1.

        Args:
            noise: [B, A], of which the first two numbers are used.
        """
        starts = self.decision + 1 + (noise[:, 1:2] * self.starts).long()  # [B, 1]
        if self.rung is not None:
            starts = torch.full_like(starts, self.answer_length - 1 - self.rung)
        ahead = answers.gather(1, starts + torch.arange(self.length, device=answers.device))
        mark = torch.full_like(starts, self.dummy)
        first, rest = answers[:, : self.decision], answers[:, self.decision :]
        longer = torch.cat([first, mark, ahead, mark + 1, rest], dim=1)
        plain = F.pad(answers, (0, self.length + 2), value=self.dummy)
        which = noise[:, 0] < self.share
        return torch.where(which[:, None], longer, plain), which.long()

    def answer(self, prompts: Any, given: Tensor | None = None) -> Tensor:
        """Autoregressive; no lookahead where the decision is given."""
        if self.answering == "plain" or (given is not None and given.shape[1] > self.decision):
            return super().answer(prompts, given)
        prompts = prefill(self.model, prompts) if isinstance(prompts, Tensor) else prompts
        mark = prompts.tokens.new_full((len(prompts.tokens), 1), self.dummy)
        length = self.decision
        said = generate(self.model, prompts, length, given)
        for token, more in ((mark, self.length), (mark + 1, self.answer_length - self.decision)):
            length += 1 + more
            said = generate(self.model, prompts, length, torch.cat([said, token], dim=1))
        return said[:, self.of_answer[1]]
