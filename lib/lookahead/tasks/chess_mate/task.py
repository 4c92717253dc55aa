"""Chess: the moves that mate, and the replies between them."""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from lookahead.contracts import Split
from lookahead.errors import LookaheadError
from lookahead.kinds import Range, Seed
from lookahead.random import integers
from lookahead.tasks.chess_mate import boards, rules
from lookahead.tasks.chess_mate.boards import MOVE, POSITION
from lookahead.tasks.chess_mate.reading import LeftOut, mates, read_table, shipped_table, write_published
from lookahead.tasks.own_data.file_task import FileTask
from lookahead.tasks.own_data.table import Table
from lookahead.tasks.rendering import refuse_wrong, rendered


@dataclass(frozen=True)
class ChessMate(FileTask, name="chess_mate"):
    """Positions in which the side to move mates in n moves; asked for are its moves and the replies between them.

        8/5R2/k7/8/8/8/K7/5R2 w - - =f1b1 a6a5 f7a7

    A position is its 64 squares and the side to move; a move is three tokens: from, to, and what a pawn becomes (module
    `boards` says why). The decision is the first of them all, the piece that moves first.

    Without a file: 2,449 positions of few pieces, each proved. Exactly one first move mates in two, whatever the
    defence, and none mates at once; no two lead to twins by it. The reply that is written down holds out longest; of
    several the one after which the fewest moves mate, and of those the first in the order of tokens.

    The cheat makes any legal first move and plays the rest without a fault: that is on 0.069 of all positions right.
    How much the first move tells: in 63% of the positions the reply is forced, in 84% a single move mates after
    it, in 51% both. There are rules of thumb, too: 25% of the right first moves give check, 41% take
    something, and whoever takes a check or a capture at random, where there is one, is right on 0.223.

    **The split.** Twins are positions that are alike but for a turn of the board (eight; with pawns two, with castling
    none) and the names of the colours. A hash of what they have in common says where they belong: a tenth of all for
    testing, a tenth for validation, the rest for training.

    A file's solutions are taken at their word: each move is legal and the last one mates, but that no defence holds
    was Lichess's to prove. Lichess's puzzles begin a move before what is asked; here they are shown after it. The
    published `.json` knows neither castling nor en passant, nor what became of its rook or of the pawn when the move
    before was such a one: entries that make no sense any more are malformed.

    Args:
        file: Lichess's puzzles, `.csv` (also `.csv.gz`, `.csv.zst`), or the published code's `.json`. Without one the
            positions that come with the library are taken. A relative path is one from the working directory.
        mate_in: n, 1 to 3; those of a file with that theme.
        symmetries: whether each time another twin of a position is shown; else the position as it was found.
        skip_bad: at most so many malformed lines of a file are left out, and counted.
        checksum: of the file's content; taken from the file if not given. A file with another content is refused.

    Raises:
        LookaheadError: another number of moves without a file; of a file a malformed line (the message names file, line
            and fault), too few positions to hold something out, or a content that has changed; the package chess is
            missing.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {"mate in 2": {"mate_in": 2}}

    file: str = ""
    mate_in: Annotated[int, Range(least=1, most=3)] = 2
    symmetries: bool = True
    skip_bad: Annotated[int, Range(least=0)] = 0
    checksum: str = ""
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.file and self.mate_in != 2:
            raise LookaheadError(
                f"the positions that come with the library are mates in 2: for mate_in={self.mate_in} name a file, "
                "such as Lichess's puzzles"
            )

    @functools.cached_property
    def table(self) -> Table:
        """Positions and answers; a file is read when they are first asked for."""
        return read_table(self.file, self.mate_in, self.skip_bad, self.checksum) if self.file else shipped_table()

    @property
    def title(self) -> str:
        return f"mate in {self.mate_in}" + (f" ({Path(self.file).name})" if self.file else "")

    @property
    def prompt_length(self) -> int:
        return POSITION + 1

    @property
    def answer_length(self) -> int:
        return MOVE * (2 * self.mate_in - 1)

    @property
    def labels(self) -> int:
        return boards.LABELS

    @property
    def vocab_size(self) -> int:
        return len(boards.WORDS)

    @property
    def last_prompt_token(self) -> int:
        return boards.ANSWER_MARK

    @property
    def decision(self) -> int:
        """The piece that moves first, by the square that it leaves."""
        return 0

    @property
    def chance_accuracy(self) -> float:
        """One over the number of legal first moves, a mean over all positions.

        Exact where one first move alone is right, as in the positions that come with the library.
        """
        return self.table.info["chance"]

    def turns(self, split: Split, indices: Tensor) -> Tensor:
        """The turns that are drawn for examples, [B], before it is asked which their positions allow; of held-out
        examples the same for every seed."""
        key = ("chess_mate", "turn", split, self.seed if split == "train" else "held out")
        return integers(key, indices, [16])[0] * self.symmetries

    def rows(self, split: Split, indices: Tensor) -> Tensor:
        """The rows of the table, [B]; see `table.Table.draw` for their order."""
        return self.table.draw(("chess_mate", self.checksum, self.seed), split, indices)

    def sample(self, split: Split, indices: Tensor) -> tuple[Tensor, Tensor]:
        rows = self.rows(split, indices)
        found = self.table.prompts.rows(rows, POSITION, filling=0, at_end=True)
        answers = self.table.answers.rows(rows, self.answer_length, filling=0, at_end=True)
        found, answers = boards.turned(found, answers, self.turns(split, indices) & boards.allowed(found))
        return torch.cat([found, torch.full_like(found[:, :1], boards.ANSWER_MARK)], dim=1), answers

    def correct(self, prompts: Tensor, answers: Tensor, given: Tensor) -> Tensor:
        """Whether the moves are legal, the last one mates, and none of the mover's own lets the other side escape, [B].

        Any such line is right, whichever first move it takes. The replies need not be those of the answer, only legal:
        the mover does not choose them, and the first move has been proved against all of them. A mate that only the
        other side's help allows is not right.
        """
        right = (answers == given).all(dim=1)
        others = (~right).nonzero()[:, 0]
        rows = zip(*(part[others].tolist() for part in (prompts[:, :POSITION], answers, given)), strict=True)
        judged = [rules.is_right(*map(tuple, row)) for row in rows]
        right[others] = torch.tensor(judged, dtype=torch.bool, device=right.device)
        return right

    def decoys(self, prompts: Tensor, answers: Tensor) -> None:
        """None: what follows a wrong first move is not said by it."""

    def check_examples(self, prompts: Tensor, answers: Tensor) -> None:
        """As `Task.check_examples`. That the first move mates against every defence is not proved again."""
        super().check_examples(prompts, answers)
        rows = zip(prompts.tolist(), answers.tolist(), strict=True)
        good = [
            prompt[-1] == boards.ANSWER_MARK and rules.is_position(prompt[:-1]) and rules.is_line(prompt, answer)
            for prompt, answer in rows
        ]
        refuse_wrong(self, torch.tensor(good, dtype=torch.bool), prompts, answers)

    def read_examples(self, path: str | Path) -> tuple[Tensor, Tensor]:
        """The mates in so many moves of a file, in either format: prompts [B, P], answers [B, A].

        Raises:
            LookaheadError: what is wrong with the file.
        """
        found = list(mates(path, self.mate_in, LeftOut(path, self.skip_bad)))
        if not found:
            raise LookaheadError(f"{path}: no mates in {self.mate_in} in it")
        prompts = torch.tensor([[*one.position, boards.ANSWER_MARK] for one in found])
        return prompts, torch.tensor([one.answer for one in found])

    def write(self, path: str | Path, prompts: Tensor, answers: Tensor) -> int:
        """Writes examples in the published JSON layout, whole or not at all; see `reading.write_published`.

        Returns:
            how many were left out, since the layout cannot hold them.

        Raises:
            LookaheadError: what is no example, nothing to write, or the file cannot be written.
        """
        self.check_examples(prompts, answers)
        return write_published(path, zip(prompts[:, :-1].tolist(), answers.tolist(), strict=True), self.mate_in)

    def text(self, tokens: Tensor) -> list[str]:
        """Rows of tokens [B, T]; a position as the first four fields of its FEN, moves as e2e4."""
        ends = range(boards.NO_PROMOTION, boards.LABELS)
        words = [word + " " * (number in ends) for number, word in enumerate(boards.WORDS)]
        said = rendered(tokens, words)
        for place, row in enumerate(tokens.tolist()):
            if (fen := _fen(row)) is not None:
                said[place] = f"{fen} {rendered(tokens[place : place + 1, POSITION:], words)[0]}"
        return [line.strip() for line in said]


def _fen(row: list[int]) -> str | None:
    """The first four fields of a position's FEN; None of what is no position."""
    if len(row) < POSITION:
        return None
    try:
        fen = boards.fen_of(row)
        return " ".join(fen.split()[:4]) if boards.position_of(fen) == row[:POSITION] else None
    except ValueError:
        return None


