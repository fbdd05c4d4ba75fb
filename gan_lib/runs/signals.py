"""Delay signals that ask a run to stop until it can stop safely."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequests:
    """Inside `with`, only note Ctrl-C and SIGTERM. A second Ctrl-C stops the program at once.

    Does nothing outside the main thread, because other threads receive no signals.
    """

    def __init__(self) -> None:
        self.received: int | None = None  # the first signal that came
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequests":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def obey(self) -> None:
        """Stop as the noted signal asked for: by KeyboardInterrupt, or by SystemExit with SIGTERM's usual code."""
        raise SystemExit(128 + signal.SIGTERM) if self.received == signal.SIGTERM else KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received == signal.SIGINT and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = self.received or number
