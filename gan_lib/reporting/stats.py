"""Confidence intervals of a mean, or of a difference of two means, over several runs (seeds)."""

import math
from collections.abc import Sequence
from statistics import mean
from typing import NamedTuple

import numpy as np

from gan_lib.text import counted, show

FEWEST = 3  # runs of each kind: with fewer, an interval is too wide to be useful


class Interval(NamedTuple):
    """A value with its 95 % confidence interval."""

    value: float
    low: float
    high: float
    runs: int  # of two compared kinds, the smaller number


def mean_interval(values: Sequence[float]) -> Interval | None:
    """Return the mean over runs with its 95 % confidence interval by Student's t.

    None for fewer than three runs, and if all values are equal, because the spread cannot be estimated. Not by bootstrap: with
    three values its interval lies within them, and misses the true mean once in four times.
    """
    if len(values) < FEWEST or _equal(values):
        return None
    return _interval(mean(values), values)


def difference(one: Sequence[float], other: Sequence[float]) -> Interval | None:
    """Return the difference of two means over runs (one minus other) with its 95 % confidence interval.

    By Welch's t, which allows different spreads and numbers of runs; seeds are not paired. None if either has fewer than
    three runs or an infinite value, or if neither has any spread.
    """
    if min(len(one), len(other)) < FEWEST or not all(map(math.isfinite, [*one, *other])) or (_equal(one) and _equal(other)):
        return None
    return _interval(mean(one) - mean(other), one, other)


def is_above(interval: Interval | None, bound: float = 0.0) -> bool | None:
    """Whether a value is above a bound; None without an interval, or if the bound is inside it."""
    if interval is None or interval.low <= bound <= interval.high:
        return None
    return interval.low > bound


def cannot_be_told(*runs: int) -> str:
    """Say why there is no answer, from the number of runs of each kind."""
    fewest = min(runs)
    words = f"cannot be told with {counted(fewest, 'run')}"
    return f"{words}: {FEWEST} of each are the least" if fewest < FEWEST else words


def in_words(interval: Interval | None, scale: float = 1.0) -> str:
    """Return "2.10 (95% interval 1.80 to 2.40, n = 3)"; "" without an interval."""
    if interval is None:
        return ""
    value, low, high = (show(scale * number) for number in interval[:3])
    return f"{value} (95% interval {low} to {high}, n = {interval.runs})"


def with_ends(values: Sequence[float], middle: float, unit: str = "") -> str:
    """Return "41.2 s (38.0 to 45.1)": a mean or median, and the lowest and highest if they differ."""
    return f"{show(middle)}{unit}" + (f" ({show(min(values))} to {show(max(values))})" if len(set(values)) > 1 else "")


def _interval(value: float, *samples: Sequence[float]) -> Interval:
    """Return a mean, or a difference of two means, with its interval by Student's t, in Welch's form."""
    from scipy.special import stdtrit  # t.ppf of scipy.stats, which takes a second to import

    with np.errstate(all="ignore"):  # of a stranger's huge numbers
        spreads = np.array([np.var(sample, ddof=1) / len(sample) for sample in samples])
        freedom = spreads.sum() ** 2 / (spreads**2 / [len(sample) - 1 for sample in samples]).sum()
        half = float(stdtrit(freedom, 0.975) * np.sqrt(spreads.sum()))
    return Interval(value, value - half, value + half, min(map(len, samples)))


def _equal(values: Sequence[float]) -> bool:
    """Whether all values are equal up to rounding."""
    return all(math.isclose(value, values[0], rel_tol=1e-9, abs_tol=1e-12) for value in values)
