"""How many path-star graphs there are, and how many of them two drawings share."""

import math


def count_graphs(degree: int, path_length: int, num_nodes: int) -> int:
    """Different pairs of a graph and a goal: the labels of the goal's arm in order, and the other arms in any order."""
    return math.perm(num_nodes, 1 + degree * (path_length - 1)) // math.factorial(degree - 1)


def share_drawn(graphs: int, drawn: int) -> float:
    """The expected share of all graphs that are among so many draws, each from all of them alike."""
    return -math.expm1(drawn * math.log1p(-1 / graphs))
