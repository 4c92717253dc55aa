"""Reports of the benchmarks: which row answers, and parts that make up a whole."""

import pytest

from lookahead.chapter.benchmarks import EVALUATE_EVERY, Benchmark, report
from lookahead.errors import LookaheadError


@pytest.fixture(scope="module")
def speed() -> Benchmark:
    return Benchmark(report("speed"))


def test_a_ratio_is_the_other_time_over_ours(speed: Benchmark) -> None:
    case = ("generation", "tiny", 8)
    (ours,) = speed.where(work="generation", who="lookahead", size="tiny", batch=8)
    assert speed.ratio("lookahead", *case) == 1
    assert speed.ratio("GPT-2 in transformers", *case) * ours["median_ms"] == pytest.approx(
        speed.median("generation", "GPT-2 in transformers", "tiny", 8)
    )


def test_what_was_not_measured_is_refused(speed: Benchmark) -> None:
    with pytest.raises(LookaheadError, match=r"nothing measured with .*flying.*; there is training step, "):
        speed.median("flying")
    with pytest.raises(LookaheadError, match="'batch': 7"):
        speed.median("generation", batch=7)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_parts_are_the_whole_step_and_its_share_of_an_evaluation(speed: Benchmark, optimizer: str) -> None:
    whole, evaluation = (speed.median("parts of a training", optimizer, part) for part in ("whole step", "evaluation"))
    assert sum(speed.parts(optimizer).values()) == pytest.approx(whole + evaluation / EVALUATE_EVERY)
