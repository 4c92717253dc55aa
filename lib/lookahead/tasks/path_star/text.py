"""The published text format of path-star: a graph, its question and its answer in a line."""

from __future__ import annotations

import warnings
from array import array
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lookahead.contracts import RESERVED_TOKENS
from lookahead.errors import LookaheadError, shown
from lookahead.kinds import Count, fit

if TYPE_CHECKING:
    from lookahead.tasks.path_star.task import PathStar

MARKS = ("|", "/", "=")
EDGE_MARK, QUESTION_MARK, ANSWER_MARK = range(3)

LARGEST_NUM_NODES = 2**14
"""Labels are sampled as 16-bit integers."""

ROWS = 4096
"""Examples that are turned into text, or into tokens, at a time."""


def lines(task: PathStar, tokens: Tensor) -> Iterator[str]:
    """Rows of tokens [B, T] as text, one by one: commas between labels, none around marks.

    Raises:
        LookaheadError: an id that is neither the task's nor a reserved one.
    """
    words = [*map(str, range(task.num_nodes)), *MARKS, *RESERVED_TOKENS]
    if tokens.numel() and not (tokens.min() >= 0 and tokens.max() < len(words)):
        raise LookaheadError(f"ids from {tokens.min()} to {tokens.max()}: those of this task are 0 to {len(words) - 1}")
    for rows in tokens.split(ROWS):
        for row in rows.tolist():
            parts = []
            for before, token in zip([task.num_nodes, *row], row, strict=False):
                if before < task.num_nodes and token < task.num_nodes:
                    parts.append(",")
                parts.append(words[token])
            yield "".join(parts)


def checked_lines(task: PathStar, prompts: Tensor, answers: Tensor) -> Iterator[str]:
    """Examples [B, P] and [B, A] as text, one by one; each can be read again as the same example.

    Raises:
        LookaheadError: no examples, or what is no example of the task.
    """
    wanted = (task.prompt_length, task.answer_length)
    if prompts.ndim != 2 or answers.ndim != 2 or (*prompts.shape, *answers.shape[1:]) != (len(answers), *wanted):
        given = f"{list(prompts.shape)} and {list(answers.shape)}"
        raise LookaheadError(
            f"prompts [B, {wanted[0]}] and answers [B, {wanted[1]}] are examples of {task.title}, not {given}"
        )
    if not len(prompts):
        raise LookaheadError("no examples: not even what the graphs are could be told")
    parts = zip(prompts.split(ROWS), answers.split(ROWS), strict=True)
    rendered = chain.from_iterable(lines(task, torch.cat(part, dim=1)) for part in parts)
    for number, line in enumerate(rendered):
        try:
            _check_alike(_parse_line(line), task.title, task.question_first, "this task's")
        except ValueError as fault:
            raise LookaheadError(f"row {number} is no example of {task.title}: {fault}") from None
        yield line


def parse(
    kind: type[PathStar], lines: Iterable[str], num_nodes: int | None, origin: str
) -> tuple[PathStar, Tensor, Tensor]:
    """The task, prompts [B, P] and answers [B, A] that lines hold; see `PathStar.read`.

    Lines are read one by one; beside the tokens that come out, two bytes a label are held.

    Raises:
        LookaheadError: a malformed line; the message names origin, line and fault.
    """
    num_nodes = fit("num_nodes", num_nodes, Count | None)
    labels, largest = array("H"), 0  # of every example the edges, then the path
    first, blank = None, 0
    for number, line in enumerate(lines, 1):
        stripped = line.removeprefix("\ufeff" if number == 1 else "").strip()  # editors leave marks and blanks
        try:
            if not stripped:
                blank = blank or number
                continue
            if blank:
                number = blank
                raise ValueError("an empty line")
            graph = _parse_line(stripped)
            first = first or graph
            _check_alike(graph, first.title, first.question_first, "the first line's")
            here = max(max(edge) for edge in graph.edges)
            if num_nodes is not None and here >= num_nodes:
                raise ValueError(f"label {here}, but num_nodes is {num_nodes}: labels run from 0 to {num_nodes - 1}")
        except ValueError as fault:
            raise LookaheadError(f"{origin}, line {number}: {fault}") from None
        largest = max(largest, here)
        for edge in graph.edges:
            labels.extend(edge)
        labels.extend(graph.path)
    if first is None:
        raise LookaheadError(f"{origin}: no examples in it")
    if num_nodes is None:
        num_nodes = 1 + largest
        warnings.warn(
            f"{origin}: num_nodes is not given and taken to be {num_nodes}, one more than the largest label. A model "
            "made for another one would take labels for marks: give the num_nodes that the graphs were drawn from",
            stacklevel=3,
        )
    try:
        task = kind(*first.size, num_nodes, question_first=first.question_first, any_size=True)
    except LookaheadError as error:
        raise LookaheadError(f"{origin}: {error}") from None
    return task, *_tokens(task, np.frombuffer(labels, np.uint16))


