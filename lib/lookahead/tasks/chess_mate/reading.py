"""Mates from files: the Lichess puzzles, and the JSON of the published code, both ways."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import re
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lookahead.errors import LookaheadError, shown
from lookahead.files import write_text
from lookahead.tasks.chess_mate import boards, positions, rules
from lookahead.tasks.chess_mate.boards import MOVE, PROMOTIONS, WORDS, canonical, fen_of, moves_of, position_of
from lookahead.tasks.own_data import records
from lookahead.tasks.own_data.reading import kept_table, refuse_changed, refuse_useless, share_of_commonest, splits_by
from lookahead.tasks.own_data.records import LeftOut, Malformed, checksum
from lookahead.tasks.own_data.table import Collector, Table

FIELDS = ("FEN", "Moves", "Themes")
"""The columns of a Lichess file that are read."""
LAYOUT = ("prefix", "target")
"""The two lists of a file in the published layout."""


class Mate(NamedTuple):
    """A position and its solution, in tokens."""

    position: Sequence[int]
    answer: Sequence[int]
    first_moves: int
    """Legal moves in the position."""


def mates(file: str | Path, mate_in: int, left_out: LeftOut) -> Iterator[Mate]:
    """The mates in so many moves of a file, one by one.

    Args:
        file: `.json` is read as the published layout, all else as Lichess's table, of which lines with another theme
            are passed over.
        left_out: counts what is malformed.

    Raises:
        LookaheadError: the file cannot be read, or more lines are malformed than may be left out.
    """
    published = Path(file).suffix.lower() == ".json"
    for number, *fields in _entries(file) if published else records.records(file, *FIELDS):
        try:
            if isinstance(fields[0], Malformed):
                raise fields[0]
            if published:
                yield _of_layout(fields[0], fields[1], mate_in)
            elif f"mateIn{mate_in}" in fields[2].split():
                yield _of_puzzle(fields[0], fields[1], mate_in)
        except Malformed as fault:
            left_out.add(f"{'entry' if published else 'line'} {number}: {fault}")


def _of_puzzle(fen: str, moves: str, mate_in: int) -> Mate:
    """A puzzle of Lichess: a position, then moves, of which the first, the opponent's, leads to what is asked."""
    board, every = _board(fen), moves.split()
    if len(every) != 2 * mate_in:
        raise Malformed(f"{len(every)} moves; a mate in {mate_in} has {2 * mate_in}, the first of them the opponent's")
    _push(board, every[0], 1)
    return _solved(board, every[1:], first=2)


def _of_layout(prefix: Any, target: Any, mate_in: int) -> Mate:
    """An entry in the published layout, in which castling and en passant are lost, and moves are cut to 4 letters each
    from the end: what the last move's pawn became is found again, the first of q, r, b, n that mates."""
    if not isinstance(prefix, str) or not isinstance(target, str):
        raise Malformed(f"{LAYOUT[0]} and {LAYOUT[1]} are text, not {shown(prefix)} and {shown(target)}")
    placed, _, side = prefix.partition(" ")
    dots = re.sub("[1-8]", lambda digit: boards.EMPTY * int(digit[0]), placed.replace(",", ""))
    board, moves = _board(f"{boards.counted(dots)} {side} - - 0 1"), target.split()
    if len(moves) != 2 * mate_in - 1:
        raise Malformed(f"{len(moves)} moves; a mate in {mate_in} has {2 * mate_in - 1}: {shown(target)}")
    if len(moves[-1]) < 4:
        raise Malformed(f"the last move is cut off, as the published code does where a pawn is promoted: {target!r}")
    try:
        return _solved(board.copy(stack=False), moves, first=1)
    except Malformed:
        for promotion in PROMOTIONS[1:] if len(moves[-1]) == 4 else ():
            with contextlib.suppress(Malformed):
                return _solved(board.copy(stack=False), [*moves[:-1], moves[-1] + promotion], first=1)
        raise


def _board(fen: str) -> Any:
    try:
        board = rules.package().Board(fen)
    except ValueError as error:
        raise Malformed(f"no FEN ({error}): {shown(fen)}") from None
    if not board.is_valid():
        fault = str(board.status().name).lower().replace("_", " ").replace("|", ", ")
        raise Malformed(f"not a possible position ({fault}): {shown(fen)}")
    return board


def _push(board: Any, move: str, number: int) -> Any:
    try:
        if found := board.push_uci(move):
            return found
    except ValueError:
        pass
    raise Malformed(f"move {number}, {shown(move)}, is not legal in {board.fen()}")


def _solved(board: Any, moves: Sequence[str], first: int) -> Mate:
    """A position and its moves, counted from `first` on."""
    position, first_moves = position_of(board.fen()), board.legal_moves.count()
    answer: list[int] = []
    for number, move in enumerate(moves, first):
        answer += rules.tokens_of(_push(board, move, number))
    if not board.is_checkmate():
        raise Malformed(f"the last move, {moves[-1]}, does not mate: {shown(board.fen())}")
    return Mate(position, answer, first_moves)


