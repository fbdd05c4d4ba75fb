"""Numbers from several runs (seeds) -> how far a mean, or a difference of two, can be trusted."""

import math
from collections.abc import Sequence
from statistics import mean, variance
from typing import NamedTuple

FEWEST = 3  # runs of each kind: of fewer, an interval is so wide that nobody learns from it
_LEVEL = 0.95


class Interval(NamedTuple):
    """A value with an interval that is made so that, of a hundred made from other seeds, about 95 hold the true value."""

    value: float
    low: float
    high: float
    runs: int  # the fewer of the two kinds that were compared


def mean_interval(values: Sequence[float]) -> Interval | None:
    """The mean of a number over runs, with its 95 % interval by Student's t; None for fewer than three runs.

    No bootstrap: of three values it spans no more than those three, and misses the true mean once in four times.
    """
    if len(values) < FEWEST:
        return None
    return _interval(mean(values), variance(values) / len(values), len(values) - 1, len(values))


def difference(one: Sequence[float], other: Sequence[float]) -> Interval | None:
    """How much larger a number is in the mean over the runs of one kind than over those of another, with its 95 % interval.

    By Welch's t, which takes neither the spread nor the number of runs to be equal. None where either has fewer than three
    runs. Seeds of two kinds are not pairs.
    """
    if min(len(one), len(other)) < FEWEST:
        return None
    shares = [variance(values) / len(values) for values in (one, other)]  # of the difference's variance
    spread = sum(shares)
    weights = sum(share**2 / (len(values) - 1) for share, values in zip(shares, (one, other), strict=True))
    freedom = spread**2 / weights if weights else math.inf  # Welch and Satterthwaite's
    return _interval(mean(one) - mean(other), spread, freedom, min(len(one), len(other)))


def _interval(value: float, squared_error: float, freedom: float, runs: int) -> Interval:
    from scipy.stats import t  # a second to import

    reach = float(t.ppf((1 + _LEVEL) / 2, freedom)) * math.sqrt(squared_error)
    return Interval(value, value - reach, value + reach, runs)
