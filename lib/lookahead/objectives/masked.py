"""Any of the answer's tokens hidden: each is predicted from the others that are shown, on both of its sides."""

from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from lookahead.contracts import Loss, Needs, Objective
from lookahead.kinds import Range
from lookahead.objectives.heads import token_losses
from lookahead.objectives.sequences import answer_loss, begun, exact, needed, refuse_different_lengths

LEVELS = 20
"""T, how many shares of hidden tokens there are."""


class Masked(Objective, name="masked"):
    """-sum_{i hidden} log p(a_i | prompt, a_j for all j shown), the dummy `$` in the place of every hidden token.

    In every example of every step others are hidden. "uniform" (Kitouni et al., 2024, "MLM-U"): a number of tokens from
    1 to A, all equally likely, then which; the loss is the mean over them. "levels" (Ye et al., 2025, "MGDM"): a level
    t from 1 to T = 20, then each token with probability t / T, by itself; the loss is their sum over A, times w(t) =
    (T - t + 1) / T. There, a token's loss is also multiplied by (1 - p)^focus, where p is the probability that it was
    given, with focus = 1 (and by 1/4, which is left out).

    A token is predicted at its own place. MLM-U's network is an encoder and a decoder; here it is the one trunk, which
    looks at prompt and answer in both directions. MGDM's answers come with random numbers and may take a token back;
    here the surest token is kept, one in every pass. Both papers' terms are divided by A: a mean over tokens.

    Where the loss is measured, that of a token and the predictions are those with the whole answer hidden. What was
    descended is the part "drawn".

    Args:
        hidden: how the hidden tokens are drawn, as above: "uniform" or "levels".
        focus: the exponent above; 0 for none.
        attention: "full", or "causal": a token is predicted from what is shown before it.
        answering: the order in which an answer is filled in: the most "confident" token first, or from left to right
            ("forward"), each with one pass for every token; or all at "once".

    Raises:
        LookaheadError: a task whose answers differ in length; what is hidden would tell it.
    """

    def __init__(
        self,
        model: Any,
        task: Any,
        *,
        hidden: Literal["uniform", "levels"] = "uniform",
        focus: Annotated[float, Range(least=0)] = 0.0,
        attention: Literal["full", "causal"] = "full",
        answering: Literal["confident", "forward", "once"] = "confident",
    ) -> None:
        super().__init__(model, task)
        options = self.checked(hidden=hidden, focus=focus, attention=attention, answering=answering)
        self.hidden, self.focus, self.attention, self.answering = options.values()
        refuse_different_lengths(task, "what is hidden tells how long an answer is")

    @classmethod
    def needs(cls, prompt_length: int, answer_length: int, **options: Any) -> Needs:
        longest = prompt_length + answer_length
        return Needs(longest, extra_tokens=1, attention=options.get("attention", "full"), noise=2)

    def forward(
        self, prompts: Tensor, answers: Tensor, noise: Tensor | None = None, progress: Tensor | None = None
    ) -> Loss:
        hidden, weights = self.draw(needed(noise))
        logits = self.read(prompts, torch.where(hidden, self.dummy, answers))
        losses = token_losses(logits, answers)  # [B, A]
        weighed = losses
        if self.focus:  # 1 - p, kept from 0, where a power below 1 has no slope
            weighed = losses * (-torch.expm1(-losses)).clamp(min=1e-12) ** self.focus
        total = (torch.where(hidden, weighed, 0).sum(dim=1) * weights).mean()
        if progress is None:
            loss = answer_loss(self.read(prompts, torch.full_like(answers, self.dummy)), answers)
            return Loss(total, loss.tokens, loss.predictions, {"drawn": total})
        return Loss(total, torch.where(hidden, losses, torch.nan), logits.argmax(dim=-1), {"drawn": total})

    def draw(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Which tokens are hidden, [B, A], bool, and what their sum weighs, [B], from noise [B, A, 2]."""
        tokens, share = noise[..., 0], noise[:, 0, 1]
        if self.hidden == "levels":
            level = (share * LEVELS).floor() + 1
            return tokens < level[:, None] / LEVELS, (LEVELS - level + 1) / LEVELS / self.answer_length
        count = (share * self.answer_length).floor() + 1
        return tokens.argsort(dim=1).argsort(dim=1) < count[:, None], 1 / count

    def read(self, prompts: Tensor, shown: Tensor) -> Tensor:
        """Logits of every answer token [B, A, V], from prompts [B, P] and an answer [B, A] with hidden tokens."""
        sequence = torch.cat([prompts, shown], dim=1)
        return self.model.unembed(self.model(sequence, attention=self.attention, last=self.answer_length))

    @torch.no_grad()
    def answer(self, prompts: Tensor, given: Tensor | None = None) -> Tensor:
        """All tokens hidden at first but those that are given; every pass shows one of them, or all."""
        given = begun(prompts, given, self.answer_length)
        known = given.shape[1]
        answers = torch.cat([given, given.new_full((len(given), self.answer_length - known), self.dummy)], dim=1)
        places = torch.arange(self.answer_length, device=answers.device).expand_as(answers)
        hidden = places >= known
        for place in range(known, self.answer_length):
            confidence, tokens = exact(self.read(prompts, answers)).log_softmax(dim=-1).max(dim=-1)  # [B, A] each
            if self.answering == "once":
                return torch.where(hidden, tokens, answers)
            chosen = places == place
            if self.answering == "confident":
                chosen = places == confidence.masked_fill(~hidden, -torch.inf).argmax(dim=1, keepdim=True)
            answers, hidden = torch.where(chosen, tokens, answers), hidden & ~chosen
        return answers
