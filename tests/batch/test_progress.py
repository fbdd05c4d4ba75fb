"""The time left, from the pace that was seen."""

import pytest

from gan_lib.batch.progress import Estimate
from gan_lib.presets import configure
from gan_lib.training.flops import flops_per_epoch


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_guess_says_that_it_is_one() -> None:
    config = configure("gan-cpu", epochs=10)
    estimate = Estimate([config])
    assert not estimate.measured
    assert estimate.left(config, 0) == pytest.approx(10 * flops_per_epoch(config) / 100e9)


def test_a_runs_own_pace_counts_from_its_second_epoch() -> None:
    config, clock = configure("gan-cpu", epochs=1000), Clock()
    estimate = Estimate([config], clock)
    estimate.see(config, 0)
    clock.now += 60  # starting and the first epoch: not part of the pace
    estimate.see(config, 1)
    clock.now += 20
    estimate.see(config, 11)
    assert estimate.measured
    assert estimate.left(config, 11) == pytest.approx(989 * 2.0)


def test_a_run_to_come_takes_its_arithmetic_at_the_rate_seen_and_convolutions_are_done_faster() -> None:
    gan, cgan, clock = configure("gan-cpu", epochs=100), configure("cgan-cpu", epochs=10), Clock()
    estimate = Estimate([gan, cgan], clock)
    estimate.see(gan, 1)
    clock.now += 20
    estimate.see(gan, 11)
    assert not estimate.measured, "nothing of cgan-cpu was seen yet"
    to_come = 10 * 2.0 * flops_per_epoch(cgan) / flops_per_epoch(gan) * 0.45 / 0.84
    assert estimate.left(gan, 11) == pytest.approx(89 * 2.0 + to_come + 10.0)  # and 10 s of the other run outside training


def test_a_critic_has_a_pace_of_its_own_once_seen_and_its_networks_before() -> None:
    gan, cgan, critic = (configure(name, epochs=10) for name in ("gan-cpu", "cgan-cpu", "wgan-cpu"))
    clock = Clock()
    estimate = Estimate([gan, cgan, critic], clock)
    for config, seconds in ((cgan, 40), (gan, 20), (critic, 60)):
        before = estimate._seconds_per_epoch(critic)
        estimate.see(config, 1)
        clock.now += seconds
        estimate.see(config, 11)
    assert before == pytest.approx(2.0 * flops_per_epoch(critic) / flops_per_epoch(gan))
    assert estimate._seconds_per_epoch(critic) == pytest.approx(6.0)


def test_a_finished_run_is_struck_off_and_teaches_the_time_outside_training() -> None:
    first, second, third = (configure("gan-cpu", epochs=10, seed=seed) for seed in range(3))
    estimate = Estimate([first, second, third])
    before = estimate.left(second, 10)  # the first and the third
    estimate.done(first, {"total_seconds": 25.0, "training_seconds": 20.0})
    each = 10 * flops_per_epoch(first) / 100e9
    assert before == pytest.approx(2 * (each + 10.0))
    assert estimate.left(second, 10) == pytest.approx(each + 15.0)
