"""What only chapters use: checked parameters, glued numbers, claims, figures."""

from lookahead.chapter.begin import Chapter, begin
from lookahead.chapter.source import show_source

__all__ = ["Chapter", "begin", "show_source"]
