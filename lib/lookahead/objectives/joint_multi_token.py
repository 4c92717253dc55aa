"""Several tokens jointly: the later ones with the teacher's tokens before them, but all through one state."""

import math
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from lookahead.contracts import Loss
from lookahead.errors import LookaheadError
from lookahead.kinds import Count
from lookahead.objectives.heads import counted_mean, linear, token_losses, width_of
from lookahead.objectives.sequences import answer_loss, generate, states, tokens_of
from lookahead.objectives.teacher_forcing import TeacherForcing


class Fetch(nn.Module):
    """Attention over a few tokens in a row, which knows of all that was read before no more than one state.

    state h, tokens x_0 ... x_{n-1}: z_k = norm(x_k + scale h); output k is what attention finds at z_k when it looks at
    z_0 ... z_k, plus h for all but the first. Heads: four, as far as the width splits into so many.
    """

    vectors: ClassVar = ("closeness",)

    def __init__(self, width: int, tokens: int) -> None:
        super().__init__()
        self.heads = math.gcd(width, 4)
        self.scale = nn.Parameter(torch.tensor(0.1))
        self.norm = nn.LayerNorm(width)
        self.query_key = linear(width, 2 * width)
        self.value = linear(width, width)
        self.out = linear(width, width)
        self.closeness = nn.Parameter(torch.zeros(self.heads, tokens, tokens))
        """Added to what queries and keys say, for every pair of places."""

    def forward(self, state: Tensor, tokens: Tensor) -> Tensor:
        """Outputs [..., n, D] for states [..., D] and embeddings of the tokens [..., n, D]."""
        z = self.norm(tokens + self.scale * state.unsqueeze(-2))
        q, k = self.query_key(z).unflatten(-1, (2, self.heads, -1)).movedim(-3, 0).transpose(-2, -3)
        v = self.value(z).unflatten(-1, (self.heads, -1)).transpose(-2, -3)  # [..., heads, n, D / heads], as q and k
        count = tokens.shape[-2]
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + self.closeness[:, :count, :count]
        later = torch.ones(count, count, dtype=torch.bool, device=z.device).triu(1)
        weights = scores.masked_fill(later, -math.inf).softmax(dim=-1)
        found = self.out((weights @ v).transpose(-2, -3).flatten(-2))
        return torch.cat([found[..., :1, :], found[..., 1:, :] + state.unsqueeze(-2)], dim=-2)


class JointMultiToken(TeacherForcing, name="joint_multi_token"):
    """-sum_k sum_i log p_k(a_{i+k-1} | h_i, a_i ... a_{i+k-2}) for k = 1 ... n (Ahn, Lamb and Langford, 2025, "JTP").

    h_i is the one state, after the final norm, that has read the prompt and a_0 ... a_{i-1}. The tokens after it come
    from the teacher, yet the prompt can be reached only through h_i, which therefore has to hold what will follow from
    them. `Fetch` puts the two together; a norm and the model's output matrix predict. The next token (k = 1) goes this
    way, too, and so does an answer: `Fetch` of h_i and the last token read.

    The form of `Fetch`, and one norm for all k, are those of the code that Teoh et al. (2025) compare with; its later
    tokens weigh as their "mean". Taught are the states from `=` on, for they alone have read the whole prompt.

    Args:
        tokens: n, how many tokens each state predicts, the next one included; 1 has no joint prediction.
        weighting: the loss of the later tokens is their "sum", as above, or their "mean".

    Raises:
        LookaheadError: more tokens than an answer has.
    """

    seen: Tensor

    def __init__(self, model: Any, task: Any, *, tokens: Count, weighting: Literal["sum", "mean"] = "sum") -> None:
        super().__init__(model, task)
        tokens, weighting = self.checked(tokens=tokens, weighting=weighting).values()
        if tokens > self.answer_length:
            raise LookaheadError(f"an answer has {self.answer_length} tokens: a state cannot predict {tokens}")
        self.tokens = tokens
        self.weight = 1.0 if weighting == "sum" else 1 / max(1, tokens - 1)
        width = width_of(model)
        self.fetch = Fetch(width, tokens)
        self.norm = nn.RMSNorm(width)
        places = torch.arange(self.answer_length)[:, None] + torch.arange(tokens)
        # beyond the answer stands its last token: what is predicted there is not taught, and reaches nothing before it
        self.register_buffer("seen", places.clamp(max=self.answer_length - 1), persistent=False)

    def forward(
        self, prompts: Any, answers: Tensor, noise: Tensor | None = None, progress: Tensor | None = None
    ) -> Loss:
        hidden = states(self.model, prompts, answers[:, :-1])  # [B, A, D]
        read = torch.cat([tokens_of(prompts)[:, -1:], answers[:, :-1]], dim=1)  # the token at each state, [B, A]
        logits = self.read(hidden, read[:, self.seen])  # [B, A, n, V]
        mask = self.mask(answers)
        loss = answer_loss(logits[:, :, 0], answers, mask)
        for k in range(1, self.tokens):
            losses = token_losses(logits[:, : self.answer_length - k, k], answers[:, k:])
            part = counted_mean(losses, None if mask is None else mask[:, k:])
            loss.parts[f"token {k + 1}"] = part
            loss.total = loss.total + self.weight * part
        return loss

    def read(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        """Logits [B, T, n, V] of the tokens after each of n tokens [B, T, n], from hidden states [B, T, D]."""
        found = self.fetch(self.model.norm(hidden), self.model.embed(tokens))
        return nn.functional.linear(self.norm(found), self.model.output)

    def answer(self, prompts: Any, given: Tensor | None = None) -> Tensor:
        """Autoregressive, each token through `Fetch`."""
        return generate(
            self.model,
            prompts,
            self.answer_length,
            given,
            unembed=lambda hidden, token: self.read(hidden, token[..., None])[..., 0, :],
        )
