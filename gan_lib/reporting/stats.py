"""Numbers from several runs (seeds) -> how far a mean, or a difference of two, can be trusted."""

import math
from collections.abc import Sequence
from statistics import mean, variance
from typing import NamedTuple

from gan_lib.text import show

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


HOLDS, FAILS, UNKNOWN = "holds", "does not hold", "cannot be judged here"


class Claim(NamedTuple):
    """One statement of the paper, and what these runs say of it."""

    claim: str
    answer: str  # HOLDS, FAILS or UNKNOWN
    because: str  # the number that decides, or why there is none


def is_above(found: Interval | None, bound: float = 0.0) -> bool | None:
    """Whether a number is above a bound; None where that cannot be told: too few runs, or the bound is in the interval."""
    if found is None or found.low <= bound <= found.high:
        return None
    return found.low > bound


def answer(verdicts: Sequence[bool | None]) -> str:
    """HOLDS where all of several findings speak for a claim, FAILS where one speaks against it, else UNKNOWN."""
    if any(verdict is False for verdict in verdicts):
        return FAILS
    return HOLDS if all(verdicts) else UNKNOWN


def cannot_be_told(*runs: int) -> str:
    """Why there is no answer, from how many runs of each kind there are."""
    fewest = min(runs)
    words = f"cannot be told with {fewest} run{'' if fewest == 1 else 's'}"
    return f"{words}: {FEWEST} of each are the least" if fewest < FEWEST else words


def in_words(found: Interval, scale: float = 1.0) -> str:
    """A number with its interval: "2.10 (95% interval 1.80 to 2.40, n = 3)"."""
    value, low, high = (show(scale * number) for number in found[:3])
    return f"{value} (95% interval {low} to {high}, n = {found.runs})"
