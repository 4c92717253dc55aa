"""Reward instead of a loss on tokens: the probability that a sampled answer is the right one."""

from typing import Any

from torch import Tensor

from lookahead.contracts import Loss
from lookahead.objectives.teacher_forcing import TeacherForcing


class ExpectedReward(TeacherForcing, name="expected_reward"):
    """-p(a | prompt), the product of the probabilities of all answer tokens: the negative expected reward of sampling.

    An answer that is sampled from the model gets a reward of 1 if it is the one right answer, else 0. Its expectation
    is p = p(a | prompt), and the policy gradient, which REINFORCE estimates by sampling (Williams, 1992), is p times
    the gradient of log p: that of teacher forcing, example by example, weighted by how often the network is right. One
    pass with the true tokens gives it exactly. With several right answers it would not be the expected reward.
    """

    def forward(
        self, prompts: Any, answers: Tensor, noise: Tensor | None = None, progress: Tensor | None = None
    ) -> Loss:
        loss = super().forward(prompts, answers)
        reward = (-loss.tokens.nansum(dim=1)).exp().mean()
        return Loss(-reward, loss.tokens, loss.predictions, {"reward": reward})
