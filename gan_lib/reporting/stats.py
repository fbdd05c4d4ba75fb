"""Numbers from several runs (seeds) -> how far a mean, or a difference of two, can be trusted."""

import math
import warnings
from collections.abc import Sequence
from statistics import mean
from typing import Any, NamedTuple

from gan_lib.text import counted, show

FEWEST = 3  # runs of each kind: of fewer, an interval is so wide that nobody learns from it


class Interval(NamedTuple):
    """A value with an interval that is made so that, of a hundred made from other seeds, about 95 hold the true value."""

    value: float
    low: float
    high: float
    runs: int  # the fewer of the two kinds that were compared


def mean_interval(values: Sequence[float]) -> Interval | None:
    """The mean of a number over runs, with its 95 % interval by Student's t.

    None for fewer than three runs, and where all have one value: no spread was seen, so none can be estimated. No bootstrap:
    of three values it spans no more than those three, and misses the true mean once in four times.
    """
    if len(values) < FEWEST or _equal(values):
        return None
    from scipy.stats import ttest_1samp  # a second to import

    return _interval(mean(values), ttest_1samp(values, 0.0), len(values))


def difference(one: Sequence[float], other: Sequence[float]) -> Interval | None:
    """How much larger the mean of a number is over the runs of one kind than over those of another, with its 95 % interval.

    By Welch's t, which takes neither the spread nor the number of runs to be equal; seeds of two kinds are not pairs. None
    where either has fewer than three runs or an infinite value, and where neither has a spread.
    """
    runs = min(len(one), len(other))
    if runs < FEWEST or not all(map(math.isfinite, [*one, *other])) or (_equal(one) and _equal(other)):
        return None
    from scipy.stats import ttest_ind

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # one without a spread is no reason to mistrust the other
        return _interval(mean(one) - mean(other), ttest_ind(one, other, equal_var=False), runs)


def is_above(interval: Interval | None, bound: float = 0.0) -> bool | None:
    """Whether a number is above a bound; None where that cannot be told: no interval, or the bound is in it."""
    if interval is None or interval.low <= bound <= interval.high:
        return None
    return interval.low > bound


def cannot_be_told(*runs: int) -> str:
    """Why there is no answer, from how many runs of each kind there are."""
    fewest = min(runs)
    words = f"cannot be told with {counted(fewest, 'run')}"
    return f"{words}: {FEWEST} of each are the least" if fewest < FEWEST else words


def in_words(interval: Interval | None, scale: float = 1.0) -> str:
    """A number with its interval: "2.10 (95% interval 1.80 to 2.40, n = 3)"; nothing without one."""
    if interval is None:
        return ""
    value, low, high = (show(scale * number) for number in interval[:3])
    return f"{value} (95% interval {low} to {high}, n = {interval.runs})"


def with_ends(values: Sequence[float], middle: float, unit: str = "") -> str:
    """ "41.2 s (38.0 to 45.1)": a mean or median, and the lowest and highest where they differ."""
    return f"{show(middle)}{unit}" + (f" ({show(min(values))} to {show(max(values))})" if len(set(values)) > 1 else "")


def _interval(value: float, result: Any, runs: int) -> Interval:
    low, high = map(float, result.confidence_interval(0.95))
    return Interval(value, low, high, runs)


def _equal(values: Sequence[float]) -> bool:
    """Whether all values are one, but for rounding."""
    return all(math.isclose(value, values[0], rel_tol=1e-9, abs_tol=1e-12) for value in values)
