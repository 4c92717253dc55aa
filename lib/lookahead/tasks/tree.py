"""Trees: path-star graphs whose arms branch again and again, so that every step but the last is a choice."""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from math import factorial
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from lookahead.contracts import Split, Task
from lookahead.errors import LookaheadError
from lookahead.kinds import Range, Seed, settle
from lookahead.random import WORD, distinct, integers, mix, words
from lookahead.tasks.path_star import PathStar
from lookahead.tasks.path_star.readable import example_tokens
from lookahead.tasks.rendering import refuse_wrong
from lookahead.tasks.splits import classes, fixed, require_test_set


@dataclass(frozen=True)
class Tree(Task, name="tree"):
    """A tree from whose root `degree` arms leave; every node of an arm but the last has `fork` children.

        3,8|5,3|5,1|1,7|1,2|3,4/5,2=5,1,2        degree 2, fork 2, path length 3

    Prompt, answer, tokens and the held-out classes are those of `PathStar`; with fork 1 it would be that task.

    Seen from the root, each step is a choice that needs the goal; with a teacher the next one still does. So there is
    no choice after which everything follows by itself, and no decoy: a wrong arm does not say how to go on. Such trees
    are learnt with a teacher (Brinkmann et al., 2024; Frydenlund, 2025).

    Args:
        degree: children of the start.
        fork: children of every other node but the leaves.
        path_length: nodes from the start to a leaf, both counted.
        num_nodes: labels to draw from.

    Raises:
        LookaheadError: the tree cannot be, or is too small to hold anything out from.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "tree(2,4)": {"degree": 2, "fork": 2, "path_length": 4, "num_nodes": 20}
    }

    degree: Annotated[int, Range(least=2)]
    path_length: Annotated[int, Range(least=3)]
    num_nodes: int
    fork: Annotated[int, Range(least=2)] = 2
    seed: Seed = 0

    def __post_init__(self) -> None:
        settle(self)
        if self.num_nodes <= self.num_edges:
            raise LookaheadError(
                f"{self.title} has {self.num_edges + 1} nodes, so num_nodes must be at least that, not {self.num_nodes}"
            )
        _ = self.layout
        require_test_set(f"{self.title} with {self.num_nodes} labels", self.test_size, "a larger num_nodes")

    @property
    def title(self) -> str:
        return f"T({self.degree},{self.fork},{self.path_length})"

    @functools.cached_property
    def levels(self) -> list[int]:
        """How many nodes there are at each distance from the start, from 1 on."""
        return [self.degree * self.fork**level for level in range(self.path_length - 1)]

    @property
    def num_edges(self) -> int:
        return sum(self.levels)

    @functools.cached_property
    def layout(self) -> PathStar:
        """A star of as many edges, one an arm: its prompts look the same."""
        return PathStar(self.num_edges, 2, self.num_nodes, any_size=True)

    @functools.cached_property
    def parents(self) -> list[int]:
        """The parent of every node but the start; nodes are counted level by level, the start is 0."""
        found, first, before = [0] * self.degree, 1, self.degree
        for count in self.levels[1:]:
            found += [first + child // self.fork for child in range(count)]
            first, before = first + before, count
        return found

    @functools.cached_property
    def path(self) -> list[int]:
        """The nodes of the answer, counted so: the first of every level."""
        return [0] + [1 + sum(self.levels[:level]) for level in range(self.path_length - 1)]

    @property
    def prompt_length(self) -> int:
        return self.layout.prompt_length

    @property
    def answer_length(self) -> int:
        return self.path_length

    @property
    def vocab_size(self) -> int:
        return self.layout.vocab_size

    @property
    def labels(self) -> int:
        return self.num_nodes

    @property
    def last_prompt_token(self) -> int:
        return self.layout.last_prompt_token

    @property
    def decision(self) -> int:
        """The first node after the start: the choice that is the furthest from the goal."""
        return 1

    @property
    def chance_accuracy(self) -> float:
        """Accuracy of going to any child, and naming the goal at the end: 1 / (degree fork^(path_length - 3))."""
        return 1 / self.levels[-2]

    @property
    def test_size(self) -> float:
        """Different trees with a goal in the test split: orders of siblings that are no path do not count."""
        count = self.layout.held_classes
        for taken in range(1, self.num_edges + 1):
            count *= self.num_nodes - taken
        inner = sum(self.levels[:-1]) - (self.path_length - 2)
        alike = factorial(self.degree - 1) * factorial(self.fork - 1) ** (self.path_length - 2)
        return count // (alike * factorial(self.fork) ** inner)

    def draws(self, split: Split, indices: Tensor) -> Tensor:
        """The integers that examples are made of, [K, B], as of `PathStar.draws`."""
        n, edges = self.num_nodes, self.num_edges
        key = ("tree", self.degree, self.fork, self.path_length, n, self.seed, split)
        codes = [n - 1 - k for k in range(edges)] + [edges - k for k in range(edges)]
        return integers(key, indices, [classes(split, self.layout.num_nodes)[1], *codes])

    def sample(self, split: Split, indices: Tensor) -> tuple[Tensor, Tensor]:
        draws, edges = self.draws(split, indices), self.num_edges
        first, _ = classes(split, self.layout.num_nodes)
        shape = distinct(draws[1 : 1 + edges].int()) + 1
        order = distinct(draws[1 + edges :].int()).long()
        start = (first + draws[0] - self.shape_hash(shape)) % self.num_nodes
        nodes = torch.cat([start[None], (shape + start) % self.num_nodes])  # [1 + E, B]
        path, parents = (fixed(tuple(places), nodes.device) for places in (self.path, self.parents))
        answers, sources = nodes[path], nodes[parents]
        prompts = self.layout.prompt_tokens(sources.gather(0, order), nodes[1:].gather(0, order), answers)
        return prompts.T.contiguous(), answers.T.contiguous()

    def shape_hash(self, shape: Tensor) -> Tensor:
        """A hash of offsets from the start [E, B], level by level, that ignores the order of siblings, [B]."""
        salts = words("tree shape", count=self.path_length)
        levels = shape.long().split(self.levels)
        below = torch.zeros_like(levels[-1])
        below[0] += salts[-1]  # the goal; so every node of the path has a hash of its own
        for salt, level in zip(reversed(salts[:-1]), reversed(levels), strict=True):
            own = mix((level + salt + below) & WORD)
            below = own.unflatten(0, (-1, self.fork if level is not levels[0] else self.degree)).sum(dim=1)
        return below[0]

    def correct(self, prompts: Tensor, answers: Tensor, given: Tensor) -> Tensor:
        """Whether the whole path is right, [B]."""
        return (answers == given).all(dim=1)

    def decoys(self, prompts: Tensor, answers: Tensor) -> None:
        """None: a wrong arm branches, too."""

    def check_examples(self, prompts: Tensor, answers: Tensor) -> None:
        super().check_examples(prompts, answers)
        rows = zip(prompts.tolist(), answers.tolist(), strict=True)
        good = [is_tree(self, prompt) and solve(self, prompt) == answer for prompt, answer in rows]
        refuse_wrong(self, torch.tensor(good), prompts, answers)

    def text(self, tokens: Tensor) -> list[str]:
        """Rows of tokens [B, T] in the published format of path-star."""
        return self.layout.text(tokens)


def edges_of(task: Tree, prompt: Sequence[int]) -> list[tuple[int, int]]:
    """The edges of a prompt, in its order."""
    listed = prompt[: 3 * task.num_edges]
    return list(zip(listed[::3], listed[1::3], strict=True))


def is_tree(task: Tree, prompt: Sequence[int]) -> bool:
    """Whether a prompt lists such a tree with its marks, and asks for the way from its root to a leaf."""
    edges, n = edges_of(task, prompt), task.num_nodes
    if example_tokens(task.layout, edges, [prompt[-3], prompt[-2]]) != list(prompt):
        return False
    level = [prompt[-3]]
    for wanted in task.levels:
        below = [target for source, target in edges if source in level]
        fork = wanted // len(level)
        if len(below) != wanted or any(sum(source == node for source, _ in edges) != fork for node in level):
            return False
        level = below
    nodes = [prompt[-3], *(target for _, target in edges)]
    return len({*nodes}) == len(nodes) and max(nodes) < n and prompt[-2] in level


def sample_one(task: Tree, split: Split, index: int) -> tuple[list[int], list[int]]:
    """Prompt and answer of one example, as `Tree.sample` gives them, one thing after the other."""
    class_rank, *ranks = task.draws(split, torch.tensor([index]))[:, 0].tolist()
    offsets, places = list(range(1, task.num_nodes)), list(range(task.num_edges))
    shape = [offsets.pop(rank) for rank in ranks[: task.num_edges]]
    order = [places.pop(rank) for rank in ranks[task.num_edges :]]
    first_class, _ = classes(split, task.layout.num_nodes)
    start = first_class + class_rank - int(task.shape_hash(torch.tensor(shape)[:, None]))
    nodes = [(start + offset) % task.num_nodes for offset in [0, *shape]]
    edges = [(nodes[parent], nodes[child]) for child, parent in enumerate(task.parents, 1)]
    path = [nodes[node] for node in task.path]
    return example_tokens(task.layout, [edges[i] for i in order], path), path


def solve(task: Tree, prompt: Sequence[int]) -> list[int]:
    """Step from the goal to its only parent, up to the start; reverse. Stops where a node has no parent."""
    parent = {target: source for source, target in edges_of(task, prompt)}
    path = [prompt[-2]]
    while len(path) < task.path_length and path[-1] in parent:
        path.append(parent[path[-1]])
    return path[::-1]


def cheat(task: Tree, prompt: Sequence[int]) -> list[int]:
    """Go to any child, blind to the goal; at the end name the goal."""
    pick, path = random.Random(str(prompt)), [prompt[-3]]
    while len(path) < task.path_length - 1:
        path.append(pick.choice([target for source, target in edges_of(task, prompt) if source == path[-1]]))
    return [*path, prompt[-2]]
