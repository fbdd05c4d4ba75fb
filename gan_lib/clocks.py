"""Two clocks for a run: training, and everything else."""

import time


class Clocks:
    """Both clocks start when this is made; readings are in seconds."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._training = 0.0

    def trained(self, seconds: float) -> None:
        """Take this much of the time since the last reading as training."""
        self._training += seconds

    def other(self) -> float:
        """Seconds since the last reading that were not training."""
        now = time.perf_counter()
        seconds, self._last, self._training = now - self._last - self._training, now, 0.0
        return max(0.0, seconds)

    def add(self, seconds: float) -> None:
        """Count what an earlier process took."""
        self._start -= seconds

    def total(self) -> float:
        """Seconds since the beginning, without those between a stop and going on."""
        return time.perf_counter() - self._start
