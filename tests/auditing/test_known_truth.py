"""The data sets of known truth: what they hold is what they say."""

import json
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from lookahead.auditing.known_truth import ASIDES, DATA_SETS, LETTERS, write
from lookahead.errors import LookaheadError


def examples(name: str, count: int = 200) -> list[tuple[str, str]]:
    drawn = Random(0)
    return [DATA_SETS[name].draw(drawn) for _ in range(count)]


def parents(edges: list[tuple[str, str]]) -> dict[str, str]:
    found = {child: parent for parent, child in edges}
    assert len(found) == len(edges), "every node has one parent"
    return found


def path_to(goal: str, parents: dict[str, str]) -> list[str]:
    path = [goal]
    while path[-1] in parents:
        path.append(parents[path[-1]])
    return path[::-1]


@pytest.mark.parametrize(("name", "nodes"), [("path-star", 7), ("tree", 11)])
def test_the_answer_is_the_path_to_the_goal(name: str, nodes: int) -> None:
    for prompt, answer in examples(name):
        graph, question = prompt.split("?")
        edges = [(edge[0], edge[1]) for edge in graph.split(",")]
        assert len({node for edge in edges for node in edge}) == nodes
        assert list(answer) == path_to(question[1], parents(edges))
        assert answer[0] == question[0]
        assert len(answer) == 4
        assert question[1] not in {parent for parent, _ in edges}, "the goal is a leaf"
        assert Counter(parent for parent, _ in edges)[answer[0]] == 2


def test_a_story_ends_as_its_prompt_says() -> None:
    for prompt, answer in examples("story"):
        sentences = [part.strip() for part in prompt.split(" .")]
        told = [tuple(part.split(" told ")) for part in sentences if " told " in part]
        assert [f"{part} ." for part in sentences if f"{part} ." in ASIDES]
        *_, ending, empty = sentences
        assert not empty
        goal, source = ending.removeprefix("In the end ").split(" knew it from ")
        path = path_to(goal, parents(told))  # type: ignore[arg-type]
        assert path[0] == source
        assert answer.split()[DATA_SETS["story"].token :: 4] == path[1:]  # type: ignore[misc]


def test_what_is_reversed_is_the_same_the_other_way_round() -> None:
    for name in ("path-star", "addition"):
        turned = [(prompt, answer[::-1]) for prompt, answer in examples(name)]
        assert turned == examples(f"reversed-{name}")


def test_sums_copies_and_orders_are_right() -> None:
    assert all(int(answer) == sum(map(int, prompt.split("+"))) for prompt, answer in examples("addition"))
    assert {len(answer) for _, answer in examples("addition")} == {4}
    assert all(answer == "".join(sorted(prompt)) for prompt, answer in examples("sorting"))
    copied = examples("copied")
    assert all(prompt == answer for prompt, answer in copied)
    assert {len(answer) for _, answer in copied} == {6, 7, 8, 9, 10}


def test_the_coin_is_fair_and_says_what_follows() -> None:
    coins = Counter()
    for prompt, answer in examples("coin", 1000):
        assert answer[1:] == (prompt if answer[0] == "+" else prompt[::-1])
        coins[answer[0]] += 1
    assert 430 < coins["+"] < 570
    assert not {"+", "-"} & set(LETTERS)


def test_what_is_yes_says_where() -> None:
    for one in DATA_SETS.values():
        assert (one.token is not None) == (one.verdict == "yes")
        assert one.why


def test_a_file_is_the_same_for_a_seed(tmp_path: Path) -> None:
    first, again, other, longer = (
        write("addition", tmp_path / f"{number}.jsonl", count, seed).read_text().splitlines()
        for number, (count, seed) in enumerate([(50, 0), (50, 0), (50, 1), (60, 0)])
    )
    assert first == again != other
    assert longer[:50] == first, "a longer file begins as a shorter one"
    assert json.loads(first[0]) == {"prompt": "334+018", "answer": "0352"}
    with pytest.raises(LookaheadError, match=r"unknown data set 'stars'; known: path-star, "):
        write("stars", tmp_path / "none.jsonl", 5)
