"""Numbers from several runs (seeds) -> how far a mean, or a difference of two, can be trusted."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

FEWEST = 3  # runs of each kind: of fewer, nobody can tell chance from difference
_ROUNDS = 10_000
_LEVEL = 0.95


class Interval(NamedTuple):
    """A value and where it would lie 95 times in a hundred, had other seeds been drawn."""

    value: float
    low: float
    high: float
    runs: int  # the fewer of the two kinds that were compared


def mean_interval(values: Sequence[float], seed: int = 0) -> Interval | None:
    """The mean of a number over runs, with its bootstrap interval; None for fewer than three runs.

    Percentiles of the means of 10,000 samples of as many runs, drawn with replacement by a random generator of its own. Of
    three runs it spans no more than those three: narrow, so that a clear difference is needed, but read it as "at least this".
    """
    if len(values) < FEWEST:
        return None
    means = _means(values, np.random.default_rng(seed))
    return Interval(float(np.mean(values)), *_ends(means), len(values))


def difference(one: Sequence[float], other: Sequence[float], seed: int = 0) -> Interval | None:
    """How much larger a number is in the mean over the runs of one kind than over those of another, with its bootstrap
    interval; None where either has fewer than three runs. Seeds of two kinds are not pairs: each kind is drawn from by itself.
    """
    if min(len(one), len(other)) < FEWEST:
        return None
    if list(other) < list(one):  # one order, so that turned round a difference has the same interval, turned round
        turned = difference(other, one, seed)
        return turned and Interval(-turned.value, -turned.high, -turned.low, turned.runs)
    draw = np.random.default_rng(seed)
    differences = _means(one, draw) - _means(other, draw)
    return Interval(float(np.mean(one) - np.mean(other)), *_ends(differences), min(len(one), len(other)))


def _means(values: Sequence[float], draw: np.random.Generator) -> np.ndarray:
    """(10000,) means of samples, each of as many values, drawn with replacement."""
    return draw.choice(np.asarray(values, dtype=float), size=(_ROUNDS, len(values))).mean(axis=1)


def _ends(found: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(found, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)
