"""What many seeds say together."""

import math

import numpy as np
import pytest
import torch

from lookahead.errors import LookaheadError
from lookahead.evaluation.statistics import across_seeds, fisher, proportion, time_to_success, trials
from lookahead.tasks import PathStar


def test_the_interval_of_a_mean_over_seeds_holds_what_other_seeds_would_give() -> None:
    """In 19 of 20 sets of seeds, or nearly: the percentile interval is a little short for twenty."""
    chance = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        drawn = across_seeds(chance.beta(0.5, 0.5, size=20).tolist())  # two heaps, at 0 and at 1
        hits += drawn.low <= 0.5 <= drawn.high
    assert 175 <= hits <= 198


def test_seeds_that_agree_and_a_single_seed() -> None:
    same = across_seeds([0.5, 0.5, 0.5])
    assert (same.value, same.low, same.high) == (0.5, 0.5, 0.5)
    one = across_seeds([0.7])
    assert (one.value, one.low, one.high) == (0.7, -math.inf, math.inf)
    with pytest.raises(LookaheadError, match="the mean of no seeds"):
        across_seeds([])


def test_the_same_graph_again_is_no_new_trial() -> None:
    assert trials(4096, 3024) == pytest.approx(1740, abs=1)
    assert trials(4096, math.inf) == 4096
    assert trials(1, 100) == 1
    assert trials(10**9, 3024) == pytest.approx(3024, rel=1e-3)  # there are no more to learn from


def test_the_interval_of_a_network_that_knows_graphs_as_a_whole_holds_its_accuracy() -> None:
    """Networks that each get half of all graphs right, whatever the order of the edges: G(2, 3) with ten labels.

    To count every example as new would miss the half in one of five.
    """
    task = PathStar(2, 3, 10)
    prompts, answers = task.sample("test", torch.arange(4096))
    graphs = torch.cat([answers, task.decoys(prompts, answers)], dim=1).unique(dim=0, return_inverse=True)[1]
    knows = torch.rand(1000, 3024, generator=torch.Generator().manual_seed(0)) < 0.5
    shares = knows[:, graphs].double().mean(dim=1).tolist()
    assert 930 <= sum(0.5 in proportion(share, trials(4096, task.test_size)) for share in shares) <= 970
    assert sum(0.5 in proportion(share, 4096) for share in shares) < 850


def test_with_no_run_cut_short_the_median_time_is_the_median() -> None:
    found = time_to_success([100, 200, 300, 400, 500], [500] * 5)
    assert found.steps == [100, 200, 300, 400, 500]
    assert found.share == pytest.approx([0.8, 0.6, 0.4, 0.2, 0])
    assert found.median == 300
    assert found.low is not None
    assert found.low <= 300


def test_a_run_that_never_got_there_is_not_dropped() -> None:
    """Of ten seeds four succeed: the median of those four would say 250; half never got there."""
    found = time_to_success([100, 200, 300, 400, *[None] * 6], [600] * 10)
    assert found.median is None
    assert (str(found), found.half) == ("never", "")
    assert min(found.share) == pytest.approx(0.6)


def test_a_run_that_was_watched_for_less_counts_for_as_long() -> None:
    """Kaplan and Meier's product: 3/4, then 3/4 * 1/2, with the one that was given up at 150 between."""
    found = time_to_success([100, None, 200, None], [600, 150, 600, 600])
    at = dict(zip(found.steps, found.share, strict=True))
    assert at[100] == pytest.approx(3 / 4)
    assert at[200] == pytest.approx(3 / 8)
    assert found.median == 200


def test_the_interval_of_a_median_in_words() -> None:
    together = time_to_success([220, 220, 220], [600] * 3)
    assert (str(together), together.reach) == ("220", "220 to beyond")
    assert together.half == ", half by training step 220"
    many = time_to_success(list(range(100, 300, 10)), [600] * 20)
    assert many.low is not None
    assert many.high is not None
    assert 100 <= many.low <= many.median <= many.high < 300  # type: ignore[operator]
    assert time_to_success([None] * 9, [600] * 9).reach == ""


@pytest.mark.parametrize(
    ("times", "watched", "message"),
    [
        ([], [], "of at least one run"),
        ([1], [2, 3], "1 times of 2 runs"),
        ([7], [6], "a success at step 7 of 6"),
    ],
)
def test_times_that_cannot_be_are_refused(times: list[int | None], watched: list[int], message: str) -> None:
    with pytest.raises(LookaheadError, match=message):
        time_to_success(times, watched)


def test_an_exact_test_counts_tables() -> None:
    """The tea of Fisher's lady: of the 70 ways to choose four of eight cups, 34 are as far from chance as 3 of 4."""
    assert fisher(3, 4, 1, 4) == pytest.approx(34 / 70)
    assert fisher(6, 20, 0, 20) == pytest.approx(fisher(0, 20, 6, 20))
    assert fisher(7, 10, 0, 20) < 0.001
    for counts in ((1, 0, 0, 5), (6, 5, 0, 5), (0, 5, -1, 5)):
        with pytest.raises(LookaheadError, match="successes are at most the runs"):
            fisher(*counts)
