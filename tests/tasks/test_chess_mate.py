"""Chess: positions as tokens, proved mates, files of puzzles both ways, and who is right."""

import functools
import gzip
import json
import random
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import chess
import numpy as np
import pyarrow as pa
import pytest
import torch

import lookahead
import make_chess_positions
import own_file
from lookahead import LookaheadError
from lookahead.contracts import SPLITS
from lookahead.errors import Corrupt
from lookahead.tasks import ChessMate
from lookahead.tasks.chess_mate import boards, positions, reading, rules
from own_file import TINY

MORPHY = "kbK5/pp6/1P6/8/8/8/8/R7 w - - 0 1"
"""Paul Morphy's problem, mate in two: a1a6, and then whatever Black takes or moves."""
CASTLING = "1N3k2/8/6Q1/8/8/8/4R3/4K2R w K - 0 1"
"""White castles, which mates."""
EN_PASSANT = "3k1K2/8/8/2RPp3/3Q4/8/8/8 w - e6 0 1"
"""The pawn on d5 takes on e6, which mates."""
TASK = ChessMate()
HEAD = "PuzzleId,FEN,Moves,Rating,RatingDeviation,Popularity,NbPlays,Themes,GameUrl,OpeningTags"


@functools.cache
def shipped() -> list[dict[str, Any]]:
    return positions.rows()


def some_rows(count: int) -> list[dict[str, Any]]:
    return random.Random(5).sample(shipped(), min(count, len(shipped())))


def position(fen: str) -> list[int]:
    return boards.position_of(fen)


def judged(fen: str, stored: str, *given: str, mate_in: int = 2) -> list[bool]:
    """Which lines are right in a position, by the task."""
    prompts = torch.tensor([[*position(fen), boards.ANSWER_MARK]]).expand(len(given), -1)
    answers = torch.tensor([boards.line_of(stored)]).expand(len(given), -1)
    task = TASK if mate_in == 2 else ChessMate(file=puzzle_file(), mate_in=mate_in)
    return task.correct(prompts, answers, torch.tensor([boards.line_of(one) for one in given])).tolist()


# -- tokens --------------------------------------------------------------------------------------------------------

FENS = [
    chess.STARTING_FEN,
    "r3k2r/8/8/3pP3/8/8/8/R3K2R w KQkq d6 0 1",
    "r3k2r/8/8/8/8/8/8/R3K2R b Kq - 0 1",
    "4k3/8/8/8/2pP4/8/8/4K3 b - d3 0 1",
    MORPHY,
]


@pytest.mark.parametrize("fen", FENS)
def test_nothing_of_a_position_is_lost(fen: str) -> None:
    tokens = position(fen)
    assert len(tokens) == boards.POSITION
    assert boards.fen_of(tokens) == fen
    assert rules.board_of(tokens) == chess.Board(fen)
    assert rules.is_position(tokens)


def test_moves_are_three_tokens() -> None:
    line = boards.line_of("e7e8n a2a1")
    assert [boards.WORDS[token] for token in line] == ["e7", "e8", "n", "a2", "a1", ""]
    assert boards.moves_of(line) == "e7e8n a2a1"
    assert [rules.move_of(line[:3]), rules.move_of(line[3:])] == [*map(chess.Move.from_uci, ("e7e8n", "a2a1"))]
    assert [*rules.tokens_of(chess.Move.from_uci("e7e8n")), *rules.tokens_of(chess.Move.from_uci("a2a1"))] == line
    for wrong in ("e9e4", "e2", "e2e4k", "e2e4qq"):
        with pytest.raises(ValueError, match="no move such as"):
            boards.line_of(wrong)


@pytest.mark.parametrize(
    "wrong", ["8/8/8/8 w - -", "9/8/8/8/8/8/8/8 w - -", "8/8/8/8/8/8/8/7x w - -", "8/8/8/8/8/8/8/7C w - -"]
)
def test_what_is_no_board_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="no board of eight by eight"):
        position(wrong)


def test_tokens_that_say_what_is_not_so_are_no_position() -> None:
    good = position("r3k2r/8/8/3pP3/8/8/8/R3K2R w KQkq d6 0 1")
    for square, piece in {"d6": ".", "a8": "r", "e1": ".", "e8": "K", "a1": "*", "h8": "P"}.items():
        wrong = list(good)
        wrong[boards.SQUARES.index(square)] = boards.PIECE_IDS[piece]
        assert rules.is_position(wrong) == (square in ("d6", "a8"))  # a right that was there may be gone
    for square in ("c6", "b8"):
        wrong = list(good)
        wrong[boards.SQUARES.index(square)] = boards.PIECE_IDS["*"]
        assert not rules.is_position(wrong)


