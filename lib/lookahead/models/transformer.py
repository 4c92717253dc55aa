"""A GPT-2-style decoder (Radford et al., 2019) in one file.

Pre-norm blocks, learned positions, input and output embeddings tied, no dropout. The weights that write
into the residual stream start smaller by sqrt(2 layers), as in GPT-2; in the published path-star code
that scaling looks for a layer name that does not exist and never happens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookahead.contracts import Model
from lookahead.errors import LookaheadError

INITIAL_DEVIATION = 0.4
"""Of a weight, times sqrt(width)."""


def plain_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Attention as it is written in a textbook.

    Args:
        q, k, v: [B, heads, T or S, head width].
        mask: bool, broadcast to [B, heads, T, S]; true where a row may look.

    Returns:
        the mix of values [B, heads, T, head width], and the weights [B, heads, T, S].
    """
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    weights = scores.masked_fill(~mask, -math.inf).softmax(dim=-1)
    return weights @ v, weights


@dataclass
class Cache:
    """What generation keeps: keys and values of every layer, [layers, B, heads, room, head width], and how
    many tokens were read."""

    keys: Tensor
    values: Tensor
    length: int = 0


class Block(nn.Module):
    """x + attention(norm(x)), then x + MLP(norm(x))."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp_in = nn.Linear(width, 4 * width)
        self.mlp_out = nn.Linear(4 * width, width)

    def split_heads(self, x: Tensor, last: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of x [B, T, D], each [B, heads, T, D / heads]; queries of the last only."""
        x = self.attention_norm(x)
        if last is None or last == x.shape[1]:
            q, k, v = self.query_key_value(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
            return q, k, v
        if not 1 <= last <= x.shape[1]:
            raise LookaheadError(f"the last {last} of {x.shape[1]} positions are asked for: take 1 to {x.shape[1]}")
        weight, bias, width = self.query_key_value.weight, self.query_key_value.bias, x.shape[2]
        q = F.linear(x[:, -last:], weight[:width], bias[:width]).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = F.linear(x, weight[width:], bias[width:]).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return q, k, v

    def finish(self, x: Tensor, mixed: Tensor) -> Tensor:
        """Adds what the heads found, [B, heads, T, D / heads], then the MLP."""
        x = x + self.attention_out(mixed.transpose(1, 2).flatten(2))
        return x + self.mlp_out(F.gelu(self.mlp_in(self.mlp_norm(x)), approximate="tanh"))


class Transformer(Model, name="transformer"):
    """`layers` blocks of a given width.

    Args:
        vocab_size: V, ids it can read and predict.
        longest: the longest sequence it has positions for.
        implementation: "sdpa" (torch's fused attention) or "plain" (the readable one; equal, and tested so).

    Raises:
        LookaheadError: sizes below 1, or a width that does not split into the heads.
    """

    presets: ClassVar = {
        "tiny": {"layers": 3, "width": 64, "heads": 4},  # learns the quick tasks in about a minute on one core
        "mini": {"layers": 12, "width": 384, "heads": 6},  # Bachmann and Nagarajan's GPT-Mini
    }
    attentions: ClassVar = ("causal", "full")
    implementations: ClassVar = ("sdpa", "plain")
    blocks: Sequence[Block]

    def __init__(
        self,
        vocab_size: int,
        longest: int,
        *,
        layers: int,
        width: int,
        heads: int,
        implementation: Literal["sdpa", "plain"] = "sdpa",
    ) -> None:
        super().__init__()
        if min(layers, width, heads) < 1:
            raise LookaheadError(f"layers, width and heads must be at least 1, not {layers}, {width} and {heads}")
        if width % heads:
            raise LookaheadError(f"width {width} does not split into {heads} heads: take a multiple of {heads}")
        if implementation not in self.implementations:
            known = ", ".join(self.implementations)
            raise LookaheadError(f"unknown attention implementation {implementation!r}; known: {known}")
        self.vocab_size, self.longest, self.width, self.heads = (vocab_size, longest, width, heads)
        self.implementation = implementation
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(longest, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))  # type: ignore[assignment]
        self.final_norm = nn.LayerNorm(width)
        self.initialise()

    def initialise(self) -> None:
        """Normal with deviation 0.4 / sqrt(width); what writes into the residual stream is smaller by sqrt(2 layers).

        That is GPT-2's 0.02 at width 400. At width 64, 0.02 leaves attention flat: the lookup of an edge,
        learnt within 100 steps from here, then takes over 1,000.
        """
        std = INITIAL_DEVIATION / math.sqrt(self.width)
        for name, parameter in self.named_parameters():
            if name.endswith(("attention_out.weight", "mlp_out.weight")):
                nn.init.normal_(parameter, std=std / math.sqrt(2 * len(self.blocks)))
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" not in name:
                nn.init.normal_(parameter, std=std)

    def forward(
        self,
        inputs: Tensor,
        positions: Tensor | None = None,
        attention: str | Tensor = "causal",
        last: int | None = None,
    ) -> Tensor:
        x = self.enter(inputs, positions)
        for block in self.blocks:
            rows = last if block is self.blocks[-1] else None  # what the last block writes elsewhere, nobody reads
            q, k, v = block.split_heads(x, rows)
            x = block.finish(x[:, -q.shape[2] :], self.attend(q, k, v, attention))
        return x

    def embed(self, tokens: Tensor) -> Tensor:
        return self.token_embedding(tokens)

    def unembed(self, hidden: Tensor) -> Tensor:
        return F.linear(self.final_norm(hidden), self.token_embedding.weight)

    def fresh(self, layers: int) -> Transformer:
        return Transformer(
            self.vocab_size,
            self.longest,
            layers=layers,
            width=self.width,
            heads=self.heads,
            implementation=self.implementation,  # type: ignore[arg-type]
        )

    def enter(self, inputs: Tensor, positions: Tensor | None = None) -> Tensor:
        """What the first block reads: embeddings and positions, [B, T, D]."""
        x = inputs if inputs.is_floating_point() else self.embed(inputs)
        if positions is None:
            if x.shape[1] > self.longest:
                raise LookaheadError(f"{x.shape[1]} tokens, but the model was built for at most {self.longest}")
            positions = torch.arange(x.shape[1], device=x.device)
        return x + self.position_embedding(positions)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, attention: str | Tensor) -> Tensor:
        """The mix of values for each query, [B, heads, T, D / heads]; the queries are those of the last positions."""
        rows, columns = q.shape[2], k.shape[2]
        if self.implementation == "plain":
            return plain_attention(q, k, v, as_mask(attention, rows, columns, q.device))[0]
        if isinstance(attention, str):
            causal = is_causal(attention) and rows > 1  # the last position looks everywhere
            if not causal or rows == columns:
                return F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=as_mask(attention, rows, columns, q.device))

    def attention_maps(self, tokens: Tensor, attention: str | Tensor = "causal") -> Tensor:
        """Attention weights [layers, B, heads, T, T], row looks at column, by the plain path."""
        maps = []
        x = self.enter(tokens)
        for block in self.blocks:
            q, k, v = block.split_heads(x)
            mixed, weights = plain_attention(q, k, v, as_mask(attention, x.shape[1], x.shape[1], x.device))
            maps.append(weights)
            x = block.finish(x, mixed)
        return torch.stack(maps)

    def step(self, tokens: Tensor, cache: Cache | None = None, last: int | None = None) -> tuple[Tensor, Cache]:
        """As `Model.step`; the new cache lies in the memory of the old one, behind what that has seen."""
        if cache is None:
            shape = (len(self.blocks), tokens.shape[0], self.heads, self.longest, self.width // self.heads)
            kind = self.token_embedding.weight
            cache = Cache(kind.new_empty(shape), kind.new_empty(shape))
        old, new = cache.length, cache.length + tokens.shape[1]
        if new > self.longest:
            raise LookaheadError(f"{new} tokens, but the model was built for at most {self.longest}")
        x = self.enter(tokens, torch.arange(old, new, device=tokens.device))
        for layer, block in enumerate(self.blocks):
            q, k, v = block.split_heads(x, last if block is self.blocks[-1] else None)
            cache.keys[layer, :, :, old:new] = k
            cache.values[layer, :, :, old:new] = v
            seen = (cache.keys[layer, :, :, :new].to(q.dtype), cache.values[layer, :, :, :new].to(q.dtype))
            x = block.finish(x[:, -q.shape[2] :], self.attend(q, *seen, "causal"))
        return x, Cache(cache.keys, cache.values, new)


def is_causal(attention: str) -> bool:
    """Whether a named attention is the causal one."""
    if attention not in ("causal", "full"):
        raise LookaheadError(f"attention is 'causal', 'full' or a bool mask, not {attention!r}")
    return attention == "causal"


def as_mask(attention: str | Tensor, rows: int, columns: int, device: torch.device) -> Tensor:
    """A bool mask that broadcasts to [B, heads, rows, columns], the last rows of what `Model.forward` takes."""
    if isinstance(attention, Tensor):
        return attention[:, None, -rows:] if attention.ndim == 3 else attention[-rows:]
    mask = torch.ones(rows, columns, dtype=torch.bool, device=device)
    return mask.tril(columns - rows) if is_causal(attention) else mask
