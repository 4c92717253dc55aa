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
from lookahead.kinds import Count

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


def fused_attention(q: Tensor, k: Tensor, v: Tensor, mask: str | Tensor) -> Tensor:
    """The mix of values that `plain_attention` gives, by torch's fused kernels; named attentions need no mask there.

    Args:
        q, k, v: [B, heads, T or S, head width].
        mask: as `attention` in `Model.forward`.
    """
    rows, columns = q.shape[2], k.shape[2]
    if isinstance(mask, str):
        causal = is_causal(mask) and rows > 1  # the last position looks everywhere
        if not causal or rows == columns:
            return F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=as_mask(mask, rows, columns, q.device))


@dataclass
class Cache:
    """Keys and values of one layer for the tokens that were read."""

    keys: Tensor
    """[B, heads, room, D / heads]; the first `length` are filled."""
    values: Tensor
    length: int = 0

    def extend(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values, [B, heads, length + T, D / heads], with those of T new tokens written after the old.

        The length stays, so that the cache can be extended again.
        """
        end = self.length + k.shape[2]
        self.keys[:, :, self.length : end] = k
        self.values[:, :, self.length : end] = v
        return self.keys[:, :, :end].to(k.dtype), self.values[:, :, :end].to(v.dtype)


class Attention(nn.Module):
    """Causal or full self-attention with several heads."""

    def __init__(self, width: int, heads: int, implementation: str) -> None:
        super().__init__()
        self.heads, self.implementation = heads, implementation
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: str | Tensor, cache: Cache | None = None, last: int | None = None) -> Tensor:
        """Output of the heads at the last positions of x [B, T, D], which look at x and at the cache: [B, last, D].

        Args:
            mask, cache, last: as in `Block.forward`.
        """
        q, k, v = self.project(x, last)  # [B, heads, T or last, D / heads]
        if cache is not None:
            k, v = cache.extend(k, v)  # [B, heads, length + T, D / heads]
        if self.implementation == "plain":
            mixed, _ = plain_attention(q, k, v, as_mask(mask, q.shape[2], k.shape[2], q.device))
        else:
            mixed = fused_attention(q, k, v, mask)
        return self.out(mixed.transpose(1, 2).flatten(2))  # [B, heads, last, D / heads] -> [B, last, D]

    def project(self, x: Tensor, last: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Keys and values of x [B, T, D], and queries of its last positions: each [B, heads, T or last, D / heads]."""
        if last is None or last == x.shape[1]:
            q, k, v = self.query_key_value(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
            return q, k, v
        if not 1 <= last <= x.shape[1]:
            raise LookaheadError(f"the last {last} of {x.shape[1]} positions are asked for: take 1 to {x.shape[1]}")
        weight, bias, width = self.query_key_value.weight, self.query_key_value.bias, x.shape[2]
        q = F.linear(x[:, -last:], weight[:width], bias[:width])  # [B, last, D]
        q = q.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, heads, last, D / heads]
        k, v = F.linear(x, weight[width:], bias[width:]).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return q, k, v


class Block(nn.Module):
    """x + attention(norm(x)), then x + MLP(norm(x))."""

    def __init__(self, width: int, heads: int, implementation: str) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, implementation)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp_in = nn.Linear(width, 4 * width)
        self.mlp_out = nn.Linear(4 * width, width)

    def forward(self, x: Tensor, mask: str | Tensor, cache: Cache | None = None, last: int | None = None) -> Tensor:
        """The residual stream after the block, [B, T or last, D], for x [B, T, D].

        Args:
            mask: as `attention` in `Model.forward`.
            cache: keys and values of the tokens before x; those of x are appended.
            last: how many positions, counted from the end, are wanted; all if not given.
        """
        wanted = x if last is None else x[:, -last:]  # [B, T or last, D]
        x = wanted + self.attention(self.attention_norm(x), mask, cache, last)
        return x + self.mlp_out(F.gelu(self.mlp_in(self.mlp_norm(x)), approximate="tanh"))


