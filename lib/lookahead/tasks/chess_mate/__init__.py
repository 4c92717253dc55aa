"""Chess, mate in two: positions that come with the library, or those of a file."""

from lookahead.tasks.chess_mate.task import ChessMate

__all__ = ["ChessMate"]
