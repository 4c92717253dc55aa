"""Random numbers by counting."""

import itertools
import math

import pytest
import torch

from lookahead.random import distinct, integers, mix, words

KEY = ("test", 1)


def chi_square_limit(freedom: int, z: float = 4.5) -> float:
    """The chi-square value that chance exceeds about 3 times in a million (Wilson and Hilferty's quantile)."""
    return freedom * (1 - 2 / (9 * freedom) + z * math.sqrt(2 / (9 * freedom))) ** 3


def chi_square(counts: torch.Tensor) -> float:
    expected = counts.sum().item() / counts.numel()
    return ((counts - expected) ** 2 / expected).sum().item()


def test_mix_stays_in_32_bits_and_is_a_bijection() -> None:
    """As far as can be seen: a million consecutive words and the last ones of the range stay apart."""
    counted = torch.cat([torch.arange(1_000_000), torch.arange(2**32 - 1_000_000, 2**32)])
    mixed = mix(counted.clone())
    assert mixed.min().item() >= 0
    assert mixed.max().item() < 2**32
    assert mixed.unique().numel() == counted.numel()


def test_mix_flips_half_of_the_bits() -> None:
    counted = torch.arange(20_000)
    before = mix(counted.clone())
    for bit in range(32):
        changed = before ^ mix(counted ^ (1 << bit))
        shares = torch.stack([(changed >> place & 1).double().mean() for place in range(32)])
        assert ((shares > 0.4) & (shares < 0.6)).all()


def test_words_depend_on_every_part_and_on_nothing_else() -> None:
    assert words("a", 1, count=2) == words("a", 1, count=3)[:2]
    assert len({tuple(words(*key, count=2)) for key in [("a", 1), ("a", 2), ("b", 1), ("a1",), ("a", "1")]}) == 5
    assert words("path_star", 0, count=2) == [2667414781, 1124773996]  # in any process, on any machine


def test_integers_are_pinned() -> None:
    """The streams behind all stored results; a change here orphans every one of them."""
    drawn = integers(KEY, torch.tensor([0, 1, 2**31 + 5]), [10, 1000, 2**31 - 1])
    assert drawn.tolist() == [[5, 0, 8], [962, 990, 579], [1962786286, 813726071, 109522640]]


def test_integers_do_not_depend_on_the_batch() -> None:
    indices = torch.tensor([5, 0, 2**31 + 5, 2**32 - 1, 17])
    together = integers(KEY, indices, [7, 50])
    for column, index in enumerate(indices):
        assert torch.equal(integers(KEY, index[None], [7, 50])[:, 0], together[:, column])
    assert torch.equal(integers(KEY, indices.flip(0), [7, 50]), together.flip(1))
    assert not torch.equal(integers(("test", 2), indices, [2**31 - 1]), integers(KEY, indices, [2**31 - 1]))


def test_integers_leave_their_indices_alone() -> None:
    indices = torch.arange(4)
    integers(KEY, indices, [3])
    assert indices.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("bound", [2, 3, 10, 97])
def test_integers_are_uniform_and_pairwise_independent(bound: int) -> None:
    first, second = integers(KEY, torch.arange(200_000), [bound, bound])
    assert first.unique().tolist() == list(range(bound))
    assert chi_square(first.bincount(minlength=bound)) < chi_square_limit(bound - 1)
    pairs = (first * bound + second).bincount(minlength=bound * bound)
    assert chi_square(pairs) < chi_square_limit(bound * bound - 1)
    neighbours = (first[:-1] * bound + first[1:]).bincount(minlength=bound * bound)  # overlapping: a looser limit
    assert chi_square(neighbours) < 2 * chi_square_limit(bound * bound - 1)


@pytest.mark.parametrize(("kind", "n", "k"), [(torch.int16, 5, 3), (torch.int32, 5, 5), (torch.int16, 4, 1)])
def test_distinct_gives_every_ordered_choice_once(kind: torch.dtype, n: int, k: int) -> None:
    """The codes and the ordered choices are as many, so each choice must come once."""
    codes = torch.tensor(list(itertools.product(*(range(n - i) for i in range(k))))).T.to(kind)
    chosen = [tuple(column) for column in distinct(codes.contiguous()).T.tolist()]
    assert sorted(chosen) == sorted(itertools.permutations(range(n), k))
