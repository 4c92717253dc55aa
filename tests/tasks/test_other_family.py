"""Sums, products, siblings, sudoku, countdown: what an example is, what is held out, what the decoys are."""

import itertools
import re
from typing import Any

import pytest
import torch

from lookahead.contracts import SPLITS
from lookahead.errors import LookaheadError
from lookahead.tasks import Addition, Countdown, Drills, Multiplication, Siblings, Sudoku

SUMS = [Addition(2), Addition(5, first="least"), Addition(16), Addition(3, seed=2)]
PRODUCTS = [Multiplication(2, 2), Multiplication(4, 2, first="least"), Multiplication(3, 3), Multiplication(2, 4)]


def whole(task: Any, split: Any, count: int) -> list[str]:
    return task.text(torch.cat(task.sample(split, torch.arange(count)), dim=1))


@pytest.mark.parametrize("task", [*SUMS, *PRODUCTS], ids=lambda task: f"{task.title} {task.seed}")
@pytest.mark.parametrize("split", SPLITS)
def test_every_line_is_a_true_equation(task: Addition | Multiplication, split: str) -> None:
    for line in whole(task, split, 100):
        asked, said = line.split("=")
        first, second = asked.split(task.sign)
        assert (len(first), len(second), len(said)) == (task.digits, task.second, task.answer_length)
        result = int(first) + int(second) if task.sign == "+" else int(first) * int(second)
        assert int(said if task.first == "most" else said[::-1]) == result


@pytest.mark.parametrize("task", [Addition(2), Multiplication(2, 2), Multiplication(2, 3)], ids=lambda task: task.title)
def test_no_pair_of_numbers_is_in_two_splits_in_whichever_order(task: Any) -> None:
    pairs = []
    for split in SPLITS:
        asked = [line.split("=")[0].split(task.sign) for line in whole(task, split, 5000)]
        pairs.append({frozenset(map(int, two)) for two in asked})
    assert not pairs[0] & pairs[1]
    assert not pairs[0] & pairs[2]
    assert not pairs[1] & pairs[2]


@pytest.mark.parametrize("task", [Addition(2), Addition(4, first="least"), Multiplication(2, 3)], ids=lambda t: t.title)
def test_the_class_of_an_example_says_its_split(task: Any) -> None:
    total = 10**task.pivots
    for split, (low, high) in {"test": (0, 0.1), "validation": (0.1, 0.2), "train": (0.2, 1)}.items():
        found = task.class_of(task.sample(split, torch.arange(500))[0])  # type: ignore[arg-type]
        assert found.min() >= low * total
        assert found.max() < high * total


@pytest.mark.parametrize("task", [Addition(2), Multiplication(2, 2)], ids=lambda task: task.title)
def test_every_digit_of_both_numbers_is_as_frequent(task: Any) -> None:
    """Five standard deviations of a share; a test split of 100 numbers with ten partners each has some of its own."""
    for split, more in (("train", 0.01), ("test", 0.02)):
        prompts, _ = task.sample(split, torch.arange(20_000))
        for part in task.numbers(prompts):
            for column in part.T:
                shares = column.bincount(minlength=10) / 20_000
                assert (shares - 0.1).abs().max() < 5 * (0.09 / 20_000) ** 0.5 + more


def test_the_cheats_accuracy_of_sums_by_counting_all_of_them() -> None:
    task = Addition(2)
    every = torch.tensor(list(itertools.product(range(10), repeat=4)))
    from lookahead.tasks.digits import digits_of, look_right, number

    a, b = every[:, :2], every[:, 2:]
    right = number(look_right(task.columns(a, b))) == number(a) + number(b)
    assert right.float().mean().item() == pytest.approx(task.chance_accuracy)
    assert torch.equal(digits_of(number(a), 2), a)


def test_the_decision_of_a_sum_is_before_its_longest_chain_of_nines() -> None:
    task = Addition(6)
    examples = {  # the decision, and the sum with the other carry
        "123456+876544=": (0, "1000000", "0999990"),  # 9 9 9 9 9, then 10: the carry comes from the last column
        "123456+876513=": (0, "0999969", "1000069"),
        "111111+111111=": (0, "0222222", "1222222"),  # nothing sums to 9: the first digit is as good as any
        "145112+154111=": (1, "0299223", "0300223"),
        "000009+000009=": (0, "0000018", "1000018"),
        "141119+158111=": (1, "0299230", "0300230"),
    }
    words = {word: token for token, word in enumerate("0123456789+=")}
    prompts = torch.tensor([[words[letter] for letter in line] for line in examples])
    answers = torch.tensor([[words[digit] for digit in said] for _, said, _ in examples.values()])
    task.check_examples(prompts, answers)
    assert task.decisions(prompts, answers).tolist() == [at for at, _, _ in examples.values()]
    assert task.text(task.decoys(prompts, answers)) == [wrong for _, _, wrong in examples.values()]