# -- symmetries ----------------------------------------------------------------------------------------------------


def twins(fen: str, line: str) -> list[tuple[list[int], list[int]]]:
    """A position and its line, turned in each way that the position allows."""
    one = torch.tensor([position(fen)])
    bits = int(boards.allowed(one)[0])
    turns = torch.tensor([turn for turn in range(16) if turn & ~bits == 0])
    prompts, answers = boards.turned(
        one.expand(len(turns), -1), torch.tensor([boards.line_of(line)]).expand(len(turns), -1), turns
    )
    return list(zip(prompts.tolist(), answers.tolist(), strict=True))


@pytest.mark.parametrize(
    ("fen", "line", "different"),
    [
        ("8/8/8/8/8/2k5/7q/K7 b - - 0 1", "h2b2", 16),
        (MORPHY, "a1a6 b8c7 a6a7", 4),
        (EN_PASSANT, "d5e6", 4),
        (CASTLING, "e1g1", 2),
    ],
)
def test_twins_are_alike(fen: str, line: str, different: int) -> None:
    """Their lines are legal, and what they have in common is the same."""
    found = twins(fen, line)
    assert len({tuple(board) for board, _ in found}) == different
    assert len({boards.canonical(board) for board, _ in found}) == 1
    for board, moves in found:
        assert rules.is_position(board)
        here = rules.board_of(board)
        for first in range(0, len(moves), boards.MOVE):
            here.push(here.find_move(*squares(moves[first : first + boards.MOVE])))


def squares(tokens: Sequence[int]) -> tuple[int, int]:
    return tokens[0] ^ 56, tokens[1] ^ 56


def test_other_positions_are_no_twins() -> None:
    names = ["8/8/8/8/8/2k5/7q/K7 b - -", "8/8/8/8/8/2k5/6q1/K7 b - -", "8/8/8/8/8/2k5/7r/K7 b - -"]
    names += ["8/8/8/8/8/2k5/7q/K7 w - -", "8/8/8/8/8/2k4p/7q/K7 b - -", "8/7q/2k4p/8/8/8/8/K7 b - -"]
    assert len({boards.canonical(position(name)) for name in names}) == len(names)


def test_the_set_has_all_twins_in_one_part() -> None:
    parts: dict[bytes, set[str]] = {}
    for split in SPLITS:
        prompts, _ = TASK.sample(split, torch.arange(700))
        for row in prompts.tolist():
            parts.setdefault(boards.canonical(row), set()).add(split)
    assert all(len(found) == 1 for found in parts.values())
    without = ChessMate(symmetries=False)
    assert not torch.equal(TASK.sample("test", torch.arange(50))[0], without.sample("test", torch.arange(50))[0])
    fens = {line.rsplit(" ", 1)[0] for line in without.text(without.sample("test", torch.arange(50))[0])}
    assert fens <= {row["fen"] for row in shipped()}


# -- the search ----------------------------------------------------------------------------------------------------


def test_no_check_is_overlooked() -> None:
    """All moves that give check are among those looked at, in games played at random."""
    drawn, checks = random.Random(1), 0
    for _ in range(4):
        board = chess.Board()
        while (moves := list(board.legal_moves)) and board.fullmove_number < 60:
            giving = {move for move in moves if board.gives_check(move)}
            assert giving <= set(rules.perhaps_checks(board)) <= set(moves)
            checks += len(giving)
            board.push(drawn.choice(moves))
    assert checks > 200
    for fen in (CASTLING, EN_PASSANT):
        board = chess.Board(fen)
        assert {move for move in board.legal_moves if board.gives_check(move)} <= set(rules.perhaps_checks(board))


def mated(board: chess.Board, moves: int) -> bool:
    """Whether the side to move is mated by so many moves of the other side, whatever it does; as plainly as can be."""
    if board.is_checkmate():
        return True
    if moves == 0 or not any(board.legal_moves):
        return False
    for reply in board.legal_moves:
        board.push(reply)
        found = any(leads_to(board, move, moves - 1) for move in board.legal_moves)
        board.pop()
        if not found:
            return False
    return True


