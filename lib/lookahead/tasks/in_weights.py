"""In-weights path-star: one fixed graph, learnt by heart, whose paths are asked for."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from lookahead.contracts import Split, Task
from lookahead.kinds import Range, Seed, settle
from lookahead.random import integers
from lookahead.tasks.rendering import refuse_wrong, rendered
from lookahead.tasks.splits import classes, held_classes, shuffled

MARKS = (".", "path ", "edge ", "=")
FILLING, PATH_MARK, EDGE_MARK, ANSWER_MARK = range(4)
SMALLEST_DEGREE = 100
"""A tenth of the arms is to test on: no accuracy could be told from another on fewer than ten."""


@dataclass(frozen=True)
class InWeights(Task, name="in_weights"):
    """One path-star graph G(degree, path_length), memorised (Noroozizadeh et al., 2026, "in-weights path-star").

        edge 17=4.      an edge: 4 is a neighbour of 17
        path 9=2,17,9   the path from the start to the leaf 9

    No prompt describes the graph. Training examples are edges of all arms, and paths to the leaves of eight arms in
    ten; asked for, in validation and test, are paths to the other leaves, of whose arms edges alone were seen. Half of
    the training examples are paths. In the paper a teacher is enough here, and the first step is learnt even alone.

    Answers differ in length: an edge's is one node, then `.`, which is neither taught nor measured.

    Ids: nodes 0 ... n - 1, then `.`, `path`, `edge`, `=`.

    Args:
        degree: arms, at least 100.
        path_length: nodes on an arm, the start counted.
        edges: which way edges are shown: from the start on ("down"), back to it ("up"), or either at random ("both").
        graph: another number gives the nodes other names. It belongs to the task: all seeds learn the same graph.

    Raises:
        LookaheadError: fewer arms, or paths shorter than 3.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {"in-weights G(100,4)": {"degree": 100, "path_length": 4}}

    degree: Annotated[int, Range(least=SMALLEST_DEGREE)]
    path_length: Annotated[int, Range(least=3)]
    edges: Literal["both", "down", "up"] = "both"
    graph: Seed = 0
    seed: Seed = 0

    def __post_init__(self) -> None:
        settle(self)

    @property
    def title(self) -> str:
        return f"in-weights G({self.degree},{self.path_length})"

    @property
    def num_nodes(self) -> int:
        """Nodes of the graph: d (l - 1) + 1."""
        return self.degree * (self.path_length - 1) + 1

    def arms(self, device: torch.device) -> Tensor:
        """The arms, the start first in each, [d, l]. The first tenth is to test on, the second for validation."""
        order, _ = shuffled(("in_weights", self.graph), self.num_nodes, device)
        return torch.cat([order[:1].expand(self.degree, 1), order[1:].view(self.degree, -1)], dim=1)

    @property
    def prompt_length(self) -> int:
        return 3

    @property
    def answer_length(self) -> int:
        return self.path_length

    @property
    def vocab_size(self) -> int:
        return self.num_nodes + len(MARKS)

    @property
    def labels(self) -> int:
        """With `.`, which comes after the answer to an edge."""
        return self.num_nodes + 1

    @property
    def last_prompt_token(self) -> int:
        return self.num_nodes + ANSWER_MARK

    @property
    def decision(self) -> int:
        """Of a path the first node after the start."""
        return 1

    def taught(self, answers: Tensor) -> Tensor:
        """All but the filling, [B, A]."""
        return answers != self.num_nodes + FILLING

    @property
    def chance_accuracy(self) -> float:
        """Accuracy of any arm, followed without a fault: 1/degree."""
        return 1 / self.degree

    @property
    def test_size(self) -> float:
        """The leaves to test on."""
        return held_classes(self.degree)

    def draws(self, split: Split, indices: Tensor) -> Tensor:
        """What examples are made of, [5, B]: whether an edge; of a path the arm; of an edge arm, place and way."""
        key = ("in_weights", self.degree, self.path_length, self.edges, self.graph, self.seed, split)
        return integers(key, indices, [2, classes(split, self.degree)[1], self.degree, self.path_length - 1, 2])

    def sample(self, split: Split, indices: Tensor) -> tuple[Tensor, Tensor]:
        edge, path_arm, edge_arm, place, back = self.draws(split, indices)
        first, _ = classes(split, self.degree)
        arms, n = self.arms(indices.device), self.num_nodes
        paths = arms[first + path_arm]  # [B, l]
        ends = arms[edge_arm].gather(1, torch.stack([place, place + 1], dim=1))
        ends = torch.where(self.up(back)[:, None], ends.flip(1), ends)
        edges = torch.full_like(paths, n + FILLING)
        edges[:, 0] = ends[:, 1]
        is_edge = (edge == 1) & (split == "train")
        asked = torch.where(is_edge, ends[:, 0], paths[:, -1])
        kind = torch.where(is_edge, n + EDGE_MARK, n + PATH_MARK)
        prompts = torch.stack([kind, asked, torch.full_like(asked, n + ANSWER_MARK)], dim=1)
        return prompts, torch.where(is_edge[:, None], edges, paths)

    def up(self, back: Tensor) -> Tensor:
        """Which edges are shown from the leaf's side, [B], for the coins that were drawn."""
        return back == 1 if self.edges == "both" else torch.full_like(back, self.edges == "up").bool()

    def correct(self, prompts: Tensor, answers: Tensor, given: Tensor) -> Tensor:
        """Whether the path is right; of an edge whether the two are neighbours, whichever one was shown: [B]."""
        arms, size = self.arms(prompts.device), self.vocab_size
        edges = (arms[:, :-1] * size + arms[:, 1:]).flatten()
        asked, said = prompts[:, 1], given[:, 0]
        adjacent = torch.isin(asked * size + said, edges) | torch.isin(said * size + asked, edges)
        is_edge = prompts[:, 0] == self.num_nodes + EDGE_MARK
        return torch.where(is_edge, adjacent, (answers == given).all(dim=1))

    def decoys(self, prompts: Tensor, answers: Tensor) -> Tensor:
        """Another arm, [B, A]; that of an edge has no meaning."""
        arms = self.arms(prompts.device)
        arm = (arms[:, -1] == prompts[:, 1:2]).int().argmax(dim=1)
        return arms[(arm + 1) % self.degree]

    def check_examples(self, prompts: Tensor, answers: Tensor) -> None:
        super().check_examples(prompts, answers)
        n, arms = self.num_nodes, self.arms(answers.device)
        is_edge = prompts[:, 0] == n + EDGE_MARK
        path = (prompts[:, 0] == n + PATH_MARK) & (arms == answers[:, None]).all(dim=2).any(dim=1)
        path &= answers[:, -1] == prompts[:, 1]
        edge = is_edge & self.correct(prompts, answers, answers) & (answers[:, 1:] == n + FILLING).all(dim=1)
        good = (path | edge) & (prompts[:, 2] == self.last_prompt_token)
        refuse_wrong(self, good, prompts, answers)

    def text(self, tokens: Tensor) -> list[str]:
        """Rows of tokens [B, T] as they are shown above."""
        return rendered(tokens, [*map(str, range(self.num_nodes)), *MARKS], self.num_nodes)


