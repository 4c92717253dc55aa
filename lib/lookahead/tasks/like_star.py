"""What tasks share whose prompts and answers have the sizes of a path-star graph's."""

from __future__ import annotations

from abc import abstractmethod

from lookahead.contracts import Task
from lookahead.tasks.path_star import PathStar


class LikeStar(Task):
    """A task that is laid out as the `star` that it has."""

    @property
    @abstractmethod
    def star(self) -> PathStar:
        """The graphs that its own are made of."""

    @property
    def prompt_length(self) -> int:
        return self.star.prompt_length

    @property
    def answer_length(self) -> int:
        return self.star.answer_length

    @property
    def vocab_size(self) -> int:
        return self.star.vocab_size

    @property
    def labels(self) -> int:
        return self.star.num_nodes

    @property
    def last_prompt_token(self) -> int:
        return self.star.last_prompt_token
