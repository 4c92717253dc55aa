"""Trees, undirected stars, mixed lengths and the graph in the weights: what an example is, what is held out."""

import itertools
from typing import Any

import pytest
import torch

from lookahead.contracts import SPLITS, Task
from lookahead.errors import LookaheadError
from lookahead.tasks import InWeights, MixedLengths, PathStar, Tree, UndirectedStar, undirected_star

TREES = [Tree(2, 3, 12), Tree(3, 3, 14), Tree(2, 4, 15), Tree(2, 3, 30, fork=4), Tree(2, 5, 40)]


def edges_of(line: str) -> tuple[list[tuple[int, ...]], list[int], list[int]]:
    """Edges, question and path of a line in the published format."""
    asked, path = line.split("=")
    edges, question = asked.split("/")
    pairs = [tuple(map(int, edge.split(","))) for edge in edges.split("|")]
    return pairs, [int(node) for node in question.split(",")], [int(node) for node in path.split(",")]


def lines(task: Task, split: Any, count: int) -> list[str]:
    return task.text(torch.cat(task.sample(split, torch.arange(count)), dim=1))


@pytest.mark.parametrize("task", TREES, ids=lambda task: task.title)
@pytest.mark.parametrize("split", SPLITS)
def test_every_example_is_a_tree(task: Tree, split: str) -> None:
    for line in lines(task, split, 40):
        edges, (start, goal), path = edges_of(line)
        assert len(edges) == task.num_edges
        level, depth = [start], 0
        while level:
            below = [[v for u, v in edges if u == node] for node in level]
            wanted = 0 if depth == task.path_length - 1 else task.fork if depth else task.degree
            assert {len(children) for children in below} == {wanted}
            if not wanted:
                assert goal in level
            level, depth = list(itertools.chain(*below)), depth + 1
        assert len({start, *(v for _, v in edges)}) == task.num_edges + 1
        assert (path[0], path[-1], len(path)) == (start, goal, task.path_length)
        assert all(pair in edges for pair in itertools.pairwise(path))


def test_the_paths_of_a_tree_end_at_any_leaf_and_edges_stand_anywhere() -> None:
    """The goal's edge is at each place of the prompt as often; a first child is as often the first listed."""
    task = Tree(2, 3, 12)
    found = [edges_of(line) for line in lines(task, "train", 3000)]
    places = [edges.index((path[-2], path[-1])) for edges, _, path in found]
    counts = torch.tensor(places).bincount(minlength=task.num_edges)
    assert (counts - 500).abs().max() < 4.5 * 500**0.5
    first = [next(v for u, v in edges if u == path[0]) == path[1] for edges, _, path in found]
    assert abs(sum(first) - 1500) < 4.5 * 750**0.5


def test_the_accuracy_of_a_blind_walk_in_a_tree() -> None:
    assert [task.chance_accuracy for task in TREES] == [1 / 2, 1 / 3, 1 / 4, 1 / 2, 1 / 8]
    assert Tree(2, 3, 12).title == "T(2,2,3)"


@pytest.mark.parametrize(("task", "count"), [(Tree(2, 3, 7), 3000), (Tree(2, 3, 8), 6000)], ids=str)
def test_no_tree_is_in_two_splits_whatever_the_order_of_its_edges(task: Tree, count: int) -> None:
    """Of all that there are; and there are as many as the task says."""
    drawn = []
    for split in SPLITS:
        graphs = {(frozenset(edges), goal) for edges, (_, goal), _ in map(edges_of, lines(task, split, count))}
        drawn.append(graphs)
    assert not drawn[0] & drawn[1]
    assert not drawn[0] & drawn[2]
    assert not drawn[1] & drawn[2]
    assert len(drawn[2]) <= task.test_size
    assert len(drawn[2]) > 0.98 * task.test_size * (1 - 2.718281828 ** (-count / task.test_size))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"degree": 1}, "degree must be at least 2"),
        ({"path_length": 2}, "path_length must be at least 3"),
        ({"fork": 1}, "fork must be at least 2"),
        ({"num_nodes": 14}, "has 15 nodes, so num_nodes must be at least that, not 14"),
        ({"num_nodes": 2**15}, "num_nodes must be at most"),
    ],
)
def test_trees_that_cannot_be_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(LookaheadError, match=message):
        Tree(**{"degree": 2, "path_length": 4, "num_nodes": 20, **options})