def leads_to(board: chess.Board, move: chess.Move, moves: int) -> bool:
    board.push(move)
    found = mated(board, moves)
    board.pop()
    return found


@pytest.mark.parametrize("row", some_rows(12), ids=lambda row: row["fen"])
def test_a_sample_of_the_set_is_proved_again(row: dict[str, Any]) -> None:
    """By a search of its own: one first move, and only that, mates in two; none at once; the counts are true."""
    board = chess.Board(f"{row['fen']} 0 1")
    assert board.is_valid()
    line = [chess.Move.from_uci(move) for move in row["line"].split()]
    assert not any(leads_to(board, move, 0) for move in board.legal_moves)
    assert [move for move in board.legal_moves if leads_to(board, move, 1)] == line[:1]
    assert board.legal_moves.count() == row["first_moves"]
    board.push(line[0])
    assert board.legal_moves.count() == row["replies"]
    ways = {}
    for reply in board.legal_moves:
        board.push(reply)
        ways[reply] = [move for move in board.legal_moves if leads_to(board, move, 0)]
        board.pop()
    assert len(ways[line[1]]) == row["mates"] == min(map(len, ways.values()))
    assert line[2] in ways[line[1]]


def test_the_set_is_what_the_task_says() -> None:
    rows = shipped()
    text = re.sub(r"\s+", " ", ChessMate.__doc__ or "")
    said = {
        "count": f"{len(rows):,} positions",
        "chance": f"that is on {np.mean([1 / row['first_moves'] for row in rows]):.3f}",
        "forced": f"in {np.mean([row['replies'] == 1 for row in rows]):.0%} of the positions the reply is forced",
        "unique": f"in {np.mean([row['mates'] == 1 for row in rows]):.0%} a single move mates after it",
        "both": f"in {np.mean([row['replies'] == row['mates'] == 1 for row in rows]):.0%} both",
        "checks": f"{np.mean([gives_check(row) for row in rows]):.0%} of the right first moves give check",
        "takes": f"{np.mean([takes(row) for row in rows]):.0%} take something",
        "eager": f"is right on {np.mean([eager(row) for row in rows]):.3f}",
    }
    assert {name: words for name, words in said.items() if words not in text} == {}
    assert TASK.chance_accuracy == pytest.approx(np.mean([1 / row["first_moves"] for row in rows]))
    counts = TASK.facts.prompts
    assert sum(counts.values()) == len(rows) == TASK.facts.examples >= 2000
    for split, share in zip(SPLITS, (0.8, 0.1, 0.1), strict=True):
        assert abs(counts[split] / len(rows) - share) < 5 * (share * (1 - share) / len(rows)) ** 0.5
    assert positions.SHIPPED.stat().st_size < 300_000


def gives_check(row: dict[str, Any]) -> bool:
    return chess.Board(f"{row['fen']} 0 1").gives_check(chess.Move.from_uci(row["line"][:4]))


def takes(row: dict[str, Any]) -> bool:
    return chess.Board(f"{row['fen']} 0 1").is_capture(chess.Move.from_uci(row["line"][:4]))


def eager(row: dict[str, Any]) -> float:
    """How often the right move is met by a check or a capture at random, where there are such."""
    board, right = chess.Board(f"{row['fen']} 0 1"), chess.Move.from_uci(row["line"].split()[0])
    moves = list(board.legal_moves)
    forcing = [move for move in moves if board.is_capture(move) or board.gives_check(move)] or moves
    return (right in forcing) / len(forcing)


def test_the_set_can_be_made_again() -> None:
    """Its first positions of an ending, by the tool; no two lead to the same one, or to twins."""
    there = {make_chess_positions.reached_by(row) for row in shipped()}
    assert len(there) == len(shipped())
    for ending, quiet in (("RRP-p", True), ("QR", True)):
        kept = [row for row in shipped() if row["drawn"] == ending + " quiet" * quiet]
        made = make_chess_positions.positions(ending, quiet, wanted=3)
        assert {make_chess_positions.reached_by(row) for row in made} <= there
        assert made[0] in kept[:1]
        assert not any(map(takes, kept))


def test_a_damaged_set_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(positions, "CONTENT", "another")
    with pytest.raises(Corrupt, match="not what came with the library"):
        positions.rows()


