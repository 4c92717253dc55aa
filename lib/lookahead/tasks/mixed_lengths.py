"""Path-star graphs of several sizes in one task: arms of all lengths between two."""

from __future__ import annotations

import contextlib
import functools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from lookahead.contracts import Split, Task
from lookahead.errors import LookaheadError
from lookahead.kinds import Seed, settle
from lookahead.random import integers
from lookahead.tasks.path_star import PathStar
from lookahead.tasks.path_star.readable import sample_one as sample_star
from lookahead.tasks.path_star.solvers import from_goal
from lookahead.tasks.path_star.text import MARKS
from lookahead.tasks.rendering import refuse_wrong, rendered


@dataclass(frozen=True)
class MixedLengths(Task, name="mixed_lengths"):
    """Graphs of `PathStar` of one degree whose arms have `shortest` to `longest` nodes, each length as often.

        ......7,2|4,7|4,9|9,1/4,2=4,7,2.        a G(2, 3) among graphs up to G(2, 4)

    Prompts are filled up in front and answers at the end with `.`, which is neither taught nor measured: the goal ends
    the path, and the prompt names it. A graph is held out exactly where `PathStar` holds it out. Short arms may be
    learnt first, and then help with the long ones: a curriculum that nobody ordered.

    Ids: labels 0 ... N - 1, `.`, then the marks of path-star.

    Args:
        degree, num_nodes: as of `PathStar`.
        shortest, longest: nodes on a path, start and goal counted.

    Raises:
        LookaheadError: as of `PathStar`, for any of the lengths; a longest that is not above the shortest.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "G(2,3-5)": {"degree": 2, "shortest": 3, "longest": 5, "num_nodes": 12}
    }

    degree: int
    shortest: int
    longest: int
    num_nodes: int
    seed: Seed = 0

    def __post_init__(self) -> None:
        settle(self)
        if self.longest <= self.shortest:
            raise LookaheadError(
                f"longest must be above shortest, not {self.longest} and {self.shortest}: for one length there is "
                "path_star"
            )
        _ = self.stars

    @functools.cached_property
    def stars(self) -> list[PathStar]:
        """The task of each length."""
        lengths = range(self.shortest, self.longest + 1)
        return [PathStar(self.degree, length, self.num_nodes, self.seed) for length in lengths]

    @property
    def title(self) -> str:
        return f"G({self.degree},{self.shortest}-{self.longest})"

    @property
    def filling(self) -> int:
        """The id of `.`."""
        return self.num_nodes

    @property
    def prompt_length(self) -> int:
        return self.stars[-1].prompt_length

    @property
    def answer_length(self) -> int:
        return self.longest

    @property
    def vocab_size(self) -> int:
        return self.stars[-1].vocab_size + 1

    @property
    def labels(self) -> int:
        """With `.`, which comes after shorter answers."""
        return self.num_nodes + 1

    @property
    def last_prompt_token(self) -> int:
        return self.stars[-1].last_prompt_token + 1

    @property
    def decision(self) -> int:
        """The first node after the start."""
        return 1

    def taught(self, answers: Tensor) -> Tensor:
        """All but the filling, [B, A]."""
        return answers != self.filling

    @property
    def chance_accuracy(self) -> float:
        """Accuracy of an arm chosen blindly, then followed without a fault: 1/degree."""
        return 1 / self.degree

    @property
    def test_size(self) -> float:
        """As many as the length that has the fewest graphs, times the number of lengths."""
        return min(star.test_size for star in self.stars) * len(self.stars)

    def lengths(self, split: Split, indices: Tensor) -> Tensor:
        """Which of the lengths each example has, counted from the shortest, [B]."""
        key = ("mixed_lengths", self.degree, self.shortest, self.longest, self.num_nodes, self.seed, split)
        return integers(key, indices, [len(self.stars)])[0]

    def sample(self, split: Split, indices: Tensor) -> tuple[Tensor, Tensor]:
        chosen = self.lengths(split, indices)[:, None]
        prompts = indices.new_full((len(indices), self.prompt_length), self.filling).long()
        answers = indices.new_full((len(indices), self.answer_length), self.filling).long()
        for rank, star in enumerate(self.stars):
            asked, paths = star.sample(split, indices)
            asked = asked + (asked >= self.num_nodes)  # the marks stand behind the filling here
            places = prompts[:, -star.prompt_length :], answers[:, : star.answer_length]
            for there, found in zip(places, (asked, paths), strict=True):
                there.copy_(torch.where(chosen == rank, found, there))
        return prompts, answers

    def correct(self, prompts: Tensor, answers: Tensor, given: Tensor) -> Tensor:
        """Whether the whole path is right, [B]."""
        return ((answers == given) | ~self.taught(answers)).all(dim=1)

    def decoys(self, prompts: Tensor, answers: Tensor) -> Tensor:
        """The first wrong arm in the order of the prompt, start included, [B, A]."""
        found = answers.clone()
        for star, rows in self.by_length(answers):
            asked = self.as_star(star, prompts[rows])
            found[rows, : star.path_length] = star.decoys(asked, answers[rows, : star.path_length])
        return found

    def by_length(self, answers: Tensor) -> list[tuple[PathStar, Tensor]]:
        """The task of each length, and which of the examples have it, [B], bool."""
        lengths = self.taught(answers).sum(dim=1)
        return [(star, lengths == star.path_length) for star in self.stars]

    def as_star(self, star: PathStar, prompts: Tensor) -> Tensor:
        """Prompts [b, P] of graphs of one length in the ids of their own task, without the filling."""
        asked = prompts[:, -star.prompt_length :]
        return asked - (asked > self.filling).long()

    def check_examples(self, prompts: Tensor, answers: Tensor) -> None:
        super().check_examples(prompts, answers)
        good = torch.zeros(len(answers), dtype=torch.bool, device=answers.device)
        for star, rows in self.by_length(answers):
            before, behind = self.prompt_length - star.prompt_length, star.path_length
            filled = (prompts[:, :before] == self.filling).all(dim=1) & self.taught(answers)[:, :behind].all(dim=1)
            for row in (rows & filled).nonzero()[:, 0].tolist():
                with contextlib.suppress(LookaheadError):
                    star.check_examples(self.as_star(star, prompts[row : row + 1]), answers[row : row + 1, :behind])
                    good[row] = True
        refuse_wrong(self, good, prompts, answers)

    def text(self, tokens: Tensor) -> list[str]:
        """Rows of tokens [B, T] in the published format of path-star, filled up with dots."""
        return rendered(tokens, [*map(str, range(self.num_nodes)), ".", *MARKS], self.num_nodes)


def sample_one(task: MixedLengths, split: Split, index: int) -> tuple[list[int], list[int]]:
    """Prompt and answer of one example, as `MixedLengths.sample` gives them: a star of any length, filled up."""
    star = task.stars[int(task.lengths(split, torch.tensor([index])))]
    prompt, path = sample_star(star, split, index)
    prompt = [token + (token >= task.num_nodes) for token in prompt]
    before, behind = task.prompt_length - len(prompt), task.answer_length - len(path)
    return [task.filling] * before + prompt, path + [task.filling] * behind


def star_of(task: MixedLengths, prompt: Sequence[int]) -> tuple[PathStar, list[int]]:
    """The task and the prompt of a graph without its filling."""
    asked = [token - (token > task.filling) for token in prompt if token != task.filling]
    return next(star for star in task.stars if star.prompt_length == len(asked)), asked


def solve(task: MixedLengths, prompt: Sequence[int]) -> list[int]:
    """Step from the goal to its only parent, up to the start; reverse."""
    path = from_goal(*star_of(task, prompt)).path
    return path + [task.filling] * (task.answer_length - len(path))


def cheat(task: MixedLengths, prompt: Sequence[int]) -> list[int]:
    """Take any arm, and follow it to its end."""
    star, asked = star_of(task, prompt)
    arms = star.arms(torch.tensor([asked]))[0].tolist()
    path = [asked[star.question_at], *random.Random(str(prompt)).choice(arms)]
    return path + [task.filling] * (task.answer_length - len(path))
