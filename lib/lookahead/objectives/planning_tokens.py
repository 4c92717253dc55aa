"""Planning tokens: after the prompt come tokens whose states foretell an encoding of the whole answer."""

import math
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookahead.contracts import Loss, Model, Needs
from lookahead.kinds import Count, Range
from lookahead.objectives.heads import INITIAL_DEVIATION, counted_mean, linear, token_losses, width_of
from lookahead.objectives.sequences import Prefilled, PromptFirst, answer_loss, exact, generate, prefill, states


class Autoencoder(nn.Module):
    """An answer as `tokens` vectors of `size` numbers, and back.

    Encoder: learnt queries look, in one attention, at the states that the model has when it reads the answer alone;
    what each finds is added to it, normed and projected. No gradient goes into the model. Decoder: a model of the same
    kind with few layers, and with the model's embeddings, that reads the projected vectors and then the answer.
    """

    def __init__(self, model: Model, tokens: int, size: int, layers: int) -> None:
        super().__init__()
        width = width_of(model)
        self.queries = nn.Parameter(torch.randn(tokens, width) * INITIAL_DEVIATION / math.sqrt(width))
        self.query, self.key, self.value, self.out = (linear(width, width) for _ in range(4))
        self.norm = nn.LayerNorm(width)
        self.down, self.up = linear(width, size), linear(size, width)
        self.decoder = model.fresh(layers, shared=True)

    def encode(self, model: Model, answers: Tensor, mask: Tensor | None = None) -> Tensor:
        """[B, tokens, size], of answers [B, A]; what does not count, by a mask [B, A], is not looked at."""
        with torch.no_grad():
            read = model.norm(model(answers))  # [B, A, D]
        scores = self.query(self.queries) @ self.key(read).transpose(1, 2) / math.sqrt(read.shape[-1])
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None], -math.inf)
        found = self.out(scores.softmax(dim=-1) @ self.value(read))
        return self.down(self.norm(self.queries + found))

    def decode(self, codes: Tensor, answers: Tensor) -> Tensor:
        """Logits of every answer token [B, A, V], from codes [B, tokens, size] and the tokens before it."""
        read = torch.cat([self.up(codes), self.decoder.embed(answers[:, :-1])], dim=1)
        return self.decoder.unembed(self.decoder(read, last=answers.shape[1]))


class PlanningTokens(PromptFirst, name="planning_tokens"):
    """-sum_i log p(a_i | prompt, plan, a_0 ... a_{i-1}) + alpha mean_k S(W h_k - z_k) - beta sum_i log q(a_i | z, ...).

    The plan is a row of tokens of its own after the prompt, the same for every prompt; h_k is the state at the k-th of
    them, after the final norm. z_k is the encoding of the whole answer, and q what the decoder makes of it
    (`Autoencoder`). S is the smooth L1 distance, its mean over the numbers of a vector. No gradient of S goes into z,
    so that the encoding is taught by the decoder alone (Yin et al., 2024: "Semformer"; there alpha and beta are 1). The
    plan is there in answers, too; the autoencoder is not.

    Open in what is published of it, or else there, chosen here: the decoder reads the vectors as embeddings, not as
    keys and values, so that any model can be one; it has the model's own embeddings; in place of `=`, the last token of
    the plan predicts a_0. The two sums over i are means.

    Args:
        tokens: of the plan, each with a reserved id of its own.
        size: numbers in a vector of the encoding.
        layers: of the decoder.
        alpha: weight of the distance.
        beta: weight of the decoder's loss; at 0 the encoding is one by chance.
    """

    weight = 1.0
    plan: Tensor

    def __init__(
        self,
        model: Any,
        task: Any,
        *,
        tokens: Count = 4,
        size: Count = 32,
        layers: Count = 1,
        alpha: Annotated[float, Range(least=0)] = 1.0,
        beta: Annotated[float, Range(least=0)] = 1.0,
    ) -> None:
        super().__init__(model, task)
        options = self.checked(tokens=tokens, size=size, layers=layers, alpha=alpha, beta=beta)
        tokens, size, layers, self.alpha, self.beta = options.values()
        self.register_buffer("plan", self.dummy + torch.arange(tokens), persistent=False)
        self.foretell = nn.Linear(width_of(model), size)
        self.autoencoder = Autoencoder(model, tokens, size, layers)

    @classmethod
    def needs(cls, prompt_length: int, answer_length: int, **options: Any) -> Needs:
        tokens = options["tokens"]
        return Needs(longest=prompt_length + tokens + answer_length - 1, extra_tokens=tokens)

    def forward(
        self, prompts: Any, answers: Tensor, noise: Tensor | None = None, progress: Tensor | None = None
    ) -> Loss:
        mask = self.mask(answers)
        plan = self.plan.expand(len(answers), -1)
        hidden = states(self.model, prompts, torch.cat([plan, answers[:, :-1]], dim=1))[:, 1:]  # from the plan on
        loss = answer_loss(self.model.unembed(hidden[:, -self.answer_length :]), answers, mask)
        codes = self.autoencoder.encode(self.model, answers, mask)  # [B, tokens, size]
        foretold = self.foretell(self.model.norm(hidden[:, : plan.shape[1]]))
        loss.parts["plan"] = F.smooth_l1_loss(exact(foretold), exact(codes.detach()))
        decoded = token_losses(self.autoencoder.decode(codes, answers), answers)
        loss.parts["reconstruction"] = counted_mean(decoded, mask)
        loss.total = loss.total + self.alpha * loss.parts["plan"] + self.beta * loss.parts["reconstruction"]
        return loss

    @torch.no_grad()
    def answer(self, prompts: Any, given: Tensor | None = None) -> Tensor:
        """Autoregressive, after the plan."""
        read = prefill(self.model, prompts) if isinstance(prompts, Tensor) else prompts
        hidden, cache = self.model.decode(self.plan.expand(len(read.tokens), -1), read.cache, last=1)
        return generate(self.model, Prefilled(read.tokens, hidden, cache), self.answer_length, given)
