"""Intervals for shares."""

import math
from dataclasses import dataclass

Z95 = 1.959963984540054


@dataclass(frozen=True)
class Interval:
    """A share with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def __contains__(self, share: float) -> bool:
        return self.low <= share <= self.high


def proportion(share: float, n: int, z: float = Z95) -> Interval:
    """The interval of a share seen in n independent trials (Wilson, 1927).

    Args:
        share: successes / n.
        n: trials, at least 1.
        z: normal quantile; the default gives 95 %.

    Raises:
        ValueError: no trials, or a share outside [0, 1].
    """
    if n < 1 or not 0 <= share <= 1:
        raise ValueError(f"a share in [0, 1] of at least one trial, not {share} of {n}")
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = min(share, middle - reach), max(share, middle + reach)  # rounding must not shut out a share of 0 or 1
    return Interval(share, max(0.0, low), min(1.0, high))
