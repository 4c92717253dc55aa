"""Looks for endings in which exactly one move mates in two, proves them, and writes them beside the task `chess_mate`.

python tools/make_chess_positions.py    # half an hour of two cores; the same positions on every machine

Backwards: a position is drawn in which Black is to move; if every reply loses to a mate, one of White's moves is taken
back, and what comes out is kept if it is proved.
"""

import multiprocessing
import sys
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import torch
from pyarrow import parquet

from lookahead.files import replacing
from lookahead.random import integers
from lookahead.tasks.chess_mate.boards import canonical, moves_of, position_of
from lookahead.tasks.chess_mate.positions import COLUMNS, SHIPPED, checksum_of
from lookahead.tasks.chess_mate.rules import board_of, keys, line, mating_moves, package, refutation, tokens_of

MATE_IN = 2
ENDINGS = (
    *("Q", "R", "QR", "RR", "QB", "QN", "RB", "RN", "RBN", "QP", "RP", "QPP"),
    *("QR-r", "QR-rp", "QBP-p", "QN-n", "RR-r", "RR-b", "RR-n", "RR-p", "RR-rp", "RRB-b", "RRP-p", "RN-bp"),
)
"""What is drawn beside the kings: white's pieces, then black's."""
EACH, DRAWS, BATCH = 120, 20_000, 1_000
"""Positions wanted of an ending; draws for it at most, and at a time."""
BACK = 6
"""White's moves that are taken back at most, one after another, until a position is proved."""
TAKEN = [*[""] * 12, *"nbrpq"]
"""What the move that is taken back took, at random."""
EDGE = [square for square in range(64) if square // 8 in (0, 7) or square % 8 in (0, 7)]
"""Where seven black kings in eight are put: hardly another can be mated by so few pieces."""


def drawn(ending: str, quiet: bool) -> Iterator[tuple[dict[int, str], list[int]]]:
    """Pieces on squares, which are counted from a8 on, no rule looked at yet; and random numbers for what follows."""
    white, _, black = ending.partition("-")
    pieces = ["K", *white, *black]
    bounds = [8, len(EDGE), 64, *[64] * len(pieces), *[2**24] * BACK]
    for first in range(0, DRAWS, BATCH):
        numbers = integers(("chess positions", ending), torch.arange(first, first + BATCH), bounds).T
        for inside, edge, anywhere, *rest in numbers.tolist():
            others, chance = rest[: len(pieces)], rest[len(pieces) :]
            placed = dict(zip([anywhere if inside == 0 else EDGE[edge], *others], ["k", *pieces], strict=True))
            if len(placed) == len(pieces) + 1:
                yield placed, chance


def board(placed: dict[int, str], side: str) -> Any:
    """A `chess.Board`; None where a pawn stands on a last rank, or the side to move could take the king."""
    if any(piece in "Pp" and square // 8 in (0, 7) for square, piece in placed.items()):
        return None
    chess = package()
    found = chess.Board(None)
    for square, piece in placed.items():
        found.set_piece_at(square ^ 56, chess.Piece.from_symbol(piece))
    found.turn = side == "w"
    return found if found.is_valid() else None


def before(placed: dict[int, str], reached: Any, chance: int, quiet: bool) -> dict[int, str]:
    """Where the pieces stood before one of White's moves, which may have taken if it was not quiet, or promoted."""
    moves = []
    for square, piece in placed.items():
        if not piece.isupper():
            continue
        if piece == "P":
            sources = [square + 8, *([square + 16] if square // 8 == 4 and square + 8 not in placed else [])]
        else:
            sources = [source ^ 56 for source in reached.attacks(square ^ 56)]
        moves += [(square, source, piece) for source in sources if source not in placed]
        if square < 8 and piece in "QRBN" and square + 8 not in placed:
            moves.append((square, square + 8, "P"))
    if not moves:
        return placed
    square, source, piece = moves[chance // len(TAKEN) % len(moves)]
    earlier = {where: what for where, what in placed.items() if where != square} | {source: piece}
    straight = square % 8 == source % 8 and piece == "P"
    if not quiet and not straight and (taken := TAKEN[chance % len(TAKEN)]):
        earlier[square] = taken
    return earlier


def proved(position: list[int]) -> dict[str, Any] | None:
    """The row of a position in which White is to move; None if a move mates at once, or not exactly one in two."""
    here = board_of(position)
    if next(mating_moves(here), None) is not None or len(keys(here, MATE_IN, most=2)) != 1:
        return None
    first_moves = here.legal_moves.count()
    moves = line(here, MATE_IN)
    here.push(moves[0])
    replies = here.legal_moves.count()
    here.push(moves[1])
    mates = len(set(mating_moves(here)))
    said = moves_of([token for move in moves for token in tokens_of(move)])
    return {"line": said, "first_moves": first_moves, "replies": replies, "mates": mates}


def positions(ending: str, quiet: bool, wanted: int = EACH) -> list[dict[str, Any]]:
    """The first positions that are found from an ending, no two of them twins.

    Args:
        quiet: whether the right first move takes nothing; most that are found otherwise take something.
    """
    rows: list[dict[str, Any]] = []
    seen: set[bytes] = set()
    for placed, chances in drawn(ending, quiet):
        reached = board(placed, "b")
        if reached is None or reached.is_checkmate() or refutation(reached, MATE_IN - 1)[0]:
            continue
        for chance in chances:
            earlier = board(before(placed, reached, chance, quiet), "w")
            if earlier is None:
                continue
            position = position_of(earlier.fen())
            if (twin := canonical(position)) not in seen and (row := proved(position)) is not None:
                seen.add(twin)
                rows.append({"drawn": ending + " quiet" * quiet, "fen": " ".join(earlier.fen().split()[:4]), **row})
                break
        if len(rows) == wanted:
            break
    return rows


def _positions(job: tuple[str, bool]) -> list[dict[str, Any]]:
    return positions(*job)


def reached_by(row: dict[str, Any]) -> bytes:
    """What the position after the right move has in common with its twins: the rest of the answer hangs on it."""
    here = package().Board(f"{row['fen']} 0 1")
    here.push_uci(row["line"].split()[0])
    return canonical(position_of(here.fen()))


def main() -> None:
    """All endings, into the library; of those that the right move makes twins the first stays, quiet ones first."""
    rows, seen = [], set()
    jobs = [(ending, quiet) for quiet in (True, False) for ending in ENDINGS]
    with multiprocessing.Pool() as pool:
        for job, found in zip(jobs, pool.imap(_positions, jobs), strict=True):
            for row in found:
                if (twin := reached_by(row)) not in seen:
                    seen.add(twin)
                    rows.append(row)
            print(f"{job}: {len(found)}, in all {len(rows)}", file=sys.stderr, flush=True)
    table = pa.Table.from_pylist(rows, schema=COLUMNS)
    with replacing(SHIPPED) as temporary:
        parquet.write_table(table, temporary, compression="zstd", compression_level=19)
    print(f"{SHIPPED}: {len(table)} positions; CONTENT in positions.py is to be {checksum_of(table)!r}")


if __name__ == "__main__":
    main()
