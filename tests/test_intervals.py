"""intervals.py: how far means of a few runs can be trusted, on numbers worked out by hand."""

import numpy as np
import pytest

from gan_lib.intervals import Interval, difference, mean_interval


def test_two_runs_say_nothing() -> None:
    assert mean_interval([1.0, 2.0]) is None
    assert difference([1.0, 2.0, 3.0], [1.0, 2.0]) is None


def test_runs_that_agree_leave_no_doubt() -> None:
    assert mean_interval([2.0, 2.0, 2.0]) == Interval(2.0, 2.0, 2.0, 3)
    assert difference([5.0] * 3, [2.0] * 4) == Interval(3.0, 3.0, 3.0, 3)


def test_the_interval_of_a_mean_holds_it_and_spans_no_more_than_the_runs() -> None:
    found = mean_interval([1.0, 2.0, 6.0])
    assert found is not None
    assert found.value == pytest.approx(3.0)
    # 1 of 27 samples of three is three times the lowest, more than a fortieth: the interval ends at the extremes.
    assert (found.low, found.high) == (1.0, 6.0)


def test_a_difference_in_the_mean_of_many_runs_has_the_width_that_theory_says() -> None:
    draw = np.random.default_rng(5)
    one, other = draw.normal(1.0, 1.0, 400), draw.normal(0.0, 1.0, 400)
    found = difference(list(one), list(other))
    assert found is not None
    assert found.value == pytest.approx(one.mean() - other.mean())
    width = 2 * 1.96 * np.sqrt(one.var() / 400 + other.var() / 400)
    assert found.high - found.low == pytest.approx(width, rel=0.05)
    assert found.low < found.value < found.high


def test_the_same_numbers_give_the_same_interval_and_leave_the_global_generator_alone() -> None:
    before = np.random.get_state()[1]
    assert difference([1.0, 2.0, 4.0], [0.0, 1.0, 1.5]) == difference([1.0, 2.0, 4.0], [0.0, 1.0, 1.5])
    assert (np.random.get_state()[1] == before).all()


def test_a_difference_turned_round_is_the_same_turned_round() -> None:
    found, turned = difference([60.0, 64.0, 71.0], [70.0, 105.0, 139.0]), difference([70.0, 105.0, 139.0], [60.0, 64.0, 71.0])
    assert found is not None
    assert turned == Interval(-found.value, -found.high, -found.low, 3)
