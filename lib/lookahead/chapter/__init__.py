"""What only chapters use: checked parameters, glued numbers, claims."""

from lookahead.chapter.chapter import Chapter
from lookahead.chapter.parameters import begin
from lookahead.chapter.source import show_source

__all__ = ["Chapter", "begin", "show_source"]