def test_the_defence_that_is_written_down_holds_out_longest() -> None:
    """Of those that are mated as late, the one that leaves the fewest mates, then the first in the order of tokens."""
    board = chess.Board("2k4R/8/5R2/3K4/8/8/8/8 b - - 0 1")
    assert {reply.uci(): needed(board, reply) for reply in board.legal_moves} == {"c8d7": 1, "c8c7": 2, "c8b7": 2}
    assert rules.defence(board, 2).uci() in ("c8c7", "c8b7")
    board = chess.Board("1R6/8/8/8/8/k7/5K2/3R4 b - - 0 1")
    assert {reply.uci(): needed(board, reply) for reply in board.legal_moves} == {"a3a4": 1, "a3a2": 2}
    assert rules.defence(board, 2).uci() == "a3a2"
    row = next(row for row in shipped() if row["replies"] > 1)
    board = chess.Board(f"{row['fen']} 0 1")
    board.push_uci(row["line"].split()[0])
    assert rules.defence(board, 1).uci() == row["line"].split()[1]


def needed(board: chess.Board, reply: chess.Move) -> int:
    """How many moves the mate takes after a reply, two at most."""
    board.push(reply)
    found = next(count for count in (1, 2) if any(leads_to(board, move, count - 1) for move in board.legal_moves))
    board.pop()
    return found


# -- who is right --------------------------------------------------------------------------------------------------


def test_any_line_that_mates_is_right() -> None:
    stored = "a1a6 b8c7 a6a7"
    assert judged(MORPHY, stored, stored, "a1a6 b7a6 b6b7", "a1a6 b8f4 a6a7") == [True] * 3


@pytest.mark.parametrize(
    "given",
    [
        "a1a5 b8c7 a5a7",  # mates with the other side's help: b7b6 would hold
        "a1a6 b8c7 a6a5",  # no mate
        "a1a6 b7a6 b6b7q",  # a pawn that is promoted too early
        "a1a6 b7b5 b6b7",  # an illegal reply
        "a1a1 b8c7 a6a7",  # no move at all
        "b6a7 b8c7 a1a2",
    ],
)
def test_other_lines_are_wrong(given: str) -> None:
    assert judged(MORPHY, "a1a6 b8c7 a6a7", given) == [False]


def test_another_first_move_is_right_where_it_mates_against_every_defence() -> None:
    fen = "6k1/5ppp/8/8/8/8/R7/K3R3 w - - 0 1"  # the back rank: at once; two ways to do so
    assert judged(fen, "a2a8", "e1e8", "a2a7", mate_in=1) == [True, False]
    two = "7k/8/R7/1R6/8/8/8/K7 w - - 0 1"  # two rooks: either goes to the seventh rank
    keys = [move.uci() for move in rules.keys(chess.Board(two), 2)]
    assert len(keys) > 1
    lines = []
    for key in keys:
        board = chess.Board(two)
        board.push_uci(key)
        reply = rules.defence(board, 1)
        board.push(reply)
        lines.append(f"{key} {reply.uci()} {next(rules.mating_moves(board)).uci()}")
    assert judged(two, lines[0], *lines) == [True] * len(lines)


def test_tokens_that_are_no_moves_are_wrong_answers() -> None:
    prompts, answers = TASK.sample("test", torch.arange(8))
    for place, token in ((0, boards.NO_PROMOTION), (2, 0), (5, boards.ANSWER_MARK), (8, TASK.vocab_size + 3)):
        given = answers.clone()
        given[:, place] = token
        assert not TASK.correct(prompts, answers, given).any()


def test_castling_and_en_passant_can_mate() -> None:
    assert judged(CASTLING, "e1g1", "e1g1", "h1h2", mate_in=1) == [True, False]
    assert rules.is_line(position(EN_PASSANT), boards.line_of("d5e6"))
    assert not rules.is_line(position(EN_PASSANT.replace("e6", "-")), boards.line_of("d5e6"))
    assert not rules.is_line(position(CASTLING.replace("K -", "- -")), boards.line_of("e1g1"))


# -- files ---------------------------------------------------------------------------------------------------------


def puzzle(row: dict[str, Any]) -> tuple[str, str] | None:
    """A position of the set as Lichess would have it: the position before the king's last move, and all moves."""
    after = chess.Board(f"{row['fen']} 0 1")
    king = after.king(chess.BLACK)
    assert king is not None
    for source in after.attacks(king):
        board = after.copy()
        if board.piece_at(source) is None:
            board.remove_piece_at(king)
            board.set_piece_at(source, chess.Piece.from_symbol("k"))
            board.turn = chess.BLACK
            move = chess.Move(source, king)
            if board.is_valid() and board.is_legal(move):
                return board.fen(), f"{move.uci()} {row['line']}"
    return None


