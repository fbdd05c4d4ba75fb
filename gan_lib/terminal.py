"""What a batch shows while it runs: one line that moves."""

import shutil
import sys
import time

from gan_lib.batch import Progress
from gan_lib.words import duration


class ProgressLine:
    """The moving progress line: redrawn in place on a terminal, a line every half minute elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._last = float("-inf")
        self._width = 0

    def show(self, progress: Progress) -> None:
        """Draw the line, or not yet."""
        done = progress.epoch / progress.epochs
        about = "about " if progress.measured else "roughly "
        text = (
            f"[{progress.number}/{progress.runs}] {progress.run}  {'█' * int(20 * done):░<20}  "
            f"epoch {progress.epoch}/{progress.epochs}  {about}{duration(progress.seconds_left)} left in all"
        )
        if self._terminal:
            text = text[: shutil.get_terminal_size().columns - 1]  # a line that wraps cannot be drawn over
            print(f"\r{text:<{self._width}}", end="", flush=True)
            self._width = len(text)
        elif time.monotonic() - self._last >= 30:
            self._last = time.monotonic()
            print(text, flush=True)

    def end(self) -> None:
        """Leave the line as it is and go on below it."""
        if self._terminal and self._width:
            print()