# -- the published layout ------------------------------------------------------------------------------------------


def _entries(file: str | Path) -> Iterator[tuple[int, Any, Any]]:
    """Number, prefix and target of every entry of a file in the published layout."""
    try:
        whole = json.loads(Path(file).expanduser().read_text(encoding="utf-8"))
    except OSError as error:
        raise LookaheadError(f"{file} cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise LookaheadError(f"{file} is no JSON ({error})") from error
    parts: list[Any] = [whole.get(name) if isinstance(whole, dict) else None for name in LAYOUT]
    if not (all(isinstance(part, list) for part in parts) and len(parts[0]) == len(parts[1])):
        raise LookaheadError(
            f'{file} is not in the published layout, an object with two lists of one length, "prefix" and "target". '
            "Lichess's puzzles are read from a .csv, .csv.gz or .csv.zst"
        )
    for number, (prefix, target) in enumerate(zip(*parts, strict=True), 1):
        yield number, prefix, target


def write_published(file: str | Path, examples: Iterable[tuple[Sequence[int], Sequence[int]]], mate_in: int) -> int:
    """Writes positions and answers in the published layout, whole or not at all.

    The layout knows neither castling nor en passant, and no promotion but to the first piece that mates, as the last
    move. What would be read again as something else is left out.

    Returns:
        how many were left out.

    Raises:
        LookaheadError: nothing is left to be written, or the file cannot be.
    """
    lists: tuple[list[str], list[str]] = [], []
    left_out = 0
    for position, answer in examples:
        placed, side, *_ = fen_of(position).split()
        entry = f"{','.join(placed).replace(',/,', '/')} {side}", moves_of(answer)[: 5 * len(answer) // MOVE - 1]
        try:
            same = _of_layout(entry[0], entry[1], mate_in)[:2] == (list(position), list(answer))
        except Malformed:
            same = False
        left_out += not same
        for column, text in zip(lists, entry if same else (), strict=False):
            column.append(text)
    if not lists[0]:
        raise LookaheadError(f"{file}: nothing to write; of {left_out} examples the published layout can hold none")
    write_text(file, json.dumps(dict(zip(LAYOUT, lists, strict=True))) + "\n")
    return left_out


# -- tables --------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=4)
def read_table(file: str, mate_in: int, skip_bad: int, expected: str) -> Table:
    """The mates of a file, split; from the cache where they were read before.

    Raises:
        LookaheadError: the file cannot be read, or has another content than expected.
    """
    if Path(file).expanduser().exists():
        refuse_changed(file, checksum(file), expected)

    def fresh() -> Table:
        left_out = LeftOut(file, skip_bad)
        return table_of(mates(file, mate_in, left_out), left_out)

    readers = [records, boards, rules, sys.modules[__name__]]
    read = kept_table(file, ["chess", expected, mate_in, skip_bad], readers, fresh)
    refuse_useless(read, file)
    return read


@functools.cache
def shipped_table() -> Table:
    """The mates in two that come with the library; the package chess is not needed to read them."""
    rows = positions.rows()
    found = (Mate(position_of(f"{row['fen']} 0 1"), boards.line_of(row["line"]), row["first_moves"]) for row in rows)
    return table_of(found, LeftOut(positions.SHIPPED, 0))


def table_of(found: Iterable[Mate], left_out: LeftOut) -> Table:
    """A table of mates, with the cheat's accuracy as `chance`.

    A hash of what twins have in common says which part a position is in, so that all twins are in one.

    Raises:
        LookaheadError: there are none.
    """
    columns, hashes, answer_hashes = (Collector(), Collector()), array("Q"), array("Q")
    chance = 0.0
    for one in found:
        for column, tokens in zip(columns, one[:2], strict=True):
            column.add(array("i", tokens))
        hashes.append(_hash(canonical(one.position)))
        answer_hashes.append(_hash(bytes(one.answer)))
        chance += 1 / one.first_moves
    if not len(hashes):
        more = f" ({left_out.count} lines left out; the first: {left_out.first})" if left_out.count else ""
        raise LookaheadError(f"{left_out.file}: no such mates in it{more}")
    told = np.frombuffer(hashes, np.uint64)
    facts = {
        "skipped": left_out.count,
        "first_skipped": left_out.first,
        "commonest_answer": share_of_commonest(np.frombuffer(answer_hashes, np.uint64)),
    }
    same = np.arange(len(WORDS))
    prompts, solutions = (column.tokens(same) for column in columns)
    return Table.of(prompts, solutions, splits_by(told), told, told, facts, {"chance": chance / len(hashes)})


def _hash(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