def lines(found: Iterable[tuple[str, str, str]]) -> list[str]:
    """A file's, of the FEN, moves and themes of each puzzle."""
    rows = (f"x{number},{','.join(one[:2])},1500,80,90,999,{one[2]},there#1," for number, one in enumerate(found))
    return [HEAD, *rows]


@functools.cache
def puzzles() -> list[tuple[str, str, str]]:
    """Puzzles of the theme, and mates in one, which are their ends."""
    found = []
    for row in some_rows(480):
        if (one := puzzle(row)) is not None:
            found.append((*one, "endgame mate mateIn2 short"))
            board = chess.Board(f"{row['fen']} 0 1")
            first, reply, last = row["line"].split()
            board.push_uci(first)
            found.append((board.fen(), f"{reply} {last}", "mate mateIn1 oneMove"))
    return found


@functools.cache
def puzzle_file() -> str:
    """The path of a file that lies there for as long as the tests run."""
    return str(own_file.lying("puzzles.csv", "\n".join(lines(puzzles())) + "\n"))


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_lichess_puzzles_are_read(tmp_path: Path, ending: str) -> None:
    content, path = Path(puzzle_file()).read_bytes(), tmp_path / f"lichess_db_puzzle.csv{ending}"
    if ending == ".zst":
        with pa.CompressedOutputStream(str(path), "zstd") as file:
            file.write(content)
    else:
        path.write_bytes(gzip.compress(content) if ending else content)
    task = ChessMate(file=str(path), symmetries=False)
    assert task.title == f"mate in 2 (lichess_db_puzzle.csv{ending})"
    wanted = [(fen, moves) for fen, moves, themes in puzzles() if "mateIn2" in themes]
    assert task.facts.examples == len(wanted) > 300
    prompts, answers = task.read_examples(path)
    task.check_examples(prompts, answers)
    for (fen, moves), text in zip(wanted, task.text(torch.cat([prompts, answers], dim=1)), strict=True):
        board = chess.Board(fen)
        board.push_uci(moves.split()[0])
        assert text == f"{' '.join(board.fen().split()[:4])} ={moves.split(' ', 1)[1]}"
    for split in SPLITS:
        prompts, answers = task.sample(split, torch.arange(30))
        task.check_examples(prompts, answers)
        assert task.correct(prompts, answers, answers).all()


def test_mates_in_one_of_the_same_file() -> None:
    task = ChessMate(puzzle_file(), mate_in=1)
    assert task.answer_length == 3
    prompts, answers = task.sample("train", torch.arange(64))
    task.check_examples(prompts, answers)
    assert task.facts.examples == sum("mateIn1" in themes for *_, themes in puzzles())
    assert 0 < task.chance_accuracy < 0.5


