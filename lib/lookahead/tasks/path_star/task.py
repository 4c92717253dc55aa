"""The path-star task of Bachmann and Nagarajan, "The Pitfalls of Next-Token Prediction" (ICML 2024).

A path-star graph G(d, l) is a start node with d arms of l nodes each, the start counted in every arm.
The prompt lists the edges in random order, then the start and the goal (the end of one arm). The answer
is the path from start to goal:

    7,2|4,7|4,9|9,1/4,2=4,7,2        a G(2, 3): the arms are 4-7-2 and 4-9-1
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from lookahead.contracts import RESERVED_TOKENS, Split, Task
from lookahead.errors import LookaheadError
from lookahead.files import replacing
from lookahead.kinds import Seed, settle
from lookahead.random import Key, distinct, integers, mix, words
from lookahead.tasks.path_star import text
from lookahead.tasks.path_star.counting import count_graphs
from lookahead.tasks.path_star.text import ANSWER_MARK, EDGE_MARK, LARGEST_NUM_NODES, MARKS, QUESTION_MARK
from lookahead.tasks.splits import SMALLEST_TEST_SET, classes, held_classes, splits_of


@dataclass(frozen=True)
class PathStar(Task, name="path_star"):
    """G(degree, path_length) with labels drawn from num_nodes.

    Tokens: labels 0 ... N - 1, then `|`, `/`, `=`, then the reserved ids. The prompt has
    3 d (l - 1) + 3 tokens, the answer l; both as published.

    **The split.** A graph and its goal are told apart by (shape, start): the shape is every other label
    as an offset from the start's, modulo N. Its class is (start + hash of the shape) mod N. A tenth of
    the classes is for testing, a tenth for validation, the rest for training. All three are thus
    disjoint by construction, for every seed, edge order ignored; and a split is sampled evenly
    without ever rejecting a draw.

    Args:
        question_first: start and goal stand before the edges, `4,2/7,2|4,7|4,9|9,1=`; the graphs are the same.
        any_size: a graph too small to hold anything out from is one as well; it can be read and written, not sampled,
            and no run takes it. False whatever is given where the graph is large enough.

    Raises:
        LookaheadError: the graph cannot be, or is too small to hold anything out from.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        f"G({degree},{path_length})": {"degree": degree, "path_length": path_length, "num_nodes": 50}
        for degree, path_length in ((2, 5), (5, 5), (10, 5), (2, 20))
    }
    """Graphs of the paper with labels from 50."""

    supplied: ClassVar[frozenset[str]] = Task.supplied | {"any_size"}

    degree: int
    path_length: int
    num_nodes: int
    seed: Seed = 0
    question_first: bool = False
    any_size: bool = False

    def __post_init__(self) -> None:
        settle(self)
        d, n = self.degree, self.num_nodes
        if d < 2:
            raise LookaheadError(f"degree must be at least 2, not {d}: with one arm there is nothing to choose")
        if self.path_length < 2:
            raise LookaheadError(f"path_length must be at least 2, not {self.path_length}: it counts start and goal")
        needed = self.labels_needed(d, self.path_length)
        if n < needed:
            raise LookaheadError(f"{self.title} has {needed} nodes, so num_nodes must be at least {needed}, not {n}")
        if n > LARGEST_NUM_NODES:
            raise LookaheadError(f"num_nodes must be at most {LARGEST_NUM_NODES}, not {n}")
        too_small = self._too_small()
        if too_small and not self.any_size:
            raise LookaheadError(too_small)
        object.__setattr__(self, "any_size", bool(too_small))

    def _too_small(self) -> str:
        """Why nothing can be held out from the graphs; nothing where something can."""
        if self.path_length < 3:
            return (
                f"path_length must be at least 3, not {self.path_length}: it counts the start and the goal, "
                "and with 2 the answer stands in the prompt"
            )
        if (graphs := self.test_graphs()) < SMALLEST_TEST_SET:
            return (
                f"{self.title} with {self.num_nodes} labels has only {graphs} graphs to test on, fewer than "
                f"{SMALLEST_TEST_SET}: take a larger num_nodes"
            )
        return ""

    @staticmethod
    def labels_needed(degree: int, path_length: int) -> int:
        """Nodes of G(degree, path_length): d (l - 1) + 1."""
        return degree * (path_length - 1) + 1

    @classmethod
    def fitted(cls, options: dict[str, Any]) -> dict[str, Any]:
        """As `Task.fitted`: at least as many labels as the graph has nodes."""
        if not {"degree", "path_length", "num_nodes"} <= set(options):
            return options
        needed = cls.labels_needed(options["degree"], options["path_length"])
        return {**options, "num_nodes": max(options["num_nodes"], needed)}

    @property
    def title(self) -> str:
        return f"G({self.degree},{self.path_length})"

    @property
    def num_edges(self) -> int:
        """Edges of the graph: d (l - 1)."""
        return self.degree * (self.path_length - 1)

    @property
    def prompt_length(self) -> int:
        return 3 * self.num_edges + 3

    @property
    def edges_at(self) -> int:
        """Position of the first edge in a prompt."""
        return 3 if self.question_first else 0

    @property
    def question_at(self) -> int:
        """Position of the start in a prompt; the goal is next."""
        return 0 if self.question_first else 3 * self.num_edges

    @property
    def answer_length(self) -> int:
        return self.path_length

    @property
    def vocab_size(self) -> int:
        return self.num_nodes + len(MARKS)

    @property
    def last_prompt_token(self) -> int:
        return self.num_nodes + ANSWER_MARK

    @property
    def labels(self) -> int:
        return self.num_nodes

    @property
    def decision(self) -> int:
        """The first node after the start."""
        return 1

    @property
    def chance_accuracy(self) -> float:
        """Accuracy of an arm chosen blindly, then followed without a fault: 1/d."""
        return 1 / self.degree

    @property
    def held_classes(self) -> int:
        """Number of the N classes that are for testing, and as many for validation."""
        return held_classes(self.num_nodes)

    def test_graphs(self) -> int:
        """Number of distinct (graph, goal) pairs in the test split."""
        graphs = count_graphs(self.degree, self.path_length, self.num_nodes)
        return graphs // self.num_nodes * self.held_classes

    @property
    def test_size(self) -> float:
        return self.test_graphs()

    def sample(self, split: Split, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Examples `indices` [B] (0 ... 2^32 - 1) of a split: prompts [B, P], answers [B, A], int64.

        Raises:
            LookaheadError: no such split, or a graph too small to hold anything out from.
        """
        return self._examples(split, self.draws(split, indices))

    def draws(self, split: Split, indices: Tensor) -> Tensor:
        """The integers that examples `indices` [B] of a split are made of, [K, B].

        First the rank of the example's class in the split, then Lehmer codes of its shape and of the order of its
        edges, each of d (l - 1) numbers.
        """
        return integers(self._key(split), indices, self._bounds(split))

    @classmethod
    def sample_each(cls, tasks: Sequence[PathStar], split: Split, indices: Tensor) -> tuple[Tensor, Tensor]:
        """As `Task.sample_each`, all members at once."""
        first = tasks[0]
        draws = integers([task._key(split) for task in tasks], indices, first._bounds(split))
        prompts, answers = first._examples(split, draws.flatten(1))
        return prompts.unflatten(0, draws.shape[1:]), answers.unflatten(0, draws.shape[1:])

    def _key(self, split: Split) -> Key:
        return ("path_star", self.degree, self.path_length, self.num_nodes, self.seed, split)

    def _bounds(self, split: Split) -> list[int]:
        """The bound of each of `draws`."""
        if self.any_size:
            raise LookaheadError(f"a task that is only read: {self._too_small()}")
        n, edges = self.num_nodes, self.num_edges
        return (
            [classes(split, self.num_nodes)[1]] + [n - 1 - k for k in range(edges)] + [edges - k for k in range(edges)]
        )

    def _examples(self, split: Split, draws: Tensor) -> tuple[Tensor, Tensor]:
        """Prompts [B, P] and answers [B, A] of `draws` [K, B]; `readable.sample_one` says the same one by one."""
        first, _ = classes(split, self.num_nodes)
        n, edges, d = self.num_nodes, self.num_edges, self.degree
        shape = distinct(draws[1 : 1 + edges].short()) + 1
        order = distinct(draws[1 + edges :].short())

        start = (first + draws[0] - self.shape_hash(shape)) % n
        nodes = ((shape + start) % n).unflatten(0, (d, -1))  # [d, l - 1, B]; the first arm is the goal's
        sources = torch.cat([start.expand(d, 1, -1), nodes[:, :-1]], dim=1).flatten(0, 1)
        order = order.long()
        answers = torch.cat([start[None], nodes[0]])
        prompts = self.prompt_tokens(sources.gather(0, order), nodes.flatten(0, 1).gather(0, order), answers)
        return prompts.T.contiguous(), answers.T.contiguous()

    def prompt_tokens(self, sources: Tensor, targets: Tensor, answers: Tensor) -> Tensor:
        """The prompts [P, B] whose edges leave and enter these nodes, in this order, each [d (l - 1), B].

        Args:
            answers: [A, B]; start and goal are asked for.
        """
        n = self.num_nodes
        prompts = answers.new_empty(self.prompt_length, answers.shape[1])
        listed = prompts[self.edges_at : self.edges_at + 3 * self.num_edges]
        listed[::3] = sources
        listed[1::3] = targets
        listed[2::3].fill_(n + EDGE_MARK)
        prompts[self.question_at], prompts[self.question_at + 1] = answers[0], answers[-1]
        prompts[max(self.edges_at, self.question_at) - 1].fill_(n + QUESTION_MARK)
        prompts[-1].fill_(self.last_prompt_token)
        return prompts

    def check_examples(self, prompts: Tensor, answers: Tensor) -> None:
        for _ in text.checked_lines(self, prompts, answers):
            pass

    def correct(self, prompts: Tensor, answers: Tensor, given: Tensor) -> Tensor:
        """Whether the whole path is right, [B]."""
        return (answers == given).all(dim=1)

    def decoys(self, prompts: Tensor, answers: Tensor) -> Tensor:
        """The first wrong arm in the order of the prompt, start included, [B, A]."""
        return torch.cat([answers[:, :1], self.arms(prompts)[:, 1]], dim=1)

    def arms(self, prompts: Tensor) -> Tensor:
        """The arms without the start, [B, d, l - 1]: the goal's first, the others in the prompt's order."""
        sources, targets = self.edges(prompts)
        start, goal = self.question(prompts).split(1, dim=1)
        child = torch.zeros_like(prompts[:, :1]).expand(-1, self.num_nodes).scatter(1, sources, targets)
        leaving = (sources != start).byte().argsort(dim=1, stable=True)[:, : self.degree]
        path = [targets.gather(1, leaving)]
        for _ in range(self.path_length - 2):
            path.append(child.gather(1, path[-1]))
        arms = torch.stack(path, dim=2)
        goal_first = (arms[:, :, -1] != goal).byte().argsort(dim=1, stable=True)
        return arms.gather(1, goal_first[:, :, None].expand_as(arms))

    def edges(self, prompts: Tensor) -> tuple[Tensor, Tensor]:
        """The nodes that the edges leave and enter, in the order of the prompt, each [B, d (l - 1)]."""
        listed = prompts[:, self.edges_at : self.edges_at + 3 * self.num_edges]
        return listed[:, ::3], listed[:, 1::3]

    def question(self, prompts: Tensor) -> Tensor:
        """Start and goal, [B, 2]."""
        return prompts[:, self.question_at : self.question_at + 2]

    def split_of(self, prompts: Tensor) -> list[Split]:
        """The split that each graph belongs to."""
        start = self.question(prompts)[:, 0]
        shape = (self.arms(prompts).flatten(1).T - start) % self.num_nodes
        return splits_of((start + self.shape_hash(shape)) % self.num_nodes, self.num_nodes)

    def shape_hash(self, shape: Tensor) -> Tensor:
        """A hash of offsets [E, B] that ignores the order of the arms after the goal's, [B]."""
        salts = words("path_star shape", count=self.path_length + 1)
        offsets = shape.unflatten(0, (self.degree, -1)).long()  # [d, l - 1, B]
        state = torch.zeros_like(offsets[:, 0])
        for j in range(self.path_length - 1):
            state = mix(state ^ (offsets[:, j] + salts[j]) & 0xFFFF_FFFF)
        goal_arm, others = mix(state[0] ^ salts[-1]), mix(state[1:] ^ salts[-2])
        return goal_arm + others.sum(dim=0)

    # -- text ------------------------------------------------------------------------------------

    def symbol(self, token: int) -> str:
        """One token as text."""
        if token < self.num_nodes:
            return str(token)
        return (MARKS + RESERVED_TOKENS)[token - self.num_nodes]

    def text(self, tokens: Tensor) -> list[str]:
        """Rows of tokens [B, T] in the published format: commas between labels, none around marks."""
        return list(text.lines(self, tokens))

    def write(self, path: str | Path, prompts: Tensor, answers: Tensor) -> None:
        """Writes examples to a text file in the published format, one a line; whole or not at all.

        Raises:
            LookaheadError: no examples, what is no example of this task, or the file cannot be written.
        """
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in text.checked_lines(self, prompts, answers))

    def read_examples(self, path: str | Path) -> tuple[Tensor, Tensor]:
        """The graphs of a file in the published format, which are of this task's size: prompts [B, P], answers [B, A].

        Raises:
            LookaheadError: as `read`, or graphs of another size.
        """
        task, prompts, answers = PathStar.read(path, self.num_nodes)
        if (task.title, task.question_first) != (self.title, self.question_first):
            sides = ("after the edges", "before the edges")
            own, others = (f"{one.title}, the question {sides[one.question_first]}" for one in (self, task))
            raise LookaheadError(f"{path} holds {others}; asked for is {own}")
        return prompts, answers

    @classmethod
    def read(cls, path: str | Path, num_nodes: int | None = None) -> tuple[PathStar, Tensor, Tensor]:
        """Reads a file in the published format.

        Degree, path length and whether the question comes first are read off the first line. Blanks at the ends of
        lines, blank lines at the end of the file and a byte-order mark are passed over.

        A run of the task that comes back draws graphs of its own: `PathStarFile.of(path)` is the task that is trained
        on the file.

        Args:
            num_nodes: labels that the graphs were drawn from. One more than the largest if not given, with a warning:
                a model that was made for another number takes labels for marks, and is wrong without a word
                (`evaluate_on` refuses that).

        Returns:
            the task, prompts [B, P], answers [B, A]. A task whose graphs are too small to hold anything out from can
            be read, but neither sampled nor trained on.

        Raises:
            LookaheadError: a malformed line; the message names file, line and fault.
        """
        try:
            with Path(path).open(encoding="utf-8") as file:
                return text.parse(PathStar, file, num_nodes, str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise LookaheadError(f"{path} cannot be read as text ({error})") from error

    @classmethod
    def parse(
        cls, lines: Iterable[str], num_nodes: int | None = None, origin: str = "text"
    ) -> tuple[PathStar, Tensor, Tensor]:
        """Like `read`, from lines."""
        return text.parse(PathStar, lines, num_nodes, origin)
