"""Training, and everything else."""

import time

import pytest

from gan_lib.runs.machine import Clocks


def test_what_is_not_training_is_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    clocks = Clocks()
    now += 10
    clocks.trained(7)
    assert clocks.other() == pytest.approx(3)
    now += 1
    assert clocks.other() == pytest.approx(1)
    assert clocks.total() == pytest.approx(11)


def test_an_earlier_process_counts_and_the_time_between_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 5.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    clocks = Clocks()
    clocks.add(60)
    now += 2
    assert clocks.total() == pytest.approx(62)


def test_training_that_began_before_this_process_is_no_negative_rest() -> None:
    clocks = Clocks()
    clocks.trained(1000)
    assert clocks.other() == 0
