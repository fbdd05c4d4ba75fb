"""estimate.py: the time left, from the pace that was seen."""

import time

import pytest

from gan_lib.config import configure
from gan_lib.estimate import Estimate
from gan_lib.flops import flops_per_epoch


def test_a_guess_says_that_it_is_one() -> None:
    config = configure("gan-cpu", epochs=10)
    estimate = Estimate([config])
    assert not estimate.measured
    assert estimate.left(config, 0) == pytest.approx(10 * flops_per_epoch(config) / 100e9)


def test_a_runs_own_pace_counts_from_its_second_epoch() -> None:
    config = configure("gan-cpu", epochs=1000)
    estimate = Estimate([config])
    estimate.see(config, 0)
    time.sleep(0.2)  # starting and the first epoch: not part of the pace
    estimate.see(config, 1)
    time.sleep(0.1)
    estimate.see(config, 11)
    assert estimate.measured
    assert estimate.left(config, 11) == pytest.approx(989 * 0.01, rel=0.3)


def test_a_run_to_come_takes_its_arithmetic_at_the_rate_seen() -> None:
    gan, cgan = configure("gan-cpu", epochs=100), configure("cgan-cpu", epochs=10)
    estimate = Estimate([gan, cgan])
    estimate.see(gan, 1)
    time.sleep(0.1)
    estimate.see(gan, 11)
    own = estimate.left(gan, 11) - 10.0  # less the other run's time outside training
    share = flops_per_epoch(cgan) * 10 / (flops_per_epoch(gan) * 89)
    assert own == pytest.approx((1 + share) * 89 * 0.01, rel=0.3)


def test_a_finished_run_is_struck_off_and_teaches_the_time_outside_training() -> None:
    first, second = configure("gan-cpu", epochs=10), configure("gan-cpu", epochs=10, seed=1)
    estimate = Estimate([first, second])
    before = estimate.left(first, 10)
    estimate.done(first, {"total_seconds": 25.0, "training_seconds": 20.0})
    third = configure("gan-cpu", epochs=10, seed=2)
    assert estimate.left(third, 10) == pytest.approx(before + 5.0)