@pytest.mark.parametrize(
    "task", [Addition(3, first="least"), Multiplication(2, 2, first="least")], ids=lambda t: t.title
)
def test_from_the_least_significant_digit_on_there_is_no_decision(task: Any) -> None:
    assert not task.decision_known
    prompts, answers = task.sample("test", torch.arange(5))
    assert task.decoys(prompts, answers) is None
    for ask in (lambda: task.decision, lambda: task.decisions(prompts, answers)):
        with pytest.raises(LookaheadError, match="no digit needs those to come"):
            ask()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Addition(1), "digits must be at least 2"),
        (lambda: Addition(17), "digits must be at least 2 and at most 16"),
        (lambda: Addition(3, first="middle"), "first must be one of most, least"),  # type: ignore[arg-type]
        (lambda: Multiplication(4, 3), "together at most 6, not 4 and 3"),
        (lambda: Multiplication(1, 3), "digits must be at least 2"),
        (lambda: Multiplication(3, 1), "second must be at least 2"),
        (lambda: Siblings(1, 21), "parents must be at least 2"),
        (lambda: Siblings(3, 9), "children must be at least 11"),
        (lambda: Siblings(3, 12), "children must be an odd number, not 12: take 13"),
        (lambda: Countdown(2), "numbers must be at least 3 and at most 4, not 2"),
        (lambda: Countdown(3, 9), "largest must be at least 10"),
        (lambda: Countdown(3, 13), "has only 35 different examples to test on"),
        (lambda: Sudoku(11), "blanks must be at least 6 and at most 10"),
        (lambda: Sudoku(5), "blanks must be at least 6"),
    ],
)
def test_what_cannot_be_is_refused(make: Any, message: str) -> None:
    with pytest.raises(LookaheadError, match=message):
        make()


def test_drills_are_of_four_kinds_and_no_pairs_are_in_two_splits() -> None:
    """The examples of its docstring, and each kind a quarter."""
    task = Drills(2, 3, 10)
    lines = [line.strip() for line in Drills.__doc__.splitlines() if "=" in line and "|" in line]  # type: ignore[union-attr]
    told = [line.split()[0] for line in lines]
    assert [line.split("/")[1][0] for line in told] == ["0", "1", "2", "3"]
    words = {word: token for token, word in enumerate([*map(str, range(10)), "|", "/", "="])}
    rows = [[words[token] for token in re.findall(r"\d|[|/=]", line)] for line in told]
    prompts, answers = torch.tensor(rows).split([task.prompt_length, task.answer_length], dim=1)
    task.check_examples(prompts, answers)

    asked = [line.split("/") for line in whole(task, "train", 4000)]
    for kind in "0123":
        share = sum(question[0] == kind for _, question in asked) / 4000
        assert abs(share - 0.25) < 5 * (0.25 * 0.75 / 4000) ** 0.5
    small = Drills(2, 3, 7)
    pairs = [{line.split("/")[0] for line in whole(small, split, 20_000)} for split in SPLITS]
    assert not pairs[0] & pairs[1]
    assert not pairs[0] & pairs[2]
    assert not pairs[1] & pairs[2]


# -- siblings --------------------------------------------------------------------------------------------------


def families(task: Siblings, split: Any, count: int) -> list[tuple[frozenset[str], str]]:
    """Pairs of siblings with their parent, as text."""
    found = []
    for line in whole(task, split, count):
        one, other, parent = line.split("=")[1].split(",")
        found.append((frozenset((one, other)), parent))
    return found


def test_pairs_of_siblings_are_held_out_and_every_child_is_seen() -> None:
    task = Siblings(3, 11)
    drawn = {split: set(families(task, split, 4000)) for split in SPLITS}
    assert all(len(pair) == 2 for pairs in drawn.values() for pair, _ in pairs)
    assert [len(drawn[split]) for split in SPLITS] == [3 * 9 * 5, 3 * 5, 3 * 5]
    assert len(set.union(*drawn.values())) == 3 * 11 * 10 / 2, "all pairs, each in one split"
    parent_of = {child: parent for pair, parent in drawn["train"] for child in pair}
    assert len(parent_of) == 33
    assert all({parent_of[child] for child in pair} == {parent} for pairs in drawn.values() for pair, parent in pairs)


def test_creativity_counts_what_is_right_new_and_no_repetition() -> None:
    task = Siblings(3, 11)
    _, seen = task.sample("train", torch.arange(500))
    _, held = task.sample("test", torch.arange(2000))
    assert not task.new(seen).any()
    assert task.new(held).all()
    assert task.creativity(seen) == 0
    assert task.creativity(held) == 15 / 2000
    turned = held[:, [1, 0, 2]]
    assert task.creativity(torch.cat([held, turned])) == 15 / 4000
    strangers = held.clone()
    strangers[:, 2] = (strangers[:, 2] + 1) % 3
    assert task.creativity(strangers) == 0
    assert not task.correct(held, held, held[:, [0, 0, 2]]).any(), "nobody is the own sibling"


# -- sudoku ----------------------------------------------------------------------------------------------------


