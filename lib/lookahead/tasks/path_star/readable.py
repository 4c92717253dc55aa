"""The sampler of path-star as the task is defined, one example at a time: the reference of the fast one."""

from collections.abc import Sequence
from itertools import pairwise

import torch

from lookahead.contracts import Split
from lookahead.tasks.path_star.task import PathStar
from lookahead.tasks.path_star.text import ANSWER_MARK, EDGE_MARK, QUESTION_MARK
from lookahead.tasks.splits import classes


def sample_one(task: PathStar, split: Split, index: int) -> tuple[list[int], list[int]]:
    """Prompt and answer of one example, as `PathStar.sample` gives them: d arms, shuffled edges, one goal."""
    class_rank, *ranks = task.draws(split, torch.tensor([index]))[:, 0].tolist()
    offsets, places = list(range(1, task.num_nodes)), list(range(task.num_edges))
    # labels as offsets from the start's, none twice
    shape = [offsets.pop(rank) for rank in ranks[: task.num_edges]]
    order = [places.pop(rank) for rank in ranks[task.num_edges :]]

    first_class, _ = classes(split, task.num_nodes)
    hashed = task.shape_hash(torch.tensor(shape)[:, None]).item()
    start = first_class + class_rank - hashed
    start, *nodes = [(start + offset) % task.num_nodes for offset in [0, *shape]]
    length = task.path_length - 1
    arms = [nodes[i : i + length] for i in range(0, len(nodes), length)]
    edges = [edge for arm in arms for edge in pairwise([start, *arm])]
    path = [start, *arms[0]]  # the goal ends the first arm
    return example_tokens(task, [edges[i] for i in order], path), path


def example_tokens(task: PathStar, edges: Sequence[tuple[int, int]], path: Sequence[int]) -> list[int]:
    """The prompt of a graph: its edges in the given order, the question where the task has it, the marks between."""
    edge_mark, question_mark, answer_mark = (task.num_nodes + mark for mark in (EDGE_MARK, QUESTION_MARK, ANSWER_MARK))
    listed = [token for edge in edges for token in (*edge, edge_mark)][:-1]
    question = [path[0], path[-1]]
    first, second = (question, listed) if task.question_first else (listed, question)
    return [*first, question_mark, *second, answer_mark]
