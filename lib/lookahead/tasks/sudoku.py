"""Sudoku on four by four cells, the empty cells filled in one after the other."""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lookahead.contracts import Split, Task
from lookahead.kinds import Range, Seed, settle
from lookahead.random import distinct, integers
from lookahead.tasks.rendering import refuse_wrong, rendered
from lookahead.tasks.splits import classes, shuffled

EMPTY, ANSWER_MARK = 4, 5
CELLS = 16
SEES = np.array(
    [
        [
            a != b and (a // 4 == b // 4 or a % 4 == b % 4 or (a // 8, a % 4 // 2) == (b // 8, b % 4 // 2))
            for b in range(CELLS)
        ]
        for a in range(CELLS)
    ]
)
"""Which cells lie in the same row, column or box, [16, 16]."""


@dataclass(frozen=True)
class Sudoku(Task, name="sudoku"):
    """A grid of four by four with one solution, its empty cells to be filled in row by row.

        1..4.4.1.1...3..=32 2 3 ...

    Every row, column and box of two by two holds 1, 2, 3 and 4. The cheat fills the cells in the order of the answer
    with any digit that stands in no row, column or box of the cell yet, and never looks at cells that are still empty.
    The decision is the first cell at which that leaves a choice; grids at which it never does are left out. A wrong
    choice leads to no other grid: there is no decoy.

    Grids that are alike but for the names of the digits are in the same split. Ids: digits, `.`, `=`.

    Args:
        blanks: empty cells, 6 to 10.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {"sudoku(8)": {"blanks": 8}}

    blanks: Annotated[int, Range(least=6, most=10)]
    seed: Seed = 0

    def __post_init__(self) -> None:
        settle(self)

    @property
    def title(self) -> str:
        return f"sudoku({self.blanks})"

    @property
    def prompt_length(self) -> int:
        return CELLS + 1

    @property
    def answer_length(self) -> int:
        return self.blanks

    @property
    def labels(self) -> int:
        return 4

    @property
    def vocab_size(self) -> int:
        return 6

    @property
    def last_prompt_token(self) -> int:
        return ANSWER_MARK

    @property
    def puzzles(self) -> Puzzles:
        """All puzzles, but for the names of the digits."""
        return _puzzles(self.blanks)

    @property
    def decision(self) -> int:
        """The last place of a first choice that any puzzle has."""
        return int((self.puzzles.choices > 1).argmax(axis=1).max())

    def decisions(self, prompts: Tensor, answers: Tensor) -> Tensor:
        """The first cell at which the cells before it leave a choice, [B]."""
        return (self.allowed(prompts, answers).sum(dim=2) > 1).int().argmax(dim=1)

    def allowed(self, prompts: Tensor, answers: Tensor) -> Tensor:
        """Which digits the given cells, and the answer's before it, leave for each empty cell: [B, A, 4], bool."""
        grid, cells = prompts[:, :CELLS].clone(), self.empty_cells(prompts)
        sees = torch.from_numpy(SEES).to(grid.device)
        found = []
        for place in range(self.blanks):
            cell = cells[:, place]
            seen = torch.where(sees[cell], grid, EMPTY)  # [B, 16]
            found.append(~(seen[:, :, None] == torch.arange(4, device=grid.device)).any(dim=1))
            grid = grid.scatter(1, cell[:, None], answers[:, place, None])
        return torch.stack(found, dim=1)

    def empty_cells(self, prompts: Tensor) -> Tensor:
        """The empty cells in the order of the answer, [B, A]."""
        return (prompts[:, :CELLS] != EMPTY).byte().argsort(dim=1, stable=True)[:, : self.blanks]

    @property
    def chance_accuracy(self) -> float:
        """Accuracy of the cheat: the mean over all puzzles of one over the product of the choices."""
        return float((1 / self.puzzles.choices.prod(axis=1, dtype=float)).mean())

    @property
    def test_size(self) -> float:
        """Different puzzles in the test split, names of digits ignored."""
        return classes("test", len(self.puzzles.grids))[1]

    def draws(self, split: Split, indices: Tensor) -> Tensor:
        """What examples are made of, [5, B]: the puzzle, and a Lehmer code of the names of the digits."""
        key = ("sudoku", self.blanks, self.seed, split)
        return integers(key, indices, [classes(split, len(self.puzzles.grids))[1], 4, 3, 2, 1])

    def sample(self, split: Split, indices: Tensor) -> tuple[Tensor, Tensor]:
        place, *codes = self.draws(split, indices).unbind()
        order, _ = shuffled(("sudoku", self.blanks), len(self.puzzles.grids), indices.device)
        chosen = order[classes(split, len(order))[0] + place]
        grids, empty = (part[chosen] for part in _on(self.blanks, indices.device))
        names = distinct(torch.stack(codes).short()).T.long()  # [B, 4]
        solved = names.gather(1, grids)
        prompts = torch.where(empty, EMPTY, solved)
        prompts = torch.cat([prompts, torch.full_like(place[:, None], ANSWER_MARK)], dim=1)
        return prompts, solved.gather(1, self.empty_cells(prompts))

    def filled(self, prompts: Tensor, given: Tensor) -> Tensor:
        """The grids [B, 16] with their empty cells filled in."""
        return prompts[:, :CELLS].scatter(1, self.empty_cells(prompts), given)

    def correct(self, prompts: Tensor, answers: Tensor, given: Tensor) -> Tensor:
        """Whether every empty cell is right, [B]."""
        return (answers == given).all(dim=1)

    def decoys(self, prompts: Tensor, answers: Tensor) -> None:
        """None: a wrong choice leads to no other grid."""

    def check_examples(self, prompts: Tensor, answers: Tensor) -> None:
        super().check_examples(prompts, answers)
        good = ((prompts[:, :CELLS] == EMPTY).sum(dim=1) == self.blanks) & (prompts[:, -1] == ANSWER_MARK)
        grid = self.filled(prompts, answers)
        clash = (grid[:, :, None] == grid[:, None]) & torch.from_numpy(SEES).to(grid.device)
        refuse_wrong(self, good & ~clash.flatten(1).any(dim=1) & (grid < 4).all(dim=1), prompts, answers)

    def text(self, tokens: Tensor) -> list[str]:
        """Rows of tokens [B, T] in digits, empty cells as dots."""
        return rendered(tokens, ["1", "2", "3", "4", ".", "="])


class Puzzles(NamedTuple):
    """Puzzles whose first row, solved, is 1 2 3 4."""

    grids: np.ndarray
    """Solved, [N, 16]."""
    empty: np.ndarray
    """[N, 16], bool."""
    choices: np.ndarray
    """How many digits the cheat may choose from at each empty cell, all before it being right, [N, blanks]."""


@functools.cache  # as in `random`: a CUDA graph may read them for as long as the process lives
def _on(blanks: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Grids and empty cells of all puzzles, on a device."""
    puzzles = _puzzles(blanks)
    return torch.from_numpy(puzzles.grids).to(device), torch.from_numpy(puzzles.empty).to(device)


@functools.cache
def _every_grid() -> np.ndarray:
    """All solved grids, [288, 16]."""
    found: list[tuple[int, ...]] = []

    def fill(grid: list[int]) -> None:
        if len(grid) == CELLS:
            found.append(tuple(grid))
            return
        here = len(grid)
        for digit in range(4):
            if all(grid[cell] != digit for cell in range(here) if SEES[here, cell]):
                fill([*grid, digit])

    fill([])
    return np.array(found)


@functools.cache
def _puzzles(blanks: int) -> Puzzles:
    """All puzzles of so many empty cells that have one solution and leave the cheat a choice."""
    every, bits = _every_grid(), 1 << np.arange(CELLS)
    masks = np.array(list(itertools.combinations(range(CELLS), blanks)))
    empty = np.zeros((len(masks), CELLS), bool)
    np.put_along_axis(empty, masks, True, axis=1)
    codes = empty @ bits
    grids, holes, choices = [], [], []
    for grid in every[(every[:, :4] == np.arange(4)).all(axis=1)]:
        differ = (every != grid) @ bits
        differ = differ[differ > 0]
        one = np.ones(len(masks), bool)  # no other grid differs in empty cells alone
        for difference in differ:
            one &= (difference & ~codes) != 0
        left = _choices(grid, masks[one])
        some = (left > 1).any(axis=1)
        grids.append(np.repeat(grid[None], some.sum(), axis=0))
        holes.append(empty[one][some])
        choices.append(left[some])
    return Puzzles(np.concatenate(grids), np.concatenate(holes), np.concatenate(choices))


def _choices(grid: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """How many digits the cells that are given or filled before leave for each empty one, [n, blanks].

    Args:
        grid: solved, [16].
        masks: the empty cells of some puzzles, ascending, [n, blanks].
    """
    known = np.ones((len(masks), CELLS), bool)
    np.put_along_axis(known, masks, False, axis=1)
    left = []
    for cells in masks.T:
        seen = known & SEES[cells]
        left.append(4 - sum((seen & (grid == digit)).any(axis=1).astype(int) for digit in range(4)))
        known[np.arange(len(masks)), cells] = True
    return np.stack(left, axis=1)


def sample_one(task: Sudoku, split: Split, index: int) -> tuple[list[int], list[int]]:
    """Prompt and answer of one example, as `Sudoku.sample` gives them: a puzzle, and other names for the digits."""
    place, *codes = task.draws(split, torch.tensor([index]))[:, 0].tolist()
    order = shuffled(("sudoku", task.blanks), len(task.puzzles.grids), torch.device("cpu"))[0].tolist()
    puzzle = order[classes(split, len(order))[0] + place]
    digits = list(range(4))
    names = [digits.pop(code) for code in codes]
    grid = [names[digit] for digit in task.puzzles.grids[puzzle].tolist()]
    empty = task.puzzles.empty[puzzle].tolist()
    prompt = [EMPTY if hole else digit for digit, hole in zip(grid, empty, strict=True)]
    return [*prompt, ANSWER_MARK], [digit for digit, hole in zip(grid, empty, strict=True) if hole]


def candidates(grid: Sequence[int], cell: int) -> list[int]:
    """The digits that stand in no row, column or box of a cell."""
    seen = {grid[other] for other in range(CELLS) if SEES[cell, other]}
    return [digit for digit in range(4) if digit not in seen]


def solve(task: Sudoku, prompt: Sequence[int]) -> list[int]:
    """Try digits cell by cell; where none is left, go back."""
    cells = [cell for cell in range(CELLS) if prompt[cell] == EMPTY]

    def fill(grid: list[int], rest: list[int]) -> list[int] | None:
        if not rest:
            return grid
        for digit in candidates(grid, rest[0]):
            grid[rest[0]] = digit
            if found := fill(grid, rest[1:]):
                return found
        grid[rest[0]] = EMPTY
        return None

    solved = fill(list(prompt[:CELLS]), cells)
    if solved is None:
        raise ValueError("a grid without a solution")
    return [solved[cell] for cell in cells]


def cheat(task: Sudoku, prompt: Sequence[int]) -> list[int]:
    """At every empty cell any digit that its row, column and box allow so far; where none is left, any."""
    pick, grid, answer = random.Random(str(prompt)), list(prompt[:CELLS]), []
    for cell in range(CELLS):
        if prompt[cell] == EMPTY:
            grid[cell] = pick.choice(candidates(grid, cell) or list(range(4)))
            answer.append(grid[cell])
    return answer
