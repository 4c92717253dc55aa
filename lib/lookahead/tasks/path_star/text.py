"""The published text format of path-star: a graph, its question and its answer in a line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from lookahead.errors import LookaheadError

if TYPE_CHECKING:
    from lookahead.tasks.path_star.task import PathStar

MARKS = ("|", "/", "=")
EDGE_MARK, QUESTION_MARK, ANSWER_MARK = range(3)


def lines(task: PathStar, tokens: Tensor) -> list[str]:
    """Rows of tokens [B, T] as text: commas between labels, none around marks."""
    texts = []
    for row in tokens.tolist():
        line = ""
        for before, token in zip([task.num_nodes, *row], row, strict=False):
            line += "," if before < task.num_nodes and token < task.num_nodes else ""
            line += task.symbol(token)
        texts.append(line)
    return texts


def parse(
    kind: type[PathStar], lines: Iterable[str], num_nodes: int | None, origin: str
) -> tuple[PathStar, Tensor, Tensor]:
    """The task, prompts [B, P] and answers [B, A] that lines hold; see `PathStar.read`.

    Raises:
        LookaheadError: a malformed line; the message names origin, line and fault.
    """
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
                raise ValueError(f"label {largest}, but num_nodes is {num_nodes}: labels run from 0 to {num_nodes - 1}")
        except ValueError as fault:
            raise LookaheadError(f"{origin}, line {number}: {fault}") from None
    if not graphs:
        raise LookaheadError(f"{origin}: no examples in it")
    drawn_from = num_nodes or 1 + max(max(edge) for graph in graphs for edge in graph.edges)
    try:
        task = kind(*_size(graphs[0]), drawn_from, question_first=graphs[0].question_first)
    except LookaheadError as error:
        raise LookaheadError(f"{origin}: {error}") from None
    prompts = [example_tokens(task, graph.edges, graph.path) for graph in graphs]
    return task, torch.tensor(prompts), torch.tensor([graph.path for graph in graphs])


def example_tokens(task: PathStar, edges: Sequence[tuple[int, int]], path: Sequence[int]) -> list[int]:
    """The prompt of a graph: its edges in the given order, the question where the task has it, the marks between."""
    edge_mark, question_mark, answer_mark = (task.num_nodes + mark for mark in (EDGE_MARK, QUESTION_MARK, ANSWER_MARK))
    listed = [token for edge in edges for token in (*edge, edge_mark)][:-1]
    question = [path[0], path[-1]]
    first, second = (question, listed) if task.question_first else (listed, question)
    return [*first, question_mark, *second, answer_mark]


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
