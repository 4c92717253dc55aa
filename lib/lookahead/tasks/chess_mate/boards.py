"""Chess positions and moves as tokens, and the symmetries of the board.

A position is 65 tokens: the squares in the order in which a diagram is read, a8 first, h1 last; then the side to move.
What decides about later moves stands on the squares, too: a rook that may still castle is another token than one that
may not, and a square where a pawn can be taken en passant is another than an empty one. Nothing of a FEN is lost but
the two counters of moves.

A move is three tokens: from, to, and what a pawn becomes. All moves of all answers are of one length then, so that the
first token of a move has the same index in every answer; and 69 ids are enough, where a token for every move would
take 1,968, most of them rare.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

SQUARES = [file + rank for rank in "87654321" for file in "abcdefgh"]
PROMOTIONS = ["", "q", "r", "b", "n"]
NO_PROMOTION = len(SQUARES)
LABELS = NO_PROMOTION + len(PROMOTIONS)
"""Ids of answers: squares, then promotions."""

EMPTY, EN_PASSANT = ".", "*"
PIECES = [EMPTY, EN_PASSANT, *"PNBRQKCpnbrqkc"]
"""What stands on a square; C and c are rooks that may castle."""
SIDES = ["w", "b"]
WORDS = [*SQUARES, *PROMOTIONS, *PIECES, *SIDES, "="]
"""What each id stands for; the last is the mark at the end of a prompt."""
PIECE_IDS = {piece: LABELS + place for place, piece in enumerate(PIECES)}
WHITE, BLACK = LABELS + len(PIECES), LABELS + len(PIECES) + 1
ANSWER_MARK = len(WORDS) - 1
MOVE = 3
"""Tokens of a move."""
POSITION = len(SQUARES) + 1
"""Tokens of a position."""


# -- symmetries ----------------------------------------------------------------------------------------------------


def _turns() -> np.ndarray:
    """Where each turn takes each square, [16, 64].

    Bit 0 of a turn: colours change, and top and bottom with them; 1: left and right; 2: top and bottom; 3: the long
    diagonal is the mirror.
    """
    rank, file = np.divmod(np.arange(64), 8)
    found = []
    for turn in range(16):
        row, column = (file, rank) if turn & 8 else (rank, file)
        row = 7 - row if bool(turn & 4) != bool(turn & 1) else row
        column = 7 - column if turn & 2 else column
        found.append(8 * row + column)
    return np.stack(found)


TO = _turns()
FROM = TO.argsort(axis=1)
"""Which square each turn brings to each, [16, 64]."""
ALL_TURNS, WITH_PAWNS, WITH_CASTLING = 15, 3, 1
"""The bits of turns that a position allows: pawns walk one way, and castling is not the same on both wings."""


_PAWNS, _CASTLING = ({PIECE_IDS[white], PIECE_IDS[white.lower()]} for white in "PC")


def _other_colours() -> np.ndarray:
    """Every id, and what it is when the colours change, [2, V]."""
    changed = np.arange(len(WORDS))
    for piece, number in PIECE_IDS.items():
        changed[number] = PIECE_IDS[piece.swapcase()]
    changed[WHITE], changed[BLACK] = BLACK, WHITE
    return np.stack([np.arange(len(WORDS)), changed])


COLOURS = _other_colours()
MOVES_TO = np.concatenate([TO, np.tile(np.arange(NO_PROMOTION, LABELS), (16, 1))], axis=1)
"""What each turn makes of a token of a move, [16, 69]."""


@functools.cache  # as in `splits.fixed`: a CUDA graph may read them for as long as the process lives
def _on(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    return tuple(torch.from_numpy(table.copy()).to(device) for table in (FROM, COLOURS, MOVES_TO))  # type: ignore[return-value]


def allowed(boards: Tensor) -> Tensor:
    """The bits of the turns that positions [B, 64 or more] allow, [B]."""
    squares = boards[:, :64]
    pawn, rook = (((squares == one) | (squares == other)).any(dim=1) for one, other in (_PAWNS, _CASTLING))
    bits = torch.where(pawn, WITH_PAWNS, ALL_TURNS)
    return torch.where(rook, WITH_CASTLING, bits)


def turned(positions: Tensor, answers: Tensor, turns: Tensor) -> tuple[Tensor, Tensor]:
    """Positions [B, 65] and the moves of their answers [B, A], each turned by its own of the 16, [B]."""
    source, colours, moves = _on(positions.device)
    squares = positions[:, :64].gather(1, source[turns])
    same = torch.cat([squares, positions[:, 64:]], dim=1)
    return colours[(turns & 1)[:, None], same], moves[turns[:, None], answers]


def canonical(position: Sequence[int]) -> bytes:
    """What all positions have in common that are one another's twins: the first of those with white to move.

    Twins are the eight turns of the board, or, with pawns, two; of each also that with the colours changed.
    """
    there, black = set(position[:64]), int(position[64] == BLACK)
    bits = WITH_CASTLING if there & _CASTLING else WITH_PAWNS if there & _PAWNS else ALL_TURNS
    turns = [turn | black for turn in range(0, 16, 2) if turn & ~bits == 0]
    twins = COLOURS[black][position[:64]].astype(np.uint8)[FROM[turns]]
    return min(twin.tobytes() for twin in twins)


# -- text ----------------------------------------------------------------------------------------------------------


def position_of(fen: str) -> list[int]:
    """The tokens of a position, [65], of a FEN that says no more than is so: rights to castle that are there, and the
    square of an en passant only where a pawn can take.

    Raises:
        ValueError: what is wrong with it.
    """
    placed, side, castling, en_passant = fen.split()[:4]
    squares: list[str] = []
    for row in placed.split("/"):
        for sign in row:
            squares += [EMPTY] * int(sign) if sign.isdigit() else [sign]
    if len(squares) != 64 or not set(squares) <= set(PIECES) - {"C", "c", EN_PASSANT}:
        raise ValueError(f"no board of eight by eight: {placed!r}")
    corners = {"K": "h1", "Q": "a1", "k": "h8", "q": "a8"}
    for right in castling.strip("-"):
        squares[SQUARES.index(corners[right])] = "C" if right.isupper() else "c"
    if en_passant != "-":
        squares[SQUARES.index(en_passant)] = EN_PASSANT
    return [*(PIECE_IDS[piece] for piece in squares), WHITE if side == "w" else BLACK]


def counted(placed: str) -> str:
    """The first field of a FEN, of one that has a dot for every empty square."""
    for count in range(8, 0, -1):
        placed = placed.replace(EMPTY * count, str(count))
    return placed


def fen_of(position: Sequence[int]) -> str:
    """The FEN of a position, its counters at their start; the other way round of `position_of`.

    Raises:
        ValueError: tokens that are no position.
    """
    if any(not LABELS <= token < WHITE for token in position[:64]) or position[64] not in (WHITE, BLACK):
        raise ValueError("tokens that are none of a position")
    squares = [WORDS[token] for token in position[:64]]
    signs = [{"C": "R", "c": "r", EN_PASSANT: EMPTY}.get(piece, piece) for piece in squares]
    placed = counted("/".join("".join(signs[first : first + 8]) for first in range(0, 64, 8)))
    rights = [(right, square, piece) for right, square, piece in zip("KQkq", (63, 56, 7, 0), "CCcc", strict=True)]
    castling = "".join(right for right, square, piece in rights if squares[square] == piece) or "-"
    en_passant = SQUARES[squares.index(EN_PASSANT)] if EN_PASSANT in squares else "-"
    return f"{placed} {'w' if position[64] == WHITE else 'b'} {castling} {en_passant} 0 1"


def line_of(moves: str) -> list[int]:
    """The tokens of moves such as "e7e8q a2a1", three of each.

    Raises:
        ValueError: what is no move.
    """
    found = []
    for move in moves.split():
        if move[:2] not in SQUARES or move[2:4] not in SQUARES or move[4:] not in PROMOTIONS:
            raise ValueError(f"{move!r} is no move such as e2e4 or e7e8q")
        found += [SQUARES.index(move[:2]), SQUARES.index(move[2:4]), NO_PROMOTION + PROMOTIONS.index(move[4:])]
    return found


def moves_of(line: Sequence[int]) -> str:
    """Moves as text, the other way round of `line_of`."""
    words = [WORDS[token] for token in line]
    return " ".join("".join(words[first : first + MOVE]) for first in range(0, len(words), MOVE))
