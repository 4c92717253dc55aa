"""Addition, the digits of the sum from the most or from the least significant on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from lookahead.kinds import Range, Seed, settle
from lookahead.tasks.digits import Arithmetic


@dataclass(frozen=True)
class Addition(Arithmetic, name="addition"):
    """The sum of two numbers.

        0427+0598=01025        most significant digit first
        0427+0598=52010        least significant digit first

    **Most significant first.** Whether a carry comes into a column is nearly always seen in the next column. Only where
    that sums to 9 one has to look on: a chain of nines passes a carry through. The cheat looks one column to the right
    and no further. With a teacher, the digits of a chain follow from the one before them: it has said whether the carry
    came. The decision is the digit before the longest chain, the first of these if there are several.

    Args:
        digits: of either number.
        first: "most" or "least" significant digit of the sum.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "addition(4)": {"digits": 4, "first": "most"},
        "addition(4), reversed": {"digits": 4, "first": "least"},
    }
    sign: ClassVar[str] = "+"

    digits: Annotated[int, Range(least=2, most=16)]
    first: Literal["most", "least"] = "most"
    seed: Seed = 0

    def __post_init__(self) -> None:
        settle(self)

    @property
    def second(self) -> int:  # type: ignore[override]
        return self.digits

    @property
    def answer_length(self) -> int:
        return self.digits + 1

    @property
    def last_decision(self) -> int:
        """The digit before the last: after it comes one column, which may carry."""
        return self.digits - 1

    def result(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b

    def columns(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(a[:, :1]), a + b], dim=1)

    @property
    def commonest(self) -> list[int]:
        """The commonest sum, 99...9, in the answer's order."""
        nines = [0] + [9] * self.digits
        return nines if self.first == "most" else nines[::-1]

    @property
    def chance_accuracy(self) -> float:
        """Most significant first that of the cheat: no column that sums to 9 next to one, on its right, that carries.

        Of all pairs of digits 45 in 100 carry and 10 sum to 9. Least significant first that of the commonest sum.
        """
        if self.first == "least":
            return 0.1**self.digits
        carrying, others = 0.45, 0.55
        for _ in range(self.digits - 1):
            carrying, others = 0.45 * (carrying + others), 0.55 * others + 0.45 * carrying
        return carrying + others

    def chains(self, prompts: Tensor) -> Tensor:
        """How many columns that sum to 9 come after each digit of the sum, most significant first, [B, A]."""
        nines = self.columns(*self.numbers(prompts)) == 9
        run, runs = torch.zeros_like(nines[:, 0]).long(), []
        for column in nines.flip(1).unbind(dim=1):
            runs.append(run)
            run = torch.where(column, run + 1, 0)
        return torch.stack(runs[::-1], dim=1)

    def decisions(self, prompts: Tensor, answers: Tensor) -> Tensor:
        _ = self.decision
        chains = self.chains(prompts)
        reaches_end = chains + torch.arange(self.answer_length, device=chains.device) >= self.digits
        chains = torch.where(reaches_end, -1, chains)  # nothing comes into the last column: there is nothing to know
        places = torch.arange(self.answer_length, device=chains.device)
        return (chains * self.answer_length - places).argmax(dim=1)

    def decoys(self, prompts: Tensor, answers: Tensor) -> Tensor | None:
        """The sum with the other carry into the longest chain, [B, A]: its digits and the one before it are others.

        None with the least significant digit first.
        """
        if self.first == "least":
            return None
        at = self.decisions(prompts, answers)[:, None]
        length = self.chains(prompts).gather(1, at)
        places = torch.arange(self.answer_length, device=answers.device)
        columns = self.columns(*self.numbers(prompts))
        in_chain = (places > at) & (places <= at + length)
        other = torch.where(answers == columns % 10, columns + 1, columns) % 10
        return torch.where((places == at) | in_chain, other, answers)