@pytest.mark.parametrize(
    ("fen", "moves", "fault"),
    [
        ("7k/8/8/8 w - - 0 1", "a1a2 a2a3 a3a4 a4a5", r"no FEN \(expected 8 rows"),
        ("8/8/8/8/8/8/8/KQ6 b - - 0 1", "a1a2 a2a3 a3a4 a4a5", r"not a possible position \(no black king\)"),
        ("7k/8/8/8/8/8/8/KQ6 b - - 0 1", "h8g8 b1b2", "2 moves; a mate in 2 has 4, the first of them the opponent's"),
        ("7k/8/8/8/8/8/8/KQ6 b - - 0 1", "h8h6 b1b2 h8h7 b2b3", "move 1, 'h8h6', is not legal"),
        ("7k/8/8/8/8/8/8/KQ6 b - - 0 1", "h8g8 b1b9 h8h7 b2b3", "move 2, 'b1b9', is not legal"),
        ("7k/8/8/8/8/8/8/KQ6 b - - 0 1", "0000 b1b2 h8h7 b2b3", "move 1, '0000', is not legal"),
        ("7k/8/8/8/8/8/8/KQ6 b - - 0 1", "h8g8 b1b2 g8f7 b2b3", "the last move, b2b3, does not mate"),
    ],
)
def test_a_malformed_puzzle_is_named(tmp_path: Path, fen: str, moves: str, fault: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("\n".join(lines([*puzzles()[:3], (fen, moves, "mateIn2"), *puzzles()[3:]])) + "\n")
    task = ChessMate(file=str(path))
    with pytest.raises(LookaheadError, match=f"bad.csv, line 5: {fault}"):
        task.sample("train", torch.arange(2))
    lenient = ChessMate(file=str(path), skip_bad=1)
    with pytest.warns(UserWarning, match="1 lines left out; the first: line 5"):
        assert lenient.facts.skipped == 1


def test_other_themes_are_not_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "more.csv"
    path.write_text("\n".join(lines([("nonsense", "nonsense", "fork mateIn22 xmateIn2"), *puzzles()])) + "\n")
    assert ChessMate(file=str(path)).facts.skipped == 0


def test_files_that_are_none_of_puzzles(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(LookaheadError, match="has no field 'FEN'; the fields there are: a, b"):
        _ = ChessMate(file=str(path)).facts
    path.write_text("\n".join(lines([("x", "y", "fork")])) + "\n")
    with pytest.raises(LookaheadError, match="no such mates in it"):
        _ = ChessMate(file=str(path)).facts
    path.write_text("\n".join(lines(puzzles()[:20])) + "\n")
    with pytest.raises(LookaheadError, match="too small to hold anything out"):
        _ = ChessMate(file=str(path)).facts
    with pytest.raises(LookaheadError, match="cannot be read"):
        ChessMate(file=str(tmp_path / "none.csv"))


def test_a_file_that_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "puzzles.csv"
    path.write_text(Path(puzzle_file()).read_text())
    task = ChessMate(file=str(path))
    assert ChessMate.checked(file=path) == {"file": str(path), "checksum": task.checksum}
    path.write_text("\n".join(lines(puzzles()[2:])) + "\n")
    with pytest.raises(LookaheadError, match="is not what it was"):
        _ = task.facts


def test_other_mates_need_a_file() -> None:
    with pytest.raises(LookaheadError, match="mates in 2: for mate_in=1 name a file"):
        ChessMate(mate_in=1)
    with pytest.raises(LookaheadError, match="mate_in must be at least 1 and at most 3"):
        ChessMate(mate_in=4)


# -- the published layout ------------------------------------------------------------------------------------------


def test_the_published_layout_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "mate_in_2.json"
    prompts, answers = TASK.sample("train", torch.arange(200))
    plain = (answers.view(200, 3, 3)[:, :, 2] == boards.NO_PROMOTION).all(dim=1)
    left_out = TASK.write(path, prompts, answers)
    assert left_out <= (~plain).sum()
    again = TASK.read_examples(path)
    written = {tuple(row) for row in torch.cat([prompts, answers], dim=1).tolist()}
    read = {tuple(row) for row in torch.cat(again, dim=1).tolist()}
    assert read <= written
    assert {tuple(row) for row in torch.cat([prompts, answers], dim=1)[plain].tolist()} <= read
    whole = json.loads(path.read_text())
    assert list(whole) == ["prefix", "target"]
    assert len(whole["prefix"]) == len(whole["target"]) == 200 - left_out
    task = ChessMate(file=str(path))
    with pytest.raises(LookaheadError, match="too small"):
        _ = task.facts


def entry(tmp_path: Path, prefix: str, target: str, **options: Any) -> list[str]:
    """An entry as it is read."""
    path = tmp_path / "one.json"
    path.write_text(json.dumps({"prefix": [prefix], "target": [target]}))
    task = ChessMate(file=str(path), **options)
    return task.text(torch.cat(task.read_examples(path), dim=1))


def test_an_entry_of_the_published_layout(tmp_path: Path) -> None:
    told = "k,b,K,5/p,p,6/1,P,6/8/8/8/8/R,7 w"
    unrolled = "k,b,K,1,1,1,1,1/p,p,1,1,1,1,1,1/1,P,1,1,1,1,1,1/" + "1,1,1,1,1,1,1,1/" * 4 + "R,1,1,1,1,1,1,1 w"
    wanted = "kbK5/pp6/1P6/8/8/8/8/R7 w - - =a1a6 b8c7 a6a7"
    assert entry(tmp_path, told, "a1a6 b8c7 a6a7") == [wanted]
    assert entry(tmp_path, unrolled, "a1a6 b8c7 a6a7") == [wanted]
    path = tmp_path / "back.json"
    prompts, answers = TASK.read_examples(tmp_path / "one.json")
    assert TASK.write(path, prompts, answers) == 0
    assert json.loads(path.read_text()) == {"prefix": [told], "target": ["a1a6 b8c7 a6a7"]}


def test_a_promotion_that_was_cut_off_is_found_again(tmp_path: Path) -> None:
    fen = "7k/P7/7K/8/8/8/8/8 w - - 0 1"
    prefix = "7,k/P,7/7,K/8/8/8/8/8 w"
    (found,) = entry(tmp_path, prefix, "a7a8", mate_in=1)
    assert found == f"{' '.join(fen.split()[:4])} =a7a8q"
    with pytest.raises(LookaheadError, match="entry 1: the last move is cut off"):
        entry(tmp_path, "8/P,7/8/8/8/8/8/K,6,k w", "a7a8q h1h2 b2b", mate_in=2)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("{", "is no JSON"),
        ("[]", "not in the published layout"),
        ('{"prefix": ["x"], "target": []}', "not in the published layout"),
        ('{"prefix": ["8/8/8 w"], "target": ["a1a2 a2a3 a3a4"]}', "entry 1: no FEN"),
        ('{"prefix": [3], "target": ["a1a2 a2a3 a3a4"]}', "entry 1: prefix and target are text, not 3"),
        (
            '{"prefix": ["k,b,K,5/p,p,6/1,P,6/8/8/8/8/R,7 w"], "target": ["a1a6"]}',
            "entry 1: 1 moves; a mate in 2 has 3",
        ),
        ('{"prefix": ["k,b,K,5/p,p,6/1,P,6/8/8/8/8/R,7 w"], "target": ["a1a6 b8c7 a6a5"]}', "entry 1: the last move"),
    ],
)
def test_a_file_that_is_not_in_the_published_layout(tmp_path: Path, content: str, fault: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(LookaheadError, match=f"bad.json.*{fault}"):
        TASK.read_examples(path)


def test_what_the_published_layout_cannot_hold_is_left_out(tmp_path: Path) -> None:
    """Castling is none of it; a file of nothing is not written."""
    one = (position(CASTLING), boards.line_of("e1g1"))
    plain = (position("7k/P7/7K/8/8/8/8/8 w - - 0 1"), boards.line_of("a7a8q"))
    rook = (plain[0], boards.line_of("a7a8r"))
    assert reading.write_published(tmp_path / "some.json", [one, plain, rook], 1) == 2
    with pytest.raises(LookaheadError, match="nothing to write; of 1 examples"):
        reading.write_published(tmp_path / "none.json", [one], 1)
    assert not (tmp_path / "none.json").exists()


# -- use -----------------------------------------------------------------------------------------------------------


def test_without_the_package_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples that come with the library are drawn all the same; to judge them takes the rules."""
    monkeypatch.setitem(sys.modules, "chess", None)
    rules.package.cache_clear()
    try:
        prompts, answers = ChessMate().sample("train", torch.arange(4))
        assert TASK.text(prompts)
        for asked in (
            lambda: TASK.correct(prompts, answers, answers.flip(0)),
            lambda: TASK.check_examples(prompts, answers),
            lambda: TASK.read_examples(puzzle_file()),
        ):
            rules._board.cache_clear()
            with pytest.raises(LookaheadError, match=r"pip install 'chess>=1.11,<2'.*GPL-3.0-or-later"):
                asked()
    finally:
        rules.package.cache_clear()


def test_a_network_is_trained_on_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOOKAHEAD_RESULTS", str(tmp_path))
    task = {"name": "chess_mate", "file": puzzle_file()}
    result = lookahead.run(task=task, objective="reversed", **{**TINY, "steps": 2})
    assert result.curve[-1]["step"] == 2


def test_what_was_read_of_a_large_file_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("lookahead.tasks.own_data.reading.CACHED_FROM", 0)
    path = tmp_path / "puzzles.csv"
    path.write_text(Path(puzzle_file()).read_text())
    task = ChessMate(str(path))
    wanted = task.sample("train", torch.arange(20)), task.chance_accuracy
    reading.read_table.cache_clear()
    monkeypatch.setattr(reading, "mates", None)
    again = ChessMate(str(path))
    assert torch.equal(again.sample("train", torch.arange(20))[0], wanted[0][0])
    assert again.chance_accuracy == wanted[1]