def solutions(cells: list[int]) -> list[list[int]]:
    """All ways to fill a grid, by brute force."""
    if 4 not in cells:
        return [cells]
    hole, found = cells.index(4), []
    for digit in range(4):
        row, column = divmod(hole, 4)
        clash = [
            other
            for other in range(16)
            if cells[other] == digit
            and (other // 4 == row or other % 4 == column or (other // 8, other % 4 // 2) == (hole // 8, column // 2))
        ]
        if not clash:
            found += solutions([*cells[:hole], digit, *cells[hole + 1 :]])
    return found


@pytest.mark.parametrize("blanks", [6, 8, 10])
def test_every_grid_has_one_solution_and_leaves_the_cheat_a_choice(blanks: int) -> None:
    task = Sudoku(blanks)
    for split in SPLITS:
        prompts, answers = task.sample(split, torch.arange(40))  # type: ignore[arg-type]
        filled = task.filled(prompts, answers)
        for prompt, grid in zip(prompts[:, :16].tolist(), filled.tolist(), strict=True):
            assert prompt.count(4) == blanks
            assert solutions(prompt) == [grid]
        allowed = task.allowed(prompts, answers)
        assert allowed.gather(2, answers[:, :, None]).all()
        assert (allowed.sum(dim=2).gather(1, task.decisions(prompts, answers)[:, None]) > 1).all()


def test_all_grids_are_found() -> None:
    from lookahead.tasks.sudoku import _every_grid

    assert len(_every_grid()) == 288
    assert len(solutions([4] * 16)) == 288


def test_a_grid_with_other_names_of_digits_is_in_the_same_split() -> None:
    task = Sudoku(8)

    def canonical(prompt: list[int]) -> tuple[int, ...]:
        names: dict[int, int] = {4: -1}
        return tuple(names.setdefault(cell, len(names)) for cell in prompt)

    drawn = []
    for split in SPLITS:
        prompts, answers = task.sample(split, torch.arange(5000))  # type: ignore[arg-type]
        filled = task.filled(prompts, answers)
        holes = prompts[:, :16] == 4
        drawn.append({(canonical(row), *hole) for row, hole in zip(filled.tolist(), holes.tolist(), strict=True)})
    assert not drawn[0] & drawn[1]
    assert not drawn[0] & drawn[2]
    assert not drawn[1] & drawn[2]


# -- countdown -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", [Countdown(3, 30), Countdown(4, 25), Countdown(3, 100)], ids=lambda task: task.title)
@pytest.mark.parametrize("split", SPLITS)
def test_the_steps_lead_from_the_numbers_to_the_target(task: Countdown, split: Any) -> None:
    prompts, answers = task.sample(split, torch.arange(100))
    for prompt, answer in zip(prompts.tolist(), answers.tolist(), strict=True):
        pool, target = [one + 1 for one in prompt[: task.numbers]], prompt[-2] + 1
        for first in range(0, len(answer), 4):
            a, kind, b, result = answer[first : first + 4]
            a, b, result = a + 1, b + 1, result + 1
            pool.remove(a)
            pool.remove(b)
            assert a >= b
            assert 1 <= result <= task.largest
            assert result == [a + b, a - b, a * b, a / b][kind - task.largest]
            pool.append(result)
        assert pool == [target]


def test_no_set_of_numbers_is_in_two_splits() -> None:
    task = Countdown(3, 20)
    sets = []
    for split in SPLITS:
        prompts, _ = task.sample(split, torch.arange(8000))  # type: ignore[arg-type]
        sets.append({tuple(sorted(row)) for row in prompts[:, :3].tolist()})
    assert not sets[0] & sets[1]
    assert not sets[0] & sets[2]
    assert not sets[1] & sets[2]
    assert len(set.union(*sets)) > 0.99 * 1540, "all sets of three numbers up to 20"
    assert 0.7 * task.test_size < len(sets[2]) < 1.4 * task.test_size


def test_every_other_way_to_the_target_is_right_and_a_wrong_step_is_not() -> None:
    task = Countdown(3, 30)
    words = {word: token for token, word in enumerate([*map(str, range(1, 31)), "+", "-", "*", "/", ">", "="])}

    def tokens(*parts: object) -> list[int]:
        return [words[str(part)] for part in parts]

    asked = tokens(7, 3, 12, ">", 11, "=")
    given = {
        (12, "/", 3, 4, 7, "+", 4, 11): True,
        (7, "-", 3, 4, 12, "-", 4, 8): False,  # not the target
        (12, "/", 3, 4, 12, "-", 1, 11): False,  # 1 is not there, nor 12 any more
        (12, "-", 3, 9, 9, "+", 7, 16): False,
        (3, "/", 12, 4, 7, "+", 4, 11): False,  # the smaller one first
        (12, "/", 3, 4, 7, "+", 4, 12): False,  # miscalculated
        (12, "/", 7, 1, 3, "+", 1, 4): False,  # no whole number
        (12, 12, 3, 4, 7, "+", 4, 11): False,  # no operation
    }
    prompts = torch.tensor([asked] * len(given))
    said = torch.tensor([tokens(*one) for one in given])
    assert task.correct(prompts, said, said).tolist() == list(given.values())
    assert task.text(torch.cat([prompts, said], dim=1))[0] == "7,3,12>11=12/3,4,7+4,11"
