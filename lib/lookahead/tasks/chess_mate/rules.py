"""The rules of chess, by python-chess, and the search that proves a mate."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from lookahead.errors import LookaheadError
from lookahead.tasks.chess_mate.boards import LABELS, MOVE, NO_PROMOTION, POSITION, fen_of, position_of

KEPT = 2**14
"""Positions and judgements that are remembered: the same examples are evaluated again and again."""


@functools.cache
def package() -> Any:
    """The package `chess`, imported here.

    Raises:
        LookaheadError: it is missing.
    """
    try:
        import chess
    except ImportError as error:
        raise LookaheadError(
            "the rules of chess come from the package chess, which is not installed: pip install 'chess>=1.11,<2'. Its "
            f"licence is GPL-3.0-or-later ({error})"
        ) from error
    return chess


@functools.lru_cache(maxsize=KEPT)
def _board(position: tuple[int, ...]) -> Any:
    return package().Board(fen_of(position))


def board_of(position: Sequence[int]) -> Any:
    """A `chess.Board` of one's own.

    Raises:
        ValueError: tokens that are no position.
    """
    return _board(tuple(position[:POSITION])).copy(stack=False)


def move_of(tokens: Sequence[int]) -> Any:
    """A `chess.Move` from its three tokens; None where they are no move."""
    start, end, promotion = tokens
    if not (0 <= start < NO_PROMOTION and 0 <= end < NO_PROMOTION and NO_PROMOTION <= promotion < LABELS):
        return None
    piece = None if promotion == NO_PROMOTION else NO_PROMOTION + 6 - promotion  # queen 5, ..., knight 2
    return package().Move(start ^ 56, end ^ 56, piece)


def tokens_of(move: Any) -> list[int]:
    """The three tokens of a `chess.Move`."""
    last = NO_PROMOTION if move.promotion is None else NO_PROMOTION + 6 - move.promotion
    return [move.from_square ^ 56, move.to_square ^ 56, last]


# -- the search ----------------------------------------------------------------------------------------------------


def legal(board: Any) -> list[Any]:
    """Legal moves in the order of their tokens."""
    return sorted(board.legal_moves, key=tokens_of)


def perhaps_checks(board: Any) -> Iterator[Any]:
    """Legal moves among which are all that give check; some may come twice."""
    chess, us = package(), board.turn
    king, occupied, own = board.king(not us), board.occupied, board.occupied_co[us]
    diagonal = chess.BB_DIAG_ATTACKS[king][chess.BB_DIAG_MASKS[king] & occupied]
    straight = chess.BB_RANK_ATTACKS[king][chess.BB_RANK_MASKS[king] & occupied]
    straight |= chess.BB_FILE_ATTACKS[king][chess.BB_FILE_MASKS[king] & occupied]
    before_last = chess.BB_RANK_7 if us else chess.BB_RANK_2
    anywhere = own & (diagonal | straight | board.pawns & before_last)  # they may uncover a check, or become a queen
    if board.ep_square is not None:
        anywhere |= own & board.pawns
    if anywhere:
        yield from board.generate_legal_moves(anywhere)
    for pieces, targets in (
        (board.queens, diagonal | straight),
        (board.rooks, straight),
        (board.bishops, diagonal),
        (board.knights, chess.BB_KNIGHT_ATTACKS[king]),
        (board.pawns, chess.BB_PAWN_ATTACKS[not us][king]),
    ):
        if pieces & own & ~anywhere:
            yield from board.generate_legal_moves(pieces & own & ~anywhere, targets)
    if board.castling_rights:
        yield from board.generate_castling_moves()


def mating_moves(board: Any) -> Iterator[Any]:
    """The moves that mate at once; some may come twice."""
    for move in perhaps_checks(board):
        board.push(move)
        mated = board.is_checkmate()
        board.pop()
        if mated:
            yield move


def wins(board: Any, moves: int) -> bool:
    """Whether the side to move mates in at most so many moves of its own, whatever the defence."""
    if next(mating_moves(board), None) is not None:
        return True
    if moves == 1:
        return False
    forcing = list(perhaps_checks(board))
    return any(proves(board, move, moves) for move in [*forcing, *(set(board.legal_moves) - set(forcing))])


def proves(board: Any, move: Any, moves: int) -> bool:
    """Whether a move, the first of so many, leads to mate against every defence."""
    board.push(move)
    refuted, _ = refutation(board, moves - 1)
    board.pop()
    return not refuted


def refutation(board: Any, moves: int, guess: Any = None) -> tuple[bool, Any]:
    """Whether the side to move escapes mate in so many moves of the other side, and by which move.

    Args:
        guess: a move to try first.
    """
    tried = None
    first = [guess] if guess is not None and board.is_legal(guess) else []
    for reply in itertools.chain(first, board.generate_legal_moves()):
        if moves == 0:
            return True, reply
        board.push(reply)
        mated = wins(board, moves)
        board.pop()
        if not mated:
            return True, reply
        tried = reply
    return tried is None and not board.is_check(), None  # without a reply it is stalemate, or mate


def keys(board: Any, moves: int, most: int = 1000) -> list[Any]:
    """All first moves that lead to mate in at most so many moves, whatever the defence, in the order of tokens.

    Args:
        most: the search ends when so many are found.
    """
    found, guess = [], None
    for move in legal(board):
        if len(found) == most:
            break
        board.push(move)
        refuted, reply = refutation(board, moves - 1, guess)
        board.pop()
        guess = reply or guess
        if not refuted:
            found.append(move)
    return found


def defence(board: Any, moves: int) -> Any:
    """The reply that is written down: it holds out longest; of those the one after which the fewest moves mate (or
    keep to the shortest mate); of those the first in the order of tokens."""

    def worth(reply: Any) -> tuple[int, int]:
        board.push(reply)
        needed = next(count for count in range(1, moves + 1) if wins(board, count))
        ways = len(set(mating_moves(board))) if needed == 1 else len(keys(board, needed))
        board.pop()
        return -needed, ways

    return min(legal(board), key=worth)  # the first of several


def line(board: Any, moves: int) -> list[Any]:
    """A proved line of so many moves and the replies between them; each move the first in the order of tokens.

    Raises:
        ValueError: there is no mate in so many moves.
    """
    found, board = [], board.copy(stack=False)
    for left in range(moves, 0, -1):
        first = keys(board, left, most=1) if left > 1 else sorted(set(mating_moves(board)), key=tokens_of)
        if not first:
            raise ValueError(f"no mate in {moves}: {board.fen()}")
        found.append(first[0])
        board.push(first[0])
        if left > 1:
            found.append(defence(board, left - 1))
            board.push(found[-1])
    return found


# -- judging -------------------------------------------------------------------------------------------------------


def is_position(position: Sequence[int]) -> bool:
    """Whether tokens are a possible position, which says no more than is so of castling and en passant."""
    try:
        board = board_of(position)
    except ValueError:
        return False
    return board.is_valid() and position_of(board.fen()) == list(position)


def is_line(position: Sequence[int], given: Sequence[int]) -> bool:
    """Whether all moves are legal and the last one mates."""
    board = board_of(position)
    for place in range(0, len(given), MOVE):
        move = move_of(given[place : place + MOVE])
        if move is None or not board.is_legal(move):
            return False
        board.push(move)
    return board.is_checkmate()


@functools.lru_cache(maxsize=KEPT)
def is_right(position: tuple[int, ...], stored: tuple[int, ...], given: tuple[int, ...]) -> bool:
    """Whether a line is legal, ends in mate, and each of its own moves leads to mate whatever the defence.

    Args:
        stored: a line that is right; what another has in common with its beginning needs no second proof.
    """
    if not is_line(position, given):
        return False
    board, moves = board_of(position), (len(given) // MOVE + 1) // 2
    for number in range(moves):
        first = 2 * number * MOVE
        move = move_of(given[first : first + MOVE])
        known = given[: first + MOVE] == stored[: first + MOVE]
        if not (known or number == moves - 1 or proves(board, move, moves - number)):
            return False
        board.push(move)
        if number < moves - 1:
            board.push(move_of(given[first + MOVE : first + 2 * MOVE]))
    return True
