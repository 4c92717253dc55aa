"""The ladder: teacher forcing, and one state that has read only the prompt is asked for chosen later tokens, too."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from lookahead.contracts import Loss, Needs
from lookahead.errors import LookaheadError
from lookahead.kinds import Range
from lookahead.objectives.heads import extra_heads, token_losses
from lookahead.objectives.sequences import answer_loss, refuse_different_lengths, states, tokens_of
from lookahead.objectives.teacher_forcing import TeacherForcing


class Ladder(TeacherForcing, name="ladder"):
    """Teacher forcing plus -sum_r log p_r(a_{A-1-r} | prompt) over the rungs r.

    Rung r is the token r look-ups from the last one: on the path-star task, rung 0 is the goal, rung 1 its parent, and
    the top rung, A - 2, the decision. A *blind state* has read the prompt and nothing that helps with the decision: the
    last token of the prompt, or the one before the decision. Teacher forcing asks a blind state for the top rung alone.

    Args:
        rungs: each has a head of its own; one may be asked for twice.
        at: the blind state, that of the "prompt" or that before the "decision".
        of: whose tokens: the "answer"'s, or as a control those of the "decoy", the wrong arm; of "either", at random
            for each example; or the "smaller" label of the two, which is named without knowing the answer.
        weight: of every rung's loss; that of teacher forcing is the mean over the answer's tokens.

    Raises:
        LookaheadError: no rung, or one that the blind state is not ahead of; a task whose answers differ in length.
    """

    def __init__(
        self,
        model: Any,
        task: Any,
        *,
        rungs: Sequence[int],
        at: Literal["prompt", "decision"] = "decision",
        of: Literal["answer", "decoy", "either", "smaller"] = "answer",
        weight: Annotated[float, Range(above=0)] = 1.0,
    ) -> None:
        super().__init__(model, task)
        rungs, at, of, weight = self.checked(rungs=rungs, at=at, of=of, weight=weight).values()
        self.state = task.decision if at == "decision" else 0
        highest = self.answer_length - 2 - self.state
        self.rungs = list(rungs)
        if not self.rungs or not all(0 <= rung <= highest for rung in self.rungs):
            raise LookaheadError(
                f"from that state there are the rungs 0 (the last token) to {highest}, not {list(rungs)}"
            )
        refuse_different_lengths(task, "rungs are counted from the last token")
        self.decoys, self.of = task.decoys, of
        self.weight = weight
        self.heads = extra_heads(model, len(self.rungs), "mlp")

    @classmethod
    def needs(cls, prompt_length: int, answer_length: int, **options: Any) -> Needs:
        return Needs(longest=prompt_length + answer_length - 1, noise=int(options.get("of") == "either"))

    def asked(self, prompts: Tensor, answers: Tensor, noise: Tensor | None) -> Tensor:
        """Whose tokens the heads are asked for, [B, A]."""
        if self.of == "answer":
            return answers
        decoys = self.decoys(prompts, answers)
        if decoys is None:
            raise LookaheadError(f"rungs of {self.of!r} are tokens of a decoy, and the task knows none: take 'answer'")
        if self.of == "decoy":
            return decoys
        if self.of == "smaller":
            return torch.minimum(answers, decoys)
        if noise is None:
            raise LookaheadError("the coin for each example is drawn from noise [B, A]: Objective.noise gives it")
        return torch.where(noise[:, :1] < 0.5, answers, decoys)

    def forward(
        self, prompts: Any, answers: Tensor, noise: Tensor | None = None, progress: Tensor | None = None
    ) -> Loss:
        hidden = states(self.model, prompts, answers[:, :-1])  # [B, A, D]
        loss = answer_loss(self.model.unembed(hidden), answers, self.mask(answers))
        asked = self.asked(tokens_of(prompts), answers, noise)
        blind = hidden[:, self.state : self.state + 1]  # [B, 1, D]
        for i, (rung, head) in enumerate(zip(self.rungs, self.heads, strict=True)):
            target = asked[:, self.answer_length - 1 - rung, None]
            logits = self.model.unembed(head(blind))
            part = token_losses(logits, target).mean()
            name = f"rung {rung}" + ", again" * self.rungs[:i].count(rung)
            loss.parts[name] = part
            loss.parts[f"{name} right"] = (logits.argmax(dim=-1) == target).float().mean()
            loss.total = loss.total + self.weight * part
        return loss
