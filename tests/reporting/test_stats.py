"""How far means of a few runs can be trusted, on numbers worked out by hand."""

import math

import numpy as np
import pytest

from gan_lib.reporting.stats import Interval, difference, mean_interval


def test_two_runs_say_nothing() -> None:
    assert mean_interval([1.0, 2.0]) is None
    assert difference([1.0, 2.0, 3.0], [1.0, 2.0]) is None


def test_runs_that_agree_leave_no_doubt() -> None:
    assert mean_interval([2.0, 2.0, 2.0]) == Interval(2.0, 2.0, 2.0, 3)
    assert difference([5.0] * 3, [2.0] * 4) == Interval(3.0, 3.0, 3.0, 3)


def test_a_mean_of_three_reaches_as_far_as_students_table_says() -> None:
    found = mean_interval([1.0, 2.0, 6.0])
    assert found is not None
    reach = 4.303 * math.sqrt(7 / 3)  # t of two degrees of freedom; the variance is 7
    assert found == pytest.approx(Interval(3.0, 3.0 - reach, 3.0 + reach, 3), abs=1e-3)


def test_a_difference_of_equal_spreads_has_the_degrees_of_both() -> None:
    found = difference([1.0, 2.0, 3.0], [5.0, 6.0, 7.0])
    assert found is not None
    reach = 2.776 * math.sqrt(1 / 3 + 1 / 3)  # t of four degrees of freedom
    assert found == pytest.approx(Interval(-4.0, -4.0 - reach, -4.0 + reach, 3), abs=1e-3)


def test_a_kind_without_spread_brings_no_degrees() -> None:
    found = difference([1.0, 2.0, 6.0], [0.0] * 5)
    assert found is not None
    assert found == pytest.approx(Interval(3.0, 3.0 - 4.303 * math.sqrt(7 / 3), 3.0 + 4.303 * math.sqrt(7 / 3), 3), abs=1e-3)


def test_of_intervals_between_seeds_of_one_kind_one_in_twenty_misses_zero() -> None:
    draw = np.random.default_rng(3)
    found = [difference(list(draw.normal(size=3)), list(draw.normal(size=3))) for _ in range(2000)]
    missed = sum(each is not None and not each.low <= 0 <= each.high for each in found)
    assert 0.02 < missed / 2000 < 0.06  # Welch's is a little careful with three; a bootstrap misses one in five


def test_a_difference_turned_round_is_the_same_turned_round() -> None:
    found, turned = difference([60.0, 64.0, 71.0], [70.0, 105.0, 139.0]), difference([70.0, 105.0, 139.0], [60.0, 64.0, 71.0])
    assert found is not None
    assert turned == Interval(-found.value, -found.high, -found.low, 3)