def _tokens(task: PathStar, labels: np.ndarray) -> tuple[Tensor, Tensor]:
    """Prompts [B, P] and answers [B, A] from the labels of every example: its edges, then its path."""
    table = labels.reshape(-1, 2 * task.num_edges + task.answer_length)
    prompts, answers = (torch.empty(len(table), size).long() for size in (task.prompt_length, task.answer_length))
    for first in range(0, len(table), ROWS):
        rows = torch.from_numpy(table[first : first + ROWS].astype(np.int64)).T
        edges, path = rows[: 2 * task.num_edges], rows[2 * task.num_edges :]
        prompts[first : first + ROWS] = task.prompt_tokens(edges[::2], edges[1::2], path).T
        answers[first : first + ROWS] = path.T
    return prompts, answers


class Graph(NamedTuple):
    """A line of a file."""

    edges: list[tuple[int, int]]
    """In the order of the file."""
    path: list[int]
    question_first: bool

    @property
    def size(self) -> tuple[int, int]:
        """(degree, path_length)."""
        return len(self.edges) // (len(self.path) - 1), len(self.path)

    @property
    def title(self) -> str:
        return "G({},{})".format(*self.size)


def _check_alike(graph: Graph, title: str, question_first: bool, whose: str) -> None:
    """Refuses a graph of another size, or with the question on another side, than `whose`.

    Raises:
        ValueError: what differs.
    """
    if graph.question_first != question_first:
        raise ValueError(f"the question stands on another side of the edges than {whose}")
    if graph.title != title:
        raise ValueError(f"a {graph.title}, but {whose} is a {title}")


def _labels(text: str, count: int | None, what: str) -> list[int]:
    fields = text.split(",")
    for label in fields:
        if not (label.isascii() and label.isdigit()):
            raise ValueError(f"{what} holds {shown(label)}, which is no label (a number from 0)")
        if len(label) > 9 or int(label) >= LARGEST_NUM_NODES:
            raise ValueError(f"{what} holds {shown(label)}: labels run from 0 to {LARGEST_NUM_NODES - 1}")
    if count is not None and len(fields) != count:
        raise ValueError(f"{what} {shown(text)} has {len(fields)} labels, not {count}")
    return [int(label) for label in fields]


def _parse_line(line: str) -> Graph:
    """One line of the published format.

    Raises:
        ValueError: what is wrong with it.
    """
    if line.count("/") != 1 or line.count("=") != 1 or line.index("/") > line.index("="):
        raise ValueError("not of the form 'edges/start,goal=path' with one '/' and one '='")
    asked, answer = line.split("=")
    graph, question = asked.split("/")
    if question_first := "|" in question:
        graph, question = question, graph
    edges = [(u, v) for u, v in (_labels(edge, 2, "edge") for edge in graph.split("|"))]
    start, goal = _labels(question, 2, "question")
    path = _labels(answer, None, "path")
    seen: set[int] = set()
    for _, target in edges:
        if target in seen:
            raise ValueError(f"node {target} has two parents")
        seen.add(target)
    if start in seen:
        raise ValueError(f"the start {start} has a parent")
    firsts = [v for u, v in edges if u == start]
    if not firsts:
        raise ValueError(f"no edge leaves the start {start}")
    children = {u: v for u, v in edges if u != start}
    if len(children) != len(edges) - len(firsts):
        raise ValueError("a node other than the start has two children")
    lengths, ends = set(), {}
    for first in firsts:
        arm = [start, first]
        while arm[-1] in children:
            arm.append(children[arm[-1]])
        lengths.add(len(arm))
        ends[arm[-1]] = arm
    if len(lengths) != 1:
        raise ValueError(f"arms of unequal length ({shown(sorted(lengths)).strip('[]')} nodes)")
    if len(ends) * (lengths.pop() - 1) != len(edges):
        raise ValueError("an edge that no arm reaches from the start")
    if goal not in ends:
        raise ValueError(f"the goal {goal} does not end an arm")
    if path != ends[goal]:
        right = ",".join(map(str, ends[goal]))
        raise ValueError(f"the path {shown(answer)} is not the one from start to goal, {shown(right)}")
    return Graph(edges, path, question_first)
