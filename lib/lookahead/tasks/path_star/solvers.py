"""Path-star solved by hand: two rules that are always right, and a cheat."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lookahead.tasks.path_star.task import PathStar


@dataclass(frozen=True)
class Solution:
    """The path a rule gives, and how many edges it looked up."""

    path: list[int]
    lookups: int


class Edges:
    """The edges of a prompt in its order; counts every one that is looked up."""

    def __init__(self, task: PathStar, prompt: Sequence[int]) -> None:
        listed = prompt[task.edges_at : task.edges_at + 3 * task.num_edges]
        self.pairs = list(zip(listed[::3], listed[1::3], strict=True))
        self.start, self.goal = prompt[task.question_at : task.question_at + 2]
        self.lookups = 0

    def after(self, node: int) -> Iterator[int]:
        """The children of a node, as the prompt lists them."""
        for parent, child in self.pairs:
            if parent == node:
                self.lookups += 1
                yield child

    def before(self, node: int) -> int:
        """The only parent of a node."""
        self.lookups += 1
        return next(parent for parent, child in self.pairs if child == node)


def try_arms(task: PathStar, prompt: Sequence[int]) -> Solution:
    """Follow an arm. If its end is not the goal, go back; try the next."""
    edges = Edges(task, prompt)
    for child in edges.after(edges.start):
        path = [edges.start, child]
        while len(path) < task.path_length:
            path.append(next(edges.after(path[-1])))
        if path[-1] == edges.goal:
            return Solution(path, edges.lookups)
    raise ValueError("no arm ends in the goal")


def from_goal(task: PathStar, prompt: Sequence[int]) -> Solution:
    """Step from the goal to its only parent, up to the start; reverse."""
    edges = Edges(task, prompt)
    path = [edges.goal]
    while path[-1] != edges.start:
        path.append(edges.before(path[-1]))
    return Solution(path[::-1], edges.lookups)


def cheat(task: PathStar, prompt: Sequence[int]) -> Solution:
    """Take any child of the start; then step to the only child, always."""
    edges = Edges(task, prompt)
    path = [edges.start]
    while len(path) < task.path_length:
        path.append(next(edges.after(path[-1])))
    return Solution(path, edges.lookups)