# -- undirected ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(2, 3, 10), (2, 5, 50), (4, 4, 13)], ids=str)
@pytest.mark.parametrize("split", SPLITS)
def test_an_undirected_star_is_a_star_with_edges_turned_around(size: tuple[int, int, int], split: Any) -> None:
    task, star = UndirectedStar(*size, seed=2), PathStar(*size, seed=2)
    prompts, answers = task.sample(split, torch.arange(200))
    directed, paths = star.sample(split, torch.arange(200))
    assert torch.equal(answers, paths)
    assert torch.equal(task.directed(prompts), directed)
    assert torch.equal(task.decoys(prompts, answers), star.decoys(directed, answers))
    turned = (prompts != directed).any(dim=1)
    assert turned.float().mean() > 0.9
    share = (star.edges(prompts)[0] != star.edges(directed)[0]).float().mean().item()
    assert abs(share - 0.5) < 4 * 0.5 / (200 * star.num_edges) ** 0.5
    for row, line in enumerate(task.text(torch.cat([prompts, answers], dim=1))):
        edges, (start, goal), path = edges_of(line)
        assert all(pair in edges or pair[::-1] in edges for pair in itertools.pairwise(path)), row
        assert (path[0], path[-1]) == (start, goal)


def test_one_coin_turns_all_edges_of_a_graph_or_none() -> None:
    task = UndirectedStar(2, 4, 10, coin="graph")
    indices = torch.arange(200)
    prompts, answers = task.sample("train", indices)
    straight, paths = task.star.sample("train", indices)
    sources, targets = task.star.edges(straight)
    one, other = task.star.edges(prompts)
    turned = (one == targets).all(dim=1)
    assert torch.equal(turned, (other == sources).all(dim=1))
    assert torch.equal(~turned, (one == sources).all(dim=1) & (other == targets).all(dim=1))
    assert 60 < turned.sum() < 140
    assert torch.equal(answers, paths)
    task.check_examples(prompts, answers)
    assert torch.equal(task.decoys(prompts, answers), task.star.decoys(straight, paths))
    for index in range(20):
        prompt, path = undirected_star.sample_one(task, "train", index)
        assert (prompt, path) == (prompts[index].tolist(), answers[index].tolist())
        assert undirected_star.solve(task, prompt) == path
    assert UndirectedStar(2, 4, 10).title != task.title


def test_without_a_coin_every_edge_is_written_back_to_the_start() -> None:
    task = UndirectedStar(2, 4, 10, coin="never")
    prompts, answers = task.sample("test", torch.arange(50))
    straight, paths = task.star.sample("test", torch.arange(50))
    assert torch.equal(torch.stack(task.star.edges(prompts)), torch.stack(task.star.edges(straight)[::-1]))
    assert torch.equal(answers, paths)
    task.check_examples(prompts, answers)


@pytest.mark.parametrize(
    ("size", "message"),
    [((1, 4, 20), "degree"), ((2, 2, 20), "path_length"), ((2, 4, 6), "num_nodes")],
)
def test_undirected_stars_that_cannot_be_are_refused(size: tuple[int, int, int], message: str) -> None:
    with pytest.raises(LookaheadError, match=message):
        UndirectedStar(*size)


# -- mixed lengths ---------------------------------------------------------------------------------------------


def test_every_length_comes_as_often_and_is_a_star_of_its_own() -> None:
    task = MixedLengths(2, 3, 5, 12, seed=1)
    for split in SPLITS:
        counts = dict.fromkeys((3, 4, 5), 0)
        prompts, answers = task.sample(split, torch.arange(300))
        for line in task.text(torch.cat([prompts, answers], dim=1)):
            edges, (start, goal), path = edges_of(line.strip("."))
            counts[len(path)] += 1
            assert len(edges) == 2 * (len(path) - 1)
            assert (path[0], path[-1]) == (start, goal)
            assert all(pair in edges for pair in itertools.pairwise(path))
            assert len(line.lstrip(".")) > len(line) - task.prompt_length
        assert min(counts.values()) > 100 - 4.5 * 67**0.5
        assert [task.taught(answers).sum().item()] == [sum(length * n for length, n in counts.items())]
        for star, rows in task.by_length(answers):
            here = star.split_of(task.as_star(star, prompts[rows]))
            assert set(here) == {split}, "held out where PathStar holds out"


