"""The errors that are meant for the user, and what their messages show of a value."""

import reprlib
from typing import Any

LONGEST = 2000
"""Characters of a message; what is longer is cut in its middle."""


_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 80


def shown(value: Any) -> str:
    """A value as a message shows it: its repr, the middle of a long one left out."""
    try:
        return _short.repr(value)
    except Exception:  # Python writes no number of more than 4,300 digits, and a repr is anybody's code
        return f"{type(value).__name__} that cannot be shown"


class LookaheadError(Exception):
    """Bad input or a refused file: the message says what was wrong and what would be right."""

    def __str__(self) -> str:
        text = super().__str__()
        half = LONGEST // 2
        return text if len(text) <= LONGEST else f"{text[:half]} ... {text[-half:]}"


class CannotContinue(LookaheadError):
    """An objective cannot go on from forced tokens."""


class NoRoom(LookaheadError):
    """The disk is full."""


class Corrupt(LookaheadError):
    """A file holds something else than what was written."""
