"""The next state: a small network foretells from a state and the token after it the state that the model has there."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookahead.contracts import Loss
from lookahead.errors import LookaheadError
from lookahead.kinds import Count
from lookahead.objectives.heads import counted_mean, linear, width_of
from lookahead.objectives.sequences import Prefilled, answer_loss, exact, prefill, states, tokens_of
from lookahead.objectives.teacher_forcing import TeacherForcing


class Dynamics(nn.Module):
    """h + f([x ; h]), for a state h and the embedding x of the token after it: a guess at the next state.

    f is a norm, then three layers without biases; the inner ones have the width of the state.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.RMSNorm(2 * width),
            linear(2 * width, width),
            nn.GELU("tanh"),
            linear(width, width),
            nn.GELU("tanh"),
            linear(width, width),
        )

    def forward(self, state: Tensor, token: Tensor) -> Tensor:
        return state + self.layers(torch.cat([token, state], dim=-1))


class NextLatent(TeacherForcing, name="next_latent"):
    """Teacher forcing + mean_k [mean_t S(h_{t+k} - g_t^k) + mean_t KL(p(h_{t+k}) || p(g_t^k))] for k = 1 ... d.

    h_t is the state at token t, after the final norm; p(h) are the probabilities that the output matrix makes of it.
    g_t^k is the guess at h_{t+k} after k steps of `Dynamics` from h_t, which read the true tokens on the way and no
    prompt. S is the smooth L1 distance, its mean over the numbers of a state. No gradient goes into what is guessed at,
    nor into the output matrix of KL; into the guesses, the embeddings they read and the states they start from it does
    (Teoh et al., 2025, "NextLat", equations 3 to 5 and 9; both weights 1).

    S is taken over all states, those of the prompt as well, KL over the guesses at the states from `=` on: those that
    predict the answer. The paper has an end token, of which there is none here: answers have a known length. What it
    leaves open: guesses step in the sequence of teacher forcing, so the last state guessed at is the one that predicts
    the last answer token. A model answers without the guesses.

    Args:
        horizon: d, how many steps each guess goes; the paper takes the tokens of the path less 2.

    Raises:
        LookaheadError: more steps than there are states in an answer after the first.
    """

    weight = 1.0

    def __init__(self, model: Any, task: Any, *, horizon: Count) -> None:
        super().__init__(model, task)
        self.horizon = self.checked(horizon=horizon)["horizon"]
        if self.horizon >= self.answer_length:
            raise LookaheadError(
                f"an answer of {self.answer_length} tokens has {self.answer_length - 1} states after the first: "
                f"a guess cannot go {self.horizon} steps"
            )
        self.dynamics = Dynamics(width_of(model))

    def prefill(self, prompts: Tensor) -> Prefilled:
        return prefill(self.model, prompts, whole=True)

    def forward(
        self, prompts: Any, answers: Tensor, noise: Tensor | None = None, progress: Tensor | None = None
    ) -> Loss:
        latents = self.model.norm(states(self.model, prompts, answers[:, :-1], whole=True))  # [B, T, D], T = P + A - 1
        mask = self.mask(answers)
        loss = answer_loss(F.linear(latents[:, -self.answer_length :], self.model.output), answers, mask)
        embedded = self.model.embed(torch.cat([tokens_of(prompts), answers[:, :-1]], dim=1))  # [B, T, D]
        there = latents.detach()
        expected = self.logs(there[:, -self.answer_length :])  # [B, A, V]
        counts = None if mask is None else F.pad(mask, (self.prompt_length - 1, 0), value=True)  # [B, T]
        guesses, latent, token = latents, [], []
        for k in range(1, self.horizon + 1):
            guesses = self.dynamics(guesses[:, :-1], embedded[:, k:])  # at the states k ... T - 1
            distances = F.smooth_l1_loss(exact(guesses), exact(there[:, k:]), reduction="none").mean(dim=-1)
            latent.append(counted_mean(distances, None if counts is None else counts[:, k:]))
            logs = self.logs(guesses[:, -self.answer_length :])
            aims = expected[:, -logs.shape[1] :]
            divergences = (aims.exp() * (aims - logs)).sum(dim=-1)
            token.append(counted_mean(divergences, None if mask is None else mask[:, -logs.shape[1] :]))
        loss.parts = {"latent": torch.stack(latent).mean(), "token": torch.stack(token).mean()}
        loss.total = loss.total + self.weight * sum(loss.parts.values())
        return loss

    def logs(self, latents: Tensor) -> Tensor:
        """log p, [..., V], of states after the norm, [..., D], by an output matrix that gets no gradient."""
        return exact(F.linear(latents, self.model.output.detach())).log_softmax(dim=-1)