def test_a_wrong_arm_is_as_long_as_the_right_one() -> None:
    task = MixedLengths(3, 3, 5, 16)
    prompts, answers = task.sample("test", torch.arange(100))
    decoys = task.decoys(prompts, answers)
    assert torch.equal(task.taught(decoys), task.taught(answers))
    for prompt, decoy in zip(task.text(prompts), task.text(decoys), strict=True):
        edges, (start, goal), _ = edges_of(f"{prompt.strip('.')}0")
        path = [int(node) for node in decoy.strip(".").split(",")]
        assert path[0] == start
        assert path[-1] != goal
        assert all(pair in edges for pair in itertools.pairwise(path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"longest": 3}, "longest must be above shortest, not 3 and 3"),
        ({"shortest": 2}, "path_length must be at least 3"),
        ({"num_nodes": 8}, "has 9 nodes"),
        ({"degree": 1}, "degree must be at least 2"),
    ],
)
def test_lengths_that_cannot_be_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(LookaheadError, match=message):
        MixedLengths(**{"degree": 2, "shortest": 3, "longest": 5, "num_nodes": 12, **options})


# -- in weights ------------------------------------------------------------------------------------------------


def graph_of(task: InWeights) -> list[list[int]]:
    """The arms, the start first, from the edges that training shows and nothing else."""
    prompts, answers = task.sample("train", torch.arange(20_000))
    near: dict[int, set[int]] = {}
    for prompt, answer in zip(task.text(prompts), task.text(answers), strict=True):
        if prompt.startswith("edge"):
            u, v = int(prompt.removeprefix("edge ").strip("=")), int(answer.strip("."))
            near.setdefault(u, set()).add(v)
            near.setdefault(v, set()).add(u)
    (start,) = (node for node, others in near.items() if len(others) > 2)
    arms = []
    for first in near[start]:
        arm = [start, first]
        while ahead := near[arm[-1]] - set(arm):
            arm.append(ahead.pop())
        arms.append(arm)
    return arms


@pytest.mark.parametrize("edges", ["both", "down", "up"])
def test_training_shows_all_edges_and_the_paths_of_eight_arms_in_ten(edges: Any) -> None:
    task = InWeights(100, 4, edges=edges)
    arms = graph_of(task)
    assert sorted(map(len, arms)) == [4] * 100
    paths = {split: {tuple(a) for p, a in _paths(task, split)} for split in SPLITS}
    assert [len(paths[split]) for split in SPLITS] == [80, 10, 10]
    assert set.union(*paths.values()) == {tuple(arm) for arm in arms}, "each in one split"
    prompts, answers = task.sample("train", torch.arange(2000))
    is_edge = prompts[:, 0] == task.num_nodes + 2
    assert abs(is_edge.float().mean() - 0.5) < 4 * 0.5 / 2000**0.5
    place = {node: i for arm in arms for i, node in enumerate(arm)}
    down = [
        place[u] < place[v] for u, v in zip(prompts[is_edge, 1].tolist(), answers[is_edge, 0].tolist(), strict=True)
    ]
    share = sum(down) / len(down)
    assert abs(share - {"both": 0.5, "down": 1, "up": 0}[edges]) < 4 * 0.5 / len(down) ** 0.5 * (edges == "both") + 1e-9


def _paths(task: InWeights, split: Any) -> list[tuple[list[int], list[int]]]:
    prompts, answers = (part.tolist() for part in task.sample(split, torch.arange(4000)))
    mark = task.num_nodes + 1
    found = [(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True) if prompt[0] == mark]
    assert all(prompt[1] == answer[-1] for prompt, answer in found)
    return found


def test_the_graph_belongs_to_the_task_and_not_to_the_seed() -> None:
    arms = InWeights(100, 4).arms(torch.device("cpu"))
    assert torch.equal(InWeights(100, 4, seed=1).arms(torch.device("cpu")), arms)
    assert not torch.equal(InWeights(100, 4, graph=1).arms(torch.device("cpu")), arms)
    assert arms[:, 1:].unique().numel() + 1 == InWeights(100, 4).num_nodes


def test_any_neighbour_is_right_where_an_edge_is_asked_for() -> None:
    task = InWeights(100, 4)
    start, first, second, _ = task.arms(torch.device("cpu"))[7].tolist()
    asked = torch.tensor([[task.num_nodes + 2, first, task.num_nodes + 3]]).repeat(3, 1)
    given = torch.full((3, 4), task.num_nodes)
    given[:, 0] = torch.tensor([start, second, first])
    assert task.correct(asked, given[:1].expand(3, -1), given).tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"degree": 99}, "degree must be at least 100"),
        ({"path_length": 2}, "path_length must be at least 3"),
        ({"edges": "sideways"}, "edges must be one of both, down, up"),
    ],
)
def test_graphs_in_weights_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(LookaheadError, match=message):
        InWeights(**{"degree": 100, "path_length": 4, **options})
