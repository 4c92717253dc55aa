"""Kinds and ranges: what fits an annotation, what it becomes, and what is said of the rest."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import pytest
import torch

from lookahead.contracts import Model, Objective, Task
from lookahead.errors import LONGEST, LookaheadError
from lookahead.kinds import Count, Range, Seed, annotations_of, fit
from lookahead.training import Settings
from registered import of_the_library

Share = Annotated[float, Range(above=0, most=1)]


@pytest.mark.parametrize(
    ("given", "kind", "found"),
    [
        (3, int, 3),
        (3.0, int, 3),
        (np.int64(3), Count, 3),
        (np.array(3), int, 3),
        (torch.tensor(3), int, 3),
        (2**53, Seed, 2**53),
        (1, float, 1),
        (np.float32(0.5), float, 0.5),
        (np.float64(0.5), Share, 0.5),
        (True, bool, True),
        (np.bool_(False), bool, False),
        ("a", str, "a"),
        (np.str_("a"), Literal["a", "b"], "a"),
        (None, Count | None, None),
        (2.0, Count | None, 2),
        ([1], Any, [1]),
        ([1], list[int], [1]),
        ((np.int64(1), 2.0), Sequence[int], [1, 2]),
        ({"a": 1}, dict[str, int], {"a": 1}),
    ],
)
def test_a_value_becomes_what_the_annotation_says(given: Any, kind: Any, found: Any) -> None:
    value = fit("x", given, kind)
    assert (type(value), value) == (type(found), found)


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        (True, int, "a whole number, not True"),
        (np.bool_(True), int, "a whole number, not "),
        (2.5, int, "a whole number, not 2.5"),
        (float("inf"), int, "a whole number, not inf"),
        ("3", int, "a whole number, not '3'"),
        (np.array([3]), int, r"a whole number, not array\(\[3\]\)"),
        (2**53 + 1, int, "at most 9007199254740992, not 9007199254740993"),
        (0, Count, "at least 1, not 0"),
        (0, Count | None, "at least 1, not 0"),
        ("all", Count | None, "a whole number or None, not 'all'"),
        (True, float, "a number, not True"),
        (float("nan"), float, "a number, not nan"),
        (10**400, float, "a number, not 1000"),
        (1j, float, "a number, not 1j"),
        (1.5, Share, "above 0 and at most 1, not 1.5"),
        (1, bool, "true or false, not 1"),
        ("12", Sequence[int], "a list, not '12'"),
        (b"a", str, "text, not b'a'"),
        ("c", Literal["a", "b"], "one of a, b, not 'c'"),
        ([], Literal["a", "b"], r"one of a, b, not \[\]"),
    ],
)
def test_what_does_not_fit_is_refused(given: Any, kind: Any, said: str) -> None:
    with pytest.raises(LookaheadError, match=f"x must be {said}"):
        fit("x", given, kind)


def test_every_option_of_the_library_says_its_kind() -> None:
    """What is not annotated is not judged, and fails raw and late."""
    for base in (Task, Model, Objective):
        for kind in of_the_library(base).values():
            assert set(kind.options()) <= set(kind.kinds()), kind
    assert set(Settings.__dataclass_fields__) <= set(annotations_of(Settings))


def test_an_item_that_does_not_fit_is_named_by_its_place() -> None:
    with pytest.raises(LookaheadError, match=r"x\[1\] must be a whole number, not True"):
        fit("x", [1, True], Sequence[int])


def test_annotations_that_mean_nothing_judge_nothing() -> None:
    class Odd:
        def __init__(self, x: "Nowhere") -> None:  # noqa: F821
            pass

    assert annotations_of(Odd) == {}


def test_a_long_message_is_cut_in_its_middle() -> None:
    said = str(LookaheadError("a.txt, line 2: " + "x" * 10**7 + " is too long"))
    assert said.startswith("a.txt, line 2: xxx")
    assert said.endswith("xxx is too long")
    assert len(said) < LONGEST + 10
    with pytest.raises(LookaheadError, match=r"x must be a number, not 'x{20,40}\.\.\.x{20,40}'"):
        fit("x", "x" * 10**6, float)
    with pytest.raises(LookaheadError, match="x must be a number, not int that cannot be shown"):
        fit("x", 10**5000, float)  # Python writes no such number
