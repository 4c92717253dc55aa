"""Shares, means and times of many runs, each with its interval."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lookahead.errors import LookaheadError

Z95 = 1.959963984540054

RESAMPLES = 10_000


@dataclass(frozen=True)
class Interval:
    """A share with its 95% interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def __contains__(self, share: float) -> bool:
        return self.low <= share <= self.high


def trials(examples: int, different: float) -> float:
    """How many independent trials so many test examples are worth, drawn from only so many different ones.

    A trained network is right or wrong about a graph nearly whatever the order of its edges: the intraclass
    correlation on G(2, 3) is 0.7 to 0.9. So the same graph again is no new trial, and the graphs of the test split are
    themselves a draw from all that the network might be asked. Both chances together are the design effect of clusters
    that are right or wrong as a whole (Kish, 1965), 1 + (examples - 1) / different.

        trials(4096, 3024) = 1740        G(2, 3) with 10 labels
        trials(4096, 60_480) = 3836      G(2, 4)

    Args:
        examples: at least 1.
        different: see `Task.test_size`.
    """
    return examples / (1 + (examples - 1) / different)


def proportion(share: float, n: float, z: float = Z95) -> Interval:
    """The interval of a share seen in n independent trials (Wilson, 1927).

    Args:
        share: successes / n.
        n: trials, at least 1; of a network on test examples `trials` says how many they are worth.
        z: normal quantile; the default gives 95%.

    Raises:
        LookaheadError: no trials, or a share outside [0, 1].
    """
    if n < 1 or not 0 <= share <= 1:
        raise LookaheadError(f"a share in [0, 1] of at least one trial, not {share} of {n}")
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = min(share, middle - reach), max(share, middle + reach)  # rounding must not shut out a share of 0 or 1
    return Interval(share, max(0.0, low), min(1.0, high))


def fisher(successes: int, n: int, others: int, m: int) -> float:
    """The p of Fisher's exact test (1922), two-sided: how likely counts as far apart are if both have one share.

    Args:
        successes: of n runs.
        others: successes of m other runs.

    Raises:
        LookaheadError: no runs, or more successes than runs.
    """
    if not (0 <= successes <= n and 0 <= others <= m and n and m):
        raise LookaheadError(
            f"successes are at most the runs, of which there is one at least: {successes}/{n}, {others}/{m}"
        )
    from scipy import stats  # a second to import: not for who only lists experiments

    _, p = stats.fisher_exact([[successes, n - successes], [others, m - others]])
    return float(p)  # type: ignore[arg-type]


def across_seeds(values: Sequence[float]) -> Interval:
    """The mean of a measure over seeds, with its 95% bootstrap interval (percentiles; Efron, 1979).

    The seeds are what is drawn: the interval says where another set of as many seeds would lie, as far as these
    tell. It is as narrow as a point where all are the same, and where there is but one seed it is not known.

    Args:
        values: one number a seed.

    Raises:
        LookaheadError: none.
    """
    if not len(values):
        raise LookaheadError("the mean of no seeds")
    mean = float(np.mean(values))
    if len(values) == 1:
        return Interval(mean, -math.inf, math.inf)
    if min(values) == max(values):
        return Interval(mean, mean, mean)
    from scipy import stats

    drawn = stats.bootstrap((np.asarray(values),), np.mean, n_resamples=RESAMPLES, method="percentile", rng=0)
    return Interval(mean, float(drawn.confidence_interval.low), float(drawn.confidence_interval.high))


@dataclass(frozen=True)
class TimeToSuccess:
    """When runs succeeded, and how long those that did not were watched: a Kaplan-Meier curve."""

    steps: list[float]
    """The steps at which the curve falls, in rising order."""
    share: list[float]
    """The share of runs that have not succeeded by then."""
    median: float | None
    """The first step by which half have; None if fewer than half ever did."""
    low: float | None
    """Where the median's 95% interval begins; None if beyond what was watched."""
    high: float | None
    """Where the median's 95% interval ends; None likewise."""

    def __str__(self) -> str:
        return "never" if self.median is None else f"{self.median:.0f}"

    @property
    def half(self) -> str:
        """The end of a line that tells how many runs succeeded: ", half by training step 180"; empty if fewer did."""
        return "" if self.median is None else f", half by training step {self.median:.0f}"

    @property
    def reach(self) -> str:
        """The median's interval in words."""
        if self.low is None:
            return ""
        return f"{self.low:.0f} to {'beyond' if self.high is None else f'{self.high:.0f}'}"


def time_to_success(times: Sequence[int | None], watched: Sequence[int]) -> TimeToSuccess:
    """The Kaplan-Meier estimate (1958) with Greenwood's interval on the log-log scale.

    A run that never got there is not dropped: it counts as one that had not by the last step it was watched at.

    Args:
        times: the step of success of each run, None if it had none.
        watched: how many steps each run did.

    Raises:
        LookaheadError: no runs, or a success after the last step.
    """
    if not len(times) or len(times) != len(watched):
        raise LookaheadError(f"{len(times)} times of {len(watched)} runs: one each, of at least one run")
    if late := [(t, w) for t, w in zip(times, watched, strict=True) if t is not None and t > w]:
        raise LookaheadError(f"a success at step {late[0][0]} of {late[0][1]}")
    reached = [t for t in times if t is not None]
    never = [w for t, w in zip(times, watched, strict=True) if t is None]
    from scipy import stats

    curve = stats.ecdf(stats.CensoredData(uncensored=reached, right=never)).sf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # where all or none are left, the scale has no interval
        bounds = curve.confidence_interval(method="log-log")

    def first(shares: np.ndarray) -> float | None:
        below = np.flatnonzero(shares <= 0.5)
        return float(curve.quantiles[below[0]]) if len(below) else None

    steps, share = curve.quantiles.tolist(), curve.probabilities.tolist()
    return TimeToSuccess(
        steps,
        share,
        first(curve.probabilities),
        first(np.where(curve.probabilities == 0, 0, bounds.low.probabilities)),
        first(bounds.high.probabilities),
    )