def sample_one(task: InWeights, split: Split, index: int) -> tuple[list[int], list[int]]:
    """Prompt and answer of one example, as `InWeights.sample` gives them: in training a coin for path or edge."""
    edge, path_arm, edge_arm, place, back = task.draws(split, torch.tensor([index]))[:, 0].tolist()
    arms, n = task.arms(torch.device("cpu")).tolist(), task.num_nodes
    if split == "train" and edge:
        shown, other = arms[edge_arm][place : place + 2]
        if task.edges == "up" or (task.edges == "both" and back):
            shown, other = other, shown
        return [n + EDGE_MARK, shown, n + ANSWER_MARK], [other] + [n + FILLING] * (task.path_length - 1)
    path = arms[classes(split, task.degree)[0] + path_arm]
    return [n + PATH_MARK, path[-1], n + ANSWER_MARK], path


def solve(task: InWeights, prompt: Sequence[int]) -> list[int]:
    """Of a leaf its arm; of an edge the first neighbour that is found."""
    arms = task.arms(torch.device("cpu")).tolist()
    if prompt[0] == task.num_nodes + PATH_MARK:
        return next(arm for arm in arms if arm[-1] == prompt[1])
    arm = next(arm for arm in arms if prompt[1] in arm)
    place = arm.index(prompt[1])
    return [arm[place - 1 if place else 1]] + [task.num_nodes + FILLING] * (task.path_length - 1)


def cheat(task: InWeights, prompt: Sequence[int]) -> list[int]:
    """Any arm, whatever leaf is asked for."""
    return random.Random(str(prompt)).choice(task.arms(torch.device("cpu")).tolist())
