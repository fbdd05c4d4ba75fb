"""Signals wait until the program stands where it can be left."""

import signal
import threading

import pytest

from gan_lib.runs.signals import StopRequests


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_noted_inside_and_handled_as_before_outside(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopRequests() as stop:
        signal.raise_signal(number)
        assert stop.received == number
    assert signal.getsignal(number) == before


def test_it_can_be_entered_again_and_remembers() -> None:
    stop = StopRequests()
    with stop:
        signal.raise_signal(signal.SIGINT)
    with stop:
        pass
    assert stop.received == signal.SIGINT
    with pytest.raises(KeyboardInterrupt):
        stop.obey()


def test_sigterm_ends_the_process_with_its_usual_code() -> None:
    with StopRequests() as stop:
        signal.raise_signal(signal.SIGTERM)
    with pytest.raises(SystemExit) as caught:
        stop.obey()
    assert caught.value.code == 143


def test_a_second_ctrl_c_stops_at_once() -> None:
    reached = []
    with pytest.raises(KeyboardInterrupt), StopRequests():
        signal.raise_signal(signal.SIGINT)
        reached.append("between")
        signal.raise_signal(signal.SIGINT)
        reached.append("never")
    assert reached == ["between"]
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def test_outside_the_main_thread_nothing_is_changed() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def enter() -> None:
        with StopRequests():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before]