class Transformer(Model, name="transformer"):
    """`layers` blocks of a given width.

    Args:
        vocab_size: V, ids that the model can read and predict.
        longest: the longest sequence that it has positions for.
        implementation: "sdpa" (torch's fused attention) or "plain" (the readable one; equal, and tested so).
        scaled: whether the weights that write into the residual stream start smaller, as the table of `initialise` has
            it. They do in GPT-2; in the published path-star code they do not.

    Raises:
        LookaheadError: sizes below 1, or a width that does not split into the heads.
    """

    presets: ClassVar = {
        "tiny": {"layers": 3, "width": 64, "heads": 4},  # learns the quick tasks in about a minute on one core
        "mini": {"layers": 12, "width": 384, "heads": 6},  # Bachmann and Nagarajan's GPT-Mini
    }
    attentions: ClassVar = ("causal", "full", "masked")
    stackable = True
    implementations: ClassVar = ("sdpa", "plain")
    blocks: Sequence[Block]

    def __init__(
        self,
        vocab_size: int,
        longest: int,
        *,
        layers: Count,
        width: Count,
        heads: Count,
        implementation: Literal["sdpa", "plain"] = "sdpa",
        scaled: bool = True,
    ) -> None:
        super().__init__()
        options = self.checked(layers=layers, width=width, heads=heads, implementation=implementation, scaled=scaled)
        layers, width, heads, implementation, self.scaled = options.values()
        if width % heads:
            raise LookaheadError(f"width {width} does not split into {heads} heads: take a multiple of {heads}")
        self.vocab_size, self.longest, self.width, self.heads = (vocab_size, longest, width, heads)
        self.implementation = implementation
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(longest, width)
        self.blocks = nn.ModuleList(Block(width, heads, implementation) for _ in range(layers))  # type: ignore[assignment]
        self.final_norm = nn.LayerNorm(width)
        self.initialise()

    def initialise(self) -> None:
        """Draws the weights in the order of the layers.

        | layer | weight | bias |
        | --- | --- | --- |
        | token_embedding, position_embedding | normal, deviation 0.4 / sqrt(width) | |
        | attention.query_key_value, mlp_in | normal, deviation 0.4 / sqrt(width) | 0 |
        | attention.out, mlp_out (into the residual stream) | normal, 0.4 / sqrt(width) / sqrt(2 layers) | 0 |
        | attention_norm, mlp_norm, final_norm | 1 | 0 |

        0.4 / sqrt(width) is GPT-2's 0.02 at width 400. At width 64, 0.02 leaves attention flat: the lookup of an edge,
        learnt within 100 steps from here, then takes over 1,000.
        """
        std = INITIAL_DEVIATION / math.sqrt(self.width)
        for name, parameter in self.named_parameters():
            if self.scaled and name.endswith(("attention.out.weight", "mlp_out.weight")):
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
        return self.through_blocks(self.enter(inputs, positions), attention, [None] * len(self.blocks), last)

    def embed(self, tokens: Tensor) -> Tensor:
        return self.token_embedding(tokens)

    def norm(self, hidden: Tensor) -> Tensor:
        return self.final_norm(hidden)

    @property
    def output(self) -> Tensor:
        return self.token_embedding.weight

    def fresh(self, layers: int | None = None, shared: bool = False) -> Transformer:
        other = Transformer(
            self.vocab_size,
            self.longest,
            layers=len(self.blocks) if layers is None else layers,
            width=self.width,
            heads=self.heads,
            implementation=self.implementation,  # type: ignore[arg-type]
            scaled=self.scaled,
        )
        if shared:  # the parameter: `functional_call` takes a module in two places for two
            other.token_embedding.weight = self.token_embedding.weight
        return other

    def enter(self, inputs: Tensor, positions: Tensor | None = None) -> Tensor:
        """Input of the first block, [B, T, D]: embeddings plus positions."""
        x = inputs if inputs.is_floating_point() else self.embed(inputs)
        if positions is None:
            if x.shape[1] > self.longest:
                raise LookaheadError(f"{x.shape[1]} tokens, but the model was built for at most {self.longest}")
            positions = torch.arange(x.shape[1], device=x.device)
        return x + self.position_embedding(positions)

    def through_blocks(
        self, x: Tensor, attention: str | Tensor, caches: Sequence[Cache | None], last: int | None
    ) -> Tensor:
        """The residual stream [B, T or last, D] after all blocks."""
        for block, cache in zip(self.blocks, caches, strict=True):
            final = block is self.blocks[-1]  # the blocks before it are read at every position
            x = block(x, attention, cache, last if final else None)
        return x

    def attention_maps(self, tokens: Tensor, attention: str | Tensor = "causal") -> Tensor:
        """Attention weights [layers, B, heads, T, T], row looks at column, by the plain path."""
        x, maps = self.enter(tokens), []
        mask = as_mask(attention, x.shape[1], x.shape[1], x.device)
        for block in self.blocks:
            maps.append(plain_attention(*block.attention.project(block.attention_norm(x)), mask)[1])
            x = block(x, attention)
        return torch.stack(maps)

    def decode(
        self, tokens: Tensor, cache: list[Cache] | None = None, last: int | None = None
    ) -> tuple[Tensor, list[Cache]]:
        """As `Model.decode`; the longer cache shares the memory of the one that it extends."""
        if cache is None:
            shape = (tokens.shape[0], self.heads, self.longest, self.width // self.heads)
            empty = self.token_embedding.weight.new_empty
            cache = [Cache(empty(shape), empty(shape)) for _ in self.blocks]
        start, end = cache[0].length, cache[0].length + tokens.shape[1]
        if end > self.longest:
            raise LookaheadError(f"{end} tokens, but the model was built for at most {self.longest}")
        x = self.enter(tokens, torch.arange(start, end, device=tokens.device))
        x = self.through_blocks(x, "causal", cache, last)
        return x, [Cache(layer.keys, layer.values, end) for layer in cache]


def is_causal(attention: str) -> bool:
    """Whether a named attention is the causal one.

    Raises:
        LookaheadError: no such attention.
    """
    if attention not in ("causal", "full"):
        raise LookaheadError(f"attention is 'causal', 'full' or a bool mask, not {attention!r}")
    return attention == "causal"


def as_mask(attention: str | Tensor, rows: int, columns: int, device: torch.device) -> Tensor:
    """The last rows of an `attention` of `Model.forward`, as a bool mask, broadcast to [B, heads, rows, columns]."""
    if isinstance(attention, Tensor):
        return attention[:, None, -rows:] if attention.ndim == 3 else attention[-rows:]
    mask = torch.ones(rows, columns, dtype=torch.bool, device=device)
    return mask.tril(columns - rows) if is_causal(attention) else mask
