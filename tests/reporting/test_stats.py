"""How far means of a few runs can be trusted, on numbers worked out by hand."""

import math

import numpy as np
import pytest

from gan_lib.reporting.stats import Interval, cannot_be_told, difference, in_words, is_above, mean_interval


def test_two_runs_say_nothing_and_neither_do_runs_without_spread_or_without_an_end() -> None:
    for values in ([1.0, 2.0], [2.0, 2.0, 2.0], [0.1 + 0.2, 0.3, 0.3]):  # the last are equal but for rounding
        assert mean_interval(values) is None
    for one, other in (([1.0, 2.0, 3.0], [1.0, 2.0]), ([5.0] * 3, [2.0] * 4), ([1.0, 2.0, math.inf], [5.0, 6.0, 7.0])):
        assert difference(one, other) is None
    assert is_above(None) is None and in_words(None) == ""


def test_a_mean_of_three_reaches_as_far_as_students_table_says() -> None:
    reach = 4.303 * math.sqrt(7 / 3)  # t of two degrees of freedom; the variance is 7
    assert mean_interval([1.0, 2.0, 6.0]) == pytest.approx(Interval(3.0, 3.0 - reach, 3.0 + reach, 3), abs=1e-3)


@pytest.mark.parametrize(
    ("one", "other", "value", "reach"),
    [
        ([1.0, 2.0, 3.0], [5.0, 6.0, 7.0], -4.0, 2.776 * math.sqrt(1 / 3 + 1 / 3)),  # of equal spread: four degrees of freedom
        ([1.0, 2.0, 6.0], [0.0] * 5, 3.0, 4.303 * math.sqrt(7 / 3)),  # one without a spread brings none
        ([1.0, 2.0, 6.0], [0.1 + 0.2, 0.3, 0.3], 2.7, 4.303 * math.sqrt(7 / 3)),
    ],
)
def test_a_difference_reaches_as_far_as_welch_says(one: list[float], other: list[float], value: float, reach: float) -> None:
    assert difference(one, other) == pytest.approx(Interval(value, value - reach, value + reach, 3), abs=1e-3)


def test_of_intervals_between_seeds_of_one_kind_one_in_twenty_misses_zero() -> None:
    draw = np.random.default_rng(3)
    intervals = [difference(list(draw.normal(size=3)), list(draw.normal(size=3))) for _ in range(1000)]
    missed = sum(each is not None and not each.low <= 0 <= each.high for each in intervals)
    assert 0.02 < missed / 1000 < 0.06  # Welch's is a little careful with three; a bootstrap misses one in five


@pytest.mark.parametrize(
    ("low", "high", "bound", "above"),
    [(0.1, 2, 0, True), (-2, -0.1, 0, False), (-1, 1, 0, None), (0, 1, 0, None), (0.6, 0.9, 0.5, True), (0.4, 0.6, 0.5, None)],
)
def test_an_interval_that_spans_the_bound_answers_nothing(low: float, high: float, bound: float, above: bool | None) -> None:
    assert is_above(Interval((low + high) / 2, low, high, 3), bound) is above


def test_in_words() -> None:
    assert cannot_be_told(1, 5) == "cannot be told with 1 run: 3 of each are the least"
    assert cannot_be_told(3, 4) == "cannot be told with 3 runs"
    assert in_words(Interval(0.0212, 0.018, 0.02444, 3), 100) == "2.12 (95% interval 1.80 to 2.44, n = 3)"
