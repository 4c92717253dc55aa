"""Tasks of one's own: prompts and answers from a file."""

from lookahead.tasks.own_data.task import OwnData

__all__ = ["OwnData"]
