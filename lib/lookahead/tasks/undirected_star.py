"""Undirected stars: the edges of a path-star graph, each written from either end."""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from lookahead.contracts import Split
from lookahead.kinds import Seed, settle
from lookahead.random import integers
from lookahead.tasks.like_star import LikeStar
from lookahead.tasks.path_star import PathStar
from lookahead.tasks.path_star.readable import sample_one as sample_star
from lookahead.tasks.rendering import refuse_wrong

WORDS = {"edge": "undirected", "graph": "either-way", "never": "backward"}
"""What a graph is called, by the coin."""


@dataclass(frozen=True)
class UndirectedStar(LikeStar, name="undirected_star"):
    """The graphs of `PathStar`, where for each edge it is random which of its nodes comes first.

        2,7|4,7|9,4|9,1/4,2=4,7,2        a G(2, 3): the arms are 4-7-2 and 4-9-1

    Or one coin for all edges of a graph, which are then written either all from the start on or all back to it:

        2,7|7,4|9,4|1,9/4,2=4,7,2        the same graph, back to the start

    Or no coin: then every edge of every graph is written back to the start.

    A graph is held out exactly where `PathStar` holds it out. From the goal, too, a step is now a look-up at either end
    of an edge, and reversing the answer no longer turns every step into a look at one side.

    Args:
        degree, path_length, num_nodes: as of `PathStar`.
        coin: whether a coin is thrown for each "edge", for each "graph", or "never".

    Raises:
        LookaheadError: as of `PathStar`, and a graph too small to hold anything out from.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "undirected G(2,5)": {"degree": 2, "path_length": 5, "num_nodes": 50}
    }

    degree: int
    path_length: int
    num_nodes: int
    coin: Literal["edge", "graph", "never"] = "edge"
    seed: Seed = 0

    def __post_init__(self) -> None:
        settle(self)
        _ = self.star

    @functools.cached_property
    def star(self) -> PathStar:
        """The task with its edges directed."""
        return PathStar(self.degree, self.path_length, self.num_nodes, self.seed)

    @property
    def title(self) -> str:
        return f"{WORDS[self.coin]} {self.star.title}"

    @property
    def decision(self) -> int:
        """The first node after the start."""
        return 1

    @property
    def chance_accuracy(self) -> float:
        """Accuracy of an arm chosen blindly, then followed without a fault: 1/degree."""
        return self.star.chance_accuracy

    @property
    def test_size(self) -> float:
        """Different graphs; which node of an edge stands first does not count, nor the order of edges."""
        return self.star.test_size

    def coins(self, split: Split, indices: Tensor) -> Tensor:
        """Whether each edge is turned around, in the order of the prompt, [E, B], bool."""
        key = ("undirected_star", self.degree, self.path_length, self.num_nodes, self.seed, split)
        edges = self.star.num_edges
        if self.coin == "never":
            return torch.ones(edges, len(indices), dtype=torch.bool, device=indices.device)
        return (integers(key, indices, [2] * (edges if self.coin == "edge" else 1)) == 1).expand(edges, -1)

    def sample(self, split: Split, indices: Tensor) -> tuple[Tensor, Tensor]:
        prompts, answers = self.star.sample(split, indices)
        return self.turned(prompts, self.coins(split, indices).T), answers

    def turned(self, prompts: Tensor, which: Tensor) -> Tensor:
        """Prompts [B, P] with some of the edges turned around: those that `which` [B, E] says."""
        sources, targets = self.star.edges(prompts)
        turned = prompts.clone()
        edges = turned[:, : 3 * self.star.num_edges]
        edges[:, ::3], edges[:, 1::3] = torch.where(which, targets, sources), torch.where(which, sources, targets)
        return turned

    def directed(self, prompts: Tensor) -> Tensor:
        """Prompts [B, P] with every edge written from the node that is nearer to the start."""
        one, other = self.star.edges(prompts)
        start = self.star.question(prompts)[:, :1]
        reached = torch.zeros_like(prompts[:, :1], dtype=torch.bool).repeat(1, self.num_nodes).scatter(1, start, True)
        against = torch.zeros_like(one, dtype=torch.bool)
        for _ in range(self.path_length - 1):
            one_in, other_in = reached.gather(1, one), reached.gather(1, other)
            against |= other_in & ~one_in
            met = torch.where(one_in, other, torch.where(other_in, one, start))
            reached = reached.scatter(1, met, True)
        return self.turned(prompts, against)

    def correct(self, prompts: Tensor, answers: Tensor, given: Tensor) -> Tensor:
        """Whether the whole path is right, [B]."""
        return self.star.correct(prompts, answers, given)

    def decoys(self, prompts: Tensor, answers: Tensor) -> Tensor:
        """The first wrong arm in the order of the prompt, start included, [B, A]."""
        return self.star.decoys(self.directed(prompts), answers)

    def check_examples(self, prompts: Tensor, answers: Tensor) -> None:
        super().check_examples(prompts, answers)
        sources, targets = self.star.edges(prompts)
        labels = torch.cat([sources, targets, self.star.question(prompts)], dim=1)
        refuse_wrong(self, (labels < self.num_nodes).all(dim=1), prompts, answers)
        self.star.check_examples(self.directed(prompts), answers)

    def text(self, tokens: Tensor) -> list[str]:
        """Rows of tokens [B, T] in the published format of path-star."""
        return self.star.text(tokens)


def sample_one(task: UndirectedStar, split: Split, index: int) -> tuple[list[int], list[int]]:
    """Prompt and answer of one example, as `UndirectedStar.sample` gives them: a star, and a coin for each edge."""
    prompt, path = sample_star(task.star, split, index)
    for edge, turned in enumerate(task.coins(split, torch.tensor([index]))[:, 0].tolist()):
        if turned:
            prompt[3 * edge], prompt[3 * edge + 1] = prompt[3 * edge + 1], prompt[3 * edge]
    return prompt, path


def walk(task: UndirectedStar, prompt: Sequence[int], first: int, pick: random.Random) -> list[int]:
    """From a node always on to a neighbour that was not there before, any of them, until there is none."""
    listed = prompt[: 3 * task.star.num_edges]
    pairs = list(zip(listed[::3], listed[1::3], strict=True))
    path = [first]
    while True:
        near = [b if a == path[-1] else a for a, b in pairs if path[-1] in (a, b)]
        ahead = [node for node in near if node not in path]
        if not ahead or len(path) == task.path_length:
            return path
        path.append(pick.choice(ahead))


def solve(task: UndirectedStar, prompt: Sequence[int]) -> list[int]:
    """Walk from the goal, where there is one way only, to the start; reverse."""
    return walk(task, prompt, prompt[-2], random.Random(0))[::-1]


def cheat(task: UndirectedStar, prompt: Sequence[int]) -> list[int]:
    """Walk from the start into any arm."""
    return walk(task, prompt, prompt[-3], random.Random(str(prompt)))
