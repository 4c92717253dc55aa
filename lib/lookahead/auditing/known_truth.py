"""Data sets of which it is known whether next-token training on them hides the planning: to judge the cheat-meter by.

What an audit should say of each stands beside it, with the reason, written down before any of them was audited. Two of
the reasons are not obvious.

*Addition from left to right.* A digit of the sum needs the carry from the digits on its right, which are still to come.
That is a look ahead, but a short one: the next pair of digits tells the carry, unless it adds up to nine, which one
pair in ten does. Then the pair after it tells, and so on. So every token asks for the same skill, and is taught it; no
token is trivial because of the tokens before it. There is one exception: after a digit that was made from a nine, the
teacher's token betrays the carry. So long carries may be learnt late. But they are rare (with three digits at most one
sum in a hundred hangs on two pairs), and they begin at another place in every example, while an audit asks for a place
that all answers share. It should say *no*, whatever the number of digits.

*A coin.* The first letter says whether the word after it is copied or written backwards, and nothing in the prompt
tells which. It looks like a decision: hard with the teacher, and what follows is trivial. But no order of reading can
learn it, so that nothing is lost by the teacher. *Yes* would be a false alarm; *cannot tell* is what an audit can know.

With fewer examples, expected beforehand: from 1,000 path-stars no order learns the choice (*cannot tell*), from 3,000
perhaps, from 10,000 one does; what is *no* with many may be *cannot tell* with few, and never *yes*.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random

from lookahead.auditing.findings import Answer
from lookahead.errors import LookaheadError
from lookahead.files import write_text

LETTERS = "abcdefghijklmnopqrst"
NAMES = ("Mia", "Tom", "Eva", "Leo", "Ann", "Zoe", "Ben", "Ida", "Max", "Lea", "Jan", "Sue", "Kai", "Una")
ASIDES = ("It rained all day .", "Nobody else was there .", "The shop was closed .", "The dog slept .")
DIGITS = 3


@dataclass(frozen=True)
class DataSet:
    """Examples that can be drawn, and what an audit of them should say."""

    title: str
    draw: Callable[[Random], tuple[str, str]]
    """One example: prompt and answer."""
    verdict: Answer
    why: str
    token: int | None = None
    """Where planning supervision is lost: the index of an answer token."""
    tokenizer: str = "characters"


def star(drawn: Random, arms: int = 2, length: int = 4) -> tuple[list[str], list[str]]:
    """The edges of a path-star graph, shuffled, and the path from its start to one of its ends; labels are digits."""
    start, *others = drawn.sample("0123456789", 1 + arms * (length - 1))
    paths = [[start, *others[arm::arms]] for arm in range(arms)]
    edges = [a + b for path in paths for a, b in pairwise(path)]
    drawn.shuffle(edges)
    return edges, paths[0]


def path_star(drawn: Random) -> tuple[str, str]:
    """67,29,...?61 and 6731: two arms of four nodes, start and goal, and the path between them."""
    edges, path = star(drawn)
    return f"{','.join(edges)}?{path[0]}{path[-1]}", "".join(path)


def reversed_path_star(drawn: Random) -> tuple[str, str]:
    """The same graphs, the path from the goal to the start."""
    prompt, answer = path_star(drawn)
    return prompt, answer[::-1]


def copied(drawn: Random) -> tuple[str, str]:
    """Six to ten letters, said again."""
    word = "".join(drawn.choices(LETTERS, k=drawn.randint(6, 10)))
    return word, word


def addition(drawn: Random) -> tuple[str, str]:
    """123+987 and 1110: the digit that counts most comes first."""
    a, b = (drawn.randrange(10**DIGITS) for _ in "ab")
    return f"{a:0{DIGITS}}+{b:0{DIGITS}}", f"{a + b:0{DIGITS + 1}}"


def reversed_addition(drawn: Random) -> tuple[str, str]:
    """123+987 and 0111: the digit that counts least comes first."""
    prompt, answer = addition(drawn)
    return prompt, answer[::-1]


def sorting(drawn: Random) -> tuple[str, str]:
    """Six different letters, in the order of the alphabet."""
    letters = drawn.sample(LETTERS, 6)
    return "".join(letters), "".join(sorted(letters))


def tree(drawn: Random) -> tuple[str, str]:
    """A root with two branches of three nodes and four twigs at random nodes of them; the goal ends a branch."""
    root, *others = drawn.sample(LETTERS, 11)
    first, second, twigs = others[:3], others[3:6], others[6:]
    edges = [a + b for branch in (first, second) for a, b in pairwise([root, *branch])]
    edges += [drawn.choice([*first[:2], *second[:2]]) + twig for twig in twigs]
    drawn.shuffle(edges)
    return f"{','.join(edges)}?{root}{first[-1]}", "".join([root, *first])


def story(drawn: Random) -> tuple[str, str]:
    """News that goes two ways from one person; how did it reach the one who knows it in the end?"""
    source, *others = drawn.sample(NAMES, 7)
    ways = [[source, *others[:3]], [source, *others[3:]]]
    told = [f"{a} told {b} ." for way in ways for a, b in pairwise(way)]
    told.append(drawn.choice(ASIDES))
    drawn.shuffle(told)
    a, b, c, d = ways[0]
    return f"{' '.join(told)} In the end {d} knew it from {a} .", f"{a} told {b} , who told {c} , who told {d} ."


def coin(drawn: Random) -> tuple[str, str]:
    """Six letters, and after a coin toss the same letters, forwards or backwards."""
    word = "".join(drawn.choices(LETTERS, k=6))
    return word, drawn.choice([f"+{word}", f"-{word[::-1]}"])


DATA_SETS = {
    "path-star": DataSet(
        "path-star graphs", path_star, "yes",
        "which arm leads to the goal takes two look-ups back from it, and the rest follows the arm", token=1,
    ),
    "reversed-path-star": DataSet(
        "path-star, from the goal", reversed_path_star, "no", "each token is one look-up from the one before it"
    ),
    "copied": DataSet("copied letters", copied, "no", "each token stands in the prompt"),
    "addition": DataSet(
        "addition, left to right", addition, "no", "each token needs a carry, and no token makes the others trivial"
    ),
    "reversed-addition": DataSet(
        "addition, right to left", reversed_addition, "no", "each token needs a carry that is there already"
    ),
    "sorting": DataSet("sorted letters", sorting, "no", "each token is the least of those that are left"),
    "tree": DataSet(
        "a tree, the goal at a leaf", tree, "yes",
        "which branch leads to the goal takes two look-ups back from it, and the rest one look-up each", token=1,
    ),
    "story": DataSet(
        "stories with a planted end", story, "yes",
        "whom the source told takes two look-ups back from the end, and the rest follows", token=2, tokenizer="words",
    ),
    "coin": DataSet(
        "a coin, then copied letters", coin, "cannot tell", "nothing in the prompt tells the coin, in whatever order"
    ),
}  # fmt: skip
"""By name."""


def write(name: str, path: str | Path, count: int, seed: int = 0) -> Path:
    """Writes a data set as JSON Lines, with the fields `prompt` and `answer`: the same for a seed on every machine.

    Raises:
        LookaheadError: no such data set, or the file cannot be written.
    """
    if name not in DATA_SETS:
        raise LookaheadError(f"unknown data set {name!r}; known: {', '.join(DATA_SETS)}")
    drawn = random.Random(f"{name} {seed}")
    pairs = (DATA_SETS[name].draw(drawn) for _ in range(count))
    write_text(path, "".join(f"{json.dumps({'prompt': prompt, 'answer': answer})}\n" for prompt, answer in pairs))
    return Path(path)
