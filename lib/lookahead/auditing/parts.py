"""Answers cut into parts: every token alone, equal shares of the answer, or its fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias

import torch
from torch import Tensor

from lookahead.auditing.findings import Units
from lookahead.kinds import Range

NOWHERE = -1
Parted: TypeAlias = Annotated[int, Range(least=2)] | None
"""Into how many equal shares answers are cut, if into any."""


@dataclass(frozen=True)
class Parts:
    """Which part of its answer each token belongs to."""

    units: Units
    of: Tensor
    """The number of each token's part, [N, A]; NOWHERE where there is no token."""

    def sums(self, losses: Tensor) -> Tensor:
        """What each part costs, from the losses of tokens [N, A]: [N, parts]; NaN where an answer has no such part."""
        if self.units.kind == "token":
            return losses
        count = len(self.units.names)
        there = self.of != NOWHERE
        places = self.of.clamp(min=0)
        sums, tokens = losses.new_zeros(len(losses), count), losses.new_zeros(len(losses), count)
        sums.scatter_add_(1, places, losses.where(there, 0))
        tokens.scatter_add_(1, places, there.to(losses.dtype))
        return sums.where(tokens > 0, torch.nan)

    def dearest(self, losses: Tensor, part: int) -> Tensor:
        """The index of the token that costs most in a part of each answer, from losses [N, A]: [N].

        The last token of an answer is none, as nothing comes after it.
        """
        inside = (self.of == part) & (self.of.roll(-1, dims=1) != NOWHERE)
        inside[:, -1] = False
        return losses.where(inside, -torch.inf).argmax(dim=1)


def tokens(mask: Tensor) -> Parts:
    """Every token for itself; where a mask [N, A] has some."""
    return Parts(Units(), torch.arange(mask.shape[1]).expand(mask.shape).where(mask, NOWHERE))


def shares(mask: Tensor, count: int) -> Parts:
    """So many equal shares of each answer, at most one per token of the longest; shorter ones leave some empty."""
    lengths = mask.sum(dim=1, keepdim=True)
    count = min(count, int(lengths.max()))
    found = torch.arange(mask.shape[1]) * count // lengths.clamp(min=1)
    return Parts(Units("part", [str(number) for number in range(1, count + 1)]), found.where(mask, NOWHERE))


def fields(mask: Tensor, between: Tensor, names: list[str]) -> Parts:
    """The fields of each answer; each but the last ends with a mark.

    Args:
        mask: where there are tokens, [N, A].
        between: which of them are marks, [N, A].
        names: of the fields.
    """
    marks = between.long()
    return Parts(Units("field", names), (marks.cumsum(dim=1) - marks).where(mask, NOWHERE))
