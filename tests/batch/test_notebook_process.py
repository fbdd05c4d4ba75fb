"""What a request to stop does. Real notebooks in real processes are test_execution.py's."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gan_lib.batch import notebook_process
from gan_lib.batch.notebook_process import STOPPED, _Stopping


class Kernel:
    """Stands for a kernel's process: notes what is done to it."""

    pid = 4321

    def __init__(self) -> None:
        self.done: list[str] = []

    def send_signal(self, number: int) -> None:
        self.done.append(signal.Signals(number).name)

    def kill(self) -> None:
        self.done.append("killed")


@pytest.fixture
def stopping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Stopping:
    monkeypatch.setattr(notebook_process, "holder", lambda lock: Kernel.pid)
    stopping = _Stopping(tmp_path / "run.lock")
    stopping.kernel = Kernel()  # type: ignore[assignment]
    stopping.executing = True
    return stopping


def test_a_kernel_with_something_to_save_is_interrupted_and_killed_when_asked_again(stopping: _Stopping) -> None:
    stopping.request()
    assert stopping.kernel.done == ["SIGINT"]  # type: ignore[union-attr]
    stopping.request()
    assert stopping.kernel.done == ["SIGINT", "killed"]  # type: ignore[union-attr]


def test_a_kernel_that_takes_too_long_is_killed(stopping: _Stopping, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook_process, "_PATIENCE", 0.01)
    stopping.request()
    for _ in range(500):
        if "killed" in stopping.kernel.done:  # type: ignore[union-attr]
            return
        signal.sigtimedwait([], 0.01)
    pytest.fail("it was not killed")


def test_a_kernel_without_anything_to_save_is_killed_at_once(stopping: _Stopping, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook_process, "holder", lambda lock: None)
    stopping.request()
    assert stopping.kernel.done == ["killed"]  # type: ignore[union-attr]


def test_before_there_is_a_kernel_the_process_just_ends() -> None:
    code = "from gan_lib.batch.notebook_process import _Stopping; _Stopping(None).request()"
    assert subprocess.run([sys.executable, "-c", code]).returncode == STOPPED == 143