def sample_one(task: ChessMate, split: Split, index: int) -> tuple[list[int], list[int]]:
    """Prompt and answer of one example, as `ChessMate.sample` gives them: a position, turned."""
    one = torch.tensor([index])
    (row,), (turn,) = task.rows(split, one).tolist(), task.turns(split, one).tolist()
    prompts, answers = task.table.prompts, task.table.answers
    position = prompts.flat[prompts.starts[row] : prompts.starts[row + 1]].tolist()
    answer = answers.flat[answers.starts[row] : answers.starts[row + 1]].tolist()
    words = {boards.WORDS[token] for token in position[:64]}
    turn &= 1 if words & {"C", "c"} else 3 if words & {"P", "p"} else 15
    colours = boards.COLOURS[turn & 1]
    board = [int(colours[position[boards.FROM[turn, square]]]) for square in range(64)]
    moves = [int(boards.MOVES_TO[turn, token]) for token in answer]
    return [*board, int(colours[position[64]]), boards.ANSWER_MARK], moves


def solve(task: ChessMate, prompt: Sequence[int]) -> list[int]:
    """Try every first move against every reply; then the reply that holds out longest, and so on."""
    found = rules.line(rules.board_of(prompt), task.mate_in)
    return [token for move in found for token in rules.tokens_of(move)]


def cheat(task: ChessMate, prompt: Sequence[int]) -> list[int]:
    """Any legal first move, then any reply and a mate, where there is one; a game that ends early is filled up."""
    pick, board, answer = random.Random(str(prompt)), rules.board_of(prompt), []
    for number in range(2 * task.mate_in - 1):
        moves = rules.legal(board)
        if number and number % 2 == 0:
            moves = rules.keys(board, task.mate_in - number // 2) or moves
        if not moves:
            break
        move = pick.choice(moves)
        answer += rules.tokens_of(move)
        board.push(move)
    return [*answer, *[0] * task.answer_length][: task.answer_length]
