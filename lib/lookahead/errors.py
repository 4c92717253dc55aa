"""The errors that are meant for the user."""


class LookaheadError(Exception):
    """Bad input or a refused file: the message says what was wrong and what would be right."""


class CannotContinue(LookaheadError):
    """An objective cannot go on from forced tokens."""


class NoRoom(LookaheadError):
    """The disk is full."""


class Corrupt(LookaheadError):
    """A file holds something else than what was written."""
