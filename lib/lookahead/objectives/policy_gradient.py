"""Reward for answers that the network gives itself: the policy gradient, estimated by sampling."""

from typing import Annotated, Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from lookahead.contracts import Loss, Model, Needs, Objective
from lookahead.errors import LookaheadError
from lookahead.kinds import Range
from lookahead.objectives.sequences import (
    answer_loss,
    exact,
    generate,
    needed,
    read,
    refuse_different_lengths,
)
from lookahead.objectives.teacher_forcing import TeacherForcing

SMALLEST = 1e-4
"""Added to the deviation of rewards that advantages are divided by; without it, rewards that are alike would divide by
zero."""


class PolicyGradient(TeacherForcing, name="policy_gradient"):
    """-sum_i log p(b_i | prompt, b_0 ... b_{i-1}) times the advantage of b, an answer that the model gave.

    The reward of an answer is 1 if it is right, else 0. Its *advantage* is the reward itself (REINFORCE: Williams,
    1992), the reward minus the mean of its group, or that divided by the group's deviation (Shao et al., 2024: "GRPO",
    with one gradient step on each group, where its ratio and clipping change nothing, and without a reference model).
    A group is all answers to one prompt, or the whole batch where each prompt is answered once.

    In expectation the first two are the gradient of `expected_reward`, in proportion; a mean that holds the answer's
    own reward makes it smaller by 1 / n for n answers in a group. Greedy answers do not explore: where they are right
    they become more likely, and no other answer is ever tried.

    Where the loss is measured, that of a token and the predictions are those of teacher forcing.

    Args:
        samples: answers to each prompt; as many times larger is the batch that the model is taught on.
        advantage: the "reward", or it "centred" or "normalised" as above.
        greedy: the most probable answer instead of a random one.

    Raises:
        LookaheadError: several greedy answers to a prompt, which would be the same; answers that differ in length.
    """

    prefill = Objective.prefill  # a prompt is read once for each of its answers

    def __init__(
        self,
        model: Any,
        task: Any,
        *,
        samples: Annotated[int, Range(least=1)] = 1,
        advantage: Literal["reward", "centred", "normalised"] = "reward",
        greedy: bool = False,
    ) -> None:
        super().__init__(model, task)
        checked = self.checked(samples=samples, advantage=advantage, greedy=greedy)
        self.samples, self.advantage, self.greedy = checked.values()
        if self.greedy and self.samples > 1:
            raise LookaheadError(f"{self.samples} greedy answers to a prompt are the same: samples=1, or greedy=False")
        refuse_different_lengths(task, "an answer that ends elsewhere has other tokens that count")
        self.correct = task.correct

    @classmethod
    def needs(cls, prompt_length: int, answer_length: int, **options: Any) -> Needs:
        return Needs(longest=prompt_length + answer_length - 1, noise=0 if options["greedy"] else options["samples"])

    def forward(
        self, prompts: Tensor, answers: Tensor, noise: Tensor | None = None, progress: Tensor | None = None
    ) -> Loss:
        given = self.drawn(prompts, noise)  # [B, n, A]
        rewards = self.rewards(prompts, answers, given)  # [B, n]
        many = prompts.repeat_interleave(self.samples, dim=0)
        spoken = answer_loss(read(self.model, many, given.flatten(0, 1)[:, :-1]), given.flatten(0, 1))
        costs = spoken.tokens.sum(dim=1).view_as(rewards)  # -log p(b), [B, n]
        with torch.no_grad():
            taught = super().forward(prompts, answers)
        total = (self.advantages(rewards) * costs).mean()
        return Loss(total, taught.tokens, taught.predictions, {"reward": rewards.mean()})

    @torch.no_grad()
    def drawn(self, prompts: Tensor, noise: Tensor | None) -> Tensor:
        """The model's own answers, [B, n, A], from noise [B, A] for one of each, [B, A, n] for more."""
        if self.greedy:
            return generate(self.model, prompts, self.answer_length)[:, None]
        numbers = needed(noise)
        numbers = (numbers[..., None] if numbers.dim() == 2 else numbers).movedim(2, 1).flatten(0, 1)  # [B n, A]
        many = prompts.repeat_interleave(self.samples, dim=0)
        return draw_answers(self.model, many, self.answer_length, numbers).unflatten(0, (-1, self.samples))

    def rewards(self, prompts: Tensor, answers: Tensor, given: Tensor) -> Tensor:
        """1 for each right one of the answers [B, n, A], else 0: [B, n]."""
        judged = [self.correct(prompts, answers, one) for one in given.unbind(1)]
        return torch.stack(judged, dim=1).float()

    def advantages(self, rewards: Tensor) -> Tensor:
        """[B, n], from rewards [B, n]."""
        if self.advantage == "reward":
            return rewards
        group = 1 if self.samples > 1 else 0
        centred = rewards - rewards.mean(dim=group, keepdim=True)
        if self.advantage == "centred":
            return centred
        return centred / (centred.square().mean(dim=group, keepdim=True).sqrt() + SMALLEST)


@torch.no_grad()
def draw_answers(model: Model, prompts: Tensor, length: int, noise: Tensor | None) -> Tensor:
    """Answers [B, length], each token drawn by its probability, from noise [B, length].

    Raises:
        LookaheadError: there is no noise.
    """
    columns = iter(needed(noise).split(1, dim=1))

    def throw(hidden: Tensor, token: Tensor) -> Tensor:
        """A token by its probability, as logits that are 1 for it alone: [B, 1, V]."""
        below = exact(model.unembed(hidden)).softmax(dim=-1).cumsum(dim=-1)
        chosen = (below < next(columns)[..., None]).sum(dim=-1).clamp(max=model.vocab_size - 1)
        return F.one_hot(chosen, model.vocab_size).to(below.dtype)

    return generate(model, prompts, length, unembed=throw)
