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
from typing import NamedTuple

import torch
from torch import Tensor

from lookahead.contracts import RESERVED_TOKENS, SPLITS, Split, Task, whole_number
from lookahead.counter import Key, distinct, integers, mix, words
from lookahead.errors import LookaheadError
from lookahead.files import write_text

SMALLEST_TEST_SET = 100
"""Distinct test graphs below which a task is refused: no accuracy could be told from another."""

LARGEST_NUM_NODES = 2**14
"""Labels are sampled as 16-bit integers."""

MARKS = ("|", "/", "=")
EDGE_MARK, QUESTION_MARK, ANSWER_MARK = range(3)


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

    Raises:
        LookaheadError: the graph cannot be, or is too small to hold anything out from.
    """

    degree: int
    path_length: int
    num_nodes: int
    seed: int = 0
    question_first: bool = False

    def __post_init__(self) -> None:
        for name in ("degree", "path_length", "num_nodes", "seed"):
            object.__setattr__(self, name, whole_number(name, getattr(self, name)))
        if not isinstance(self.question_first, bool):
            raise LookaheadError(f"question_first is true or false, not {self.question_first!r}")
        d, n = self.degree, self.num_nodes
        if d < 2:
            raise LookaheadError(f"degree must be at least 2, not {d}: with one arm there is nothing to choose")
        if self.path_length < 3:
            raise LookaheadError(
                f"path_length must be at least 3, not {self.path_length}: it counts the start and the goal, "
                "and with 2 the answer stands in the prompt"
            )
        needed = self.labels_needed(d, self.path_length)
        if n < needed:
            raise LookaheadError(f"{self.graph} has {needed} nodes, so num_nodes must be at least {needed}, not {n}")
        if n > LARGEST_NUM_NODES:
            raise LookaheadError(f"num_nodes must be at most {LARGEST_NUM_NODES}, not {n}")
        if self.test_graphs() < SMALLEST_TEST_SET:
            raise LookaheadError(
                f"{self.graph} with {n} labels has only {self.test_graphs()} graphs to test on, fewer than "
                f"{SMALLEST_TEST_SET}: take a larger num_nodes"
            )

    @staticmethod
    def labels_needed(degree: int, path_length: int) -> int:
        """Nodes of G(degree, path_length): d (l - 1) + 1."""
        return degree * (path_length - 1) + 1

    @property
    def graph(self) -> str:
        """The graph's name, such as G(2,5)."""
        return f"G({self.degree},{self.path_length})"

    @property
    def num_edges(self) -> int:
        """d (l - 1)."""
        return self.degree * (self.path_length - 1)

    @property
    def prompt_length(self) -> int:
        return 3 * self.num_edges + 3

    @property
    def edges_at(self) -> int:
        """Where the first edge stands in a prompt."""
        return 3 if self.question_first else 0

    @property
    def question_at(self) -> int:
        """Where the start stands in a prompt; the goal is next."""
        return 0 if self.question_first else 3 * self.num_edges

    @property
    def answer_length(self) -> int:
        return self.path_length

    @property
    def vocab_size(self) -> int:
        return self.num_nodes + len(MARKS)

    @property
    def decision(self) -> int:
        """The first node after the start."""
        return 1

    @property
    def chance_accuracy(self) -> float:
        """1/d: an arm chosen blindly, then followed without a fault."""
        return 1 / self.degree

    @property
    def held_classes(self) -> int:
        """How many of the N classes are test, and as many validation."""
        return max(1, self.num_nodes // 10)

    def test_graphs(self) -> int:
        """How many distinct (graph, goal) pairs the test split holds."""
        count = 1
        for taken in range(1, self.num_edges + 1):
            count *= self.num_nodes - taken
        for arms in range(2, self.degree):
            count //= arms  # arms that do not end in the goal have no order
        return count * self.held_classes

    def sample(self, split: Split, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Examples `indices` [B] (0 ... 2^32 - 1) of a split: prompts [B, P], answers [B, A], int64.

        Raises:
            LookaheadError: no such split.
        """
        return self._examples(split, integers(self._key(split), indices, self._bounds(split)))

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
        """Of what an example is drawn by: its class, its shape, the order of its edges."""
        n, edges = self.num_nodes, self.num_edges
        return [self._classes(split)[1]] + [n - 1 - k for k in range(edges)] + [edges - k for k in range(edges)]

    def _examples(self, split: Split, draws: Tensor) -> tuple[Tensor, Tensor]:
        """What integers below `_bounds` [K, B] stand for: prompts [B, P], answers [B, A]."""
        first, _ = self._classes(split)
        n, edges, d = self.num_nodes, self.num_edges, self.degree
        shape = distinct(draws[1 : 1 + edges].short()) + 1
        order = distinct(draws[1 + edges :].short())

        start = (first + draws[0] - self._shape_hash(shape)) % n
        nodes = ((shape + start) % n).unflatten(0, (d, -1))  # [d, l - 1, B]; the first arm is the goal's
        sources = torch.cat([start.expand(d, 1, -1), nodes[:, :-1]], dim=1).flatten(0, 1)
        order = order.long()
        prompts = start.new_empty(self.prompt_length, start.shape[0])
        listed = prompts[self.edges_at : self.edges_at + 3 * edges]
        listed[::3] = sources.gather(0, order)
        listed[1::3] = nodes.flatten(0, 1).gather(0, order)
        listed[2::3].fill_(n + EDGE_MARK)
        prompts[self.question_at], prompts[self.question_at + 1] = start, nodes[0, -1]
        prompts[max(self.edges_at, self.question_at) - 1].fill_(n + QUESTION_MARK)
        prompts[-1].fill_(n + ANSWER_MARK)
        answers = torch.cat([start[None], nodes[0]])
        return prompts.T.contiguous(), answers.T.contiguous()

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
        classes = (start + self._shape_hash(shape)) % self.num_nodes
        bounds = torch.tensor([2 * self.held_classes, self.held_classes], device=prompts.device)
        return [SPLITS[i] for i in (classes[:, None] < bounds).sum(dim=1).tolist()]

    def _classes(self, split: Split) -> tuple[int, int]:
        """First class and number of classes of a split."""
        held = self.held_classes
        ranges = {"test": (0, held), "validation": (held, held), "train": (2 * held, self.num_nodes - 2 * held)}
        if split not in ranges:
            raise LookaheadError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
        return ranges[split]

    def _shape_hash(self, shape: Tensor) -> Tensor:
        """A hash of offsets [E, B] that ignores the order of the arms behind the goal's, [B]."""
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
        lines = []
        for row in tokens.tolist():
            line = ""
            for before, token in zip([self.num_nodes, *row], row, strict=False):
                line += "," if before < self.num_nodes and token < self.num_nodes else ""
                line += self.symbol(token)
            lines.append(line)
        return lines

    def write(self, path: str | Path, prompts: Tensor, answers: Tensor) -> None:
        """Writes examples to a text file in the published format, one a line; whole or not at all."""
        lines = self.text(torch.cat([prompts, answers], dim=1))
        write_text(path, "\n".join(lines) + "\n")

    @classmethod
    def read(cls, path: str | Path, num_nodes: int | None = None) -> tuple[PathStar, Tensor, Tensor]:
        """Reads a file in the published format.

        Degree, path length and whether the question comes first are read off the first line.

        Args:
            num_nodes: labels that the graphs were drawn from; one more than the largest if not given.

        Returns:
            the task, prompts [B, P], answers [B, A].

        Raises:
            LookaheadError: a malformed line; the message names file, line and fault.
        """
        try:
            with Path(path).open(encoding="utf-8") as file:
                return cls.parse(file, num_nodes, str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise LookaheadError(f"{path} cannot be read as text ({error})") from error

    @classmethod
    def parse(
        cls, lines: Iterable[str], num_nodes: int | None = None, origin: str = "text"
    ) -> tuple[PathStar, Tensor, Tensor]:
        """Like `read`, from lines."""
        graphs = []
        for number, line in enumerate(lines, 1):
            try:
                graphs.append(_parse_line(line.rstrip("\r\n")))
                if graphs[-1].question_first != graphs[0].question_first:
                    raise ValueError("the question stands on another side of the edges than in the first line")
                if _size(graphs[-1]) != _size(graphs[0]):
                    raise ValueError(
                        "a G({},{}), but the first line holds a G({},{})".format(*_size(graphs[-1]), *_size(graphs[0]))
                    )
                largest = max(max(edge) for edge in graphs[-1].edges)
                if num_nodes is not None and largest >= num_nodes:
                    raise ValueError(
                        f"label {largest}, but num_nodes is {num_nodes}: labels run from 0 to {num_nodes - 1}"
                    )
            except ValueError as fault:
                raise LookaheadError(f"{origin}, line {number}: {fault}") from None
        if not graphs:
            raise LookaheadError(f"{origin}: no examples in it")
        drawn_from = num_nodes or 1 + max(max(edge) for graph in graphs for edge in graph.edges)
        try:
            task = cls(*_size(graphs[0]), drawn_from, question_first=graphs[0].question_first)
        except LookaheadError as error:
            raise LookaheadError(f"{origin}: {error}") from None
        between, question, equals = (drawn_from + mark for mark in (EDGE_MARK, QUESTION_MARK, ANSWER_MARK))
        prompts = []
        for graph in graphs:
            edges = [token for edge in graph.edges for token in (*edge, between)][:-1]
            ends = [graph.path[0], graph.path[-1]]
            first, second = (ends, edges) if graph.question_first else (edges, ends)
            prompts.append([*first, question, *second, equals])
        return task, torch.tensor(prompts), torch.tensor([graph.path for graph in graphs])


class Graph(NamedTuple):
    """A line of a file."""

    edges: list[tuple[int, int]]
    """In the order of the file."""
    path: list[int]
    question_first: bool


def _size(graph: Graph) -> tuple[int, int]:
    """(degree, path_length)."""
    length = len(graph.path)
    return len(graph.edges) // (length - 1), length


def _labels(text: str, count: int | None, what: str) -> list[int]:
    fields = text.split(",")
    for label in fields:
        if not (label.isascii() and label.isdigit()):
            raise ValueError(f"{what} holds {label!r}, which is no label (a number from 0)")
    if count is not None and len(fields) != count:
        raise ValueError(f"{what} {text!r} has {len(fields)} labels, not {count}")
    return [int(label) for label in fields]


def _parse_line(line: str) -> Graph:
    """One line of the published format.

    Raises:
        ValueError: what is wrong with it.
    """
    if not line.strip():
        raise ValueError("an empty line")
    if line.count("/") != 1 or line.count("=") != 1 or line.index("/") > line.index("="):
        raise ValueError("not of the form 'edges/start,goal=path' with one '/' and one '='")
    asked, answer = line.split("=")
    graph, question = asked.split("/")
    if question_first := "|" in question:
        graph, question = question, graph
    edges = [(u, v) for u, v in (_labels(edge, 2, "edge") for edge in graph.split("|"))]
    start, goal = _labels(question, 2, "question")
    path = _labels(answer, None, "path")
    if start not in (u for u, _ in edges):
        raise ValueError(f"no edge leaves the start {start}")
    targets = [v for _, v in edges]
    children = {u: v for u, v in edges if u != start}
    if len(set(targets)) != len(targets) or start in targets:
        twice = sorted({v for v in targets if targets.count(v) > 1})
        fault = f"node {twice[0]} has two parents" if twice else f"the start {start} has a parent"
        raise ValueError(fault)
    if len(children) != sum(u != start for u, _ in edges):
        raise ValueError("a node other than the start has two children")
    lengths, ends = set(), {}
    for first in (v for u, v in edges if u == start):
        arm = [start, first]
        while arm[-1] in children:
            arm.append(children[arm[-1]])
        lengths.add(len(arm))
        ends[arm[-1]] = arm
    if len(lengths) != 1:
        raise ValueError(f"arms of unequal length ({', '.join(map(str, sorted(lengths)))} nodes)")
    if len(ends) * (lengths.pop() - 1) != len(edges):
        raise ValueError("an edge that no arm reaches from the start")
    if goal not in ends:
        raise ValueError(f"the goal {goal} does not end an arm")
    if path != ends[goal]:
        raise ValueError(f"the path {answer!r} is not the one from start to goal, {','.join(map(str, ends[goal]))!r}")
    return Graph(edges, path, question_first)
