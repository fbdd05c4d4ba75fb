"""What a batch says on its terminal: lines, and one that moves. A terminal that is gone, or lacks characters, stops nothing."""

import contextlib
import functools
import os
import re
import shlex
import shutil
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from gan_lib.text import printable

_EVERY = 30.0  # seconds between two lines where there is no terminal
_LONGEST_ERROR = 10_000  # characters; a path may have 4,096
_BAR = 20  # characters, and at least half of them
_COMMAND = re.compile(r"\bgan-lib (?=(run|list|compare|search|export|sample|score|bench|cloud)\b)")


def say(text: object = "", *, error: bool = False) -> None:
    """Print one line. What could act on the terminal is escaped, and commands are such as work where the user stands.

    error: print on stderr, and cut a line that repeats a very long value.
    """
    line = printable(_COMMAND.sub(lambda match: f"{program()} ", str(text)))
    if error and len(line) > _LONGEST_ERROR:
        line = f"{line[:_LONGEST_ERROR]}…"
    _write(f"{line}\n", sys.stderr if error else sys.stdout)


def prepare() -> None:
    """Prevent later failures: characters that the terminal lacks, a closed terminal, a user without a home folder."""
    if os.path.expanduser("~") == "~":  # noqa: PTH111, which raises; a user of a container, say: Jupyter needs a home
        os.environ["HOME"] = tempfile.gettempdir()
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # in this order: each takes the lowest number that is free, its own
            setattr(sys, name, Path(os.devnull).open("r" if name == "stdin" else "w"))  # noqa: SIM115
        elif name != "stdin" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@functools.cache
def program() -> str:
    """How this program is called where the user stands: gan-lib, .venv/bin/gan-lib, or python -m gan_lib."""
    script = Path(sysconfig.get_path("scripts")) / "gan-lib"
    for path, name, more in ((script, "gan-lib", ""), (Path(sys.executable), "python", " -m gan_lib")):
        if path.exists():
            found = shutil.which(name)
            return (name if found and Path(found).absolute() == path.absolute() else shlex.quote(str(short(path)))) + more
    return "python -m gan_lib"


def short(path: Path) -> Path:
    """A path as seen from the working folder, where it lies below."""
    try:
        return path.absolute().relative_to(Path.cwd())
    except (ValueError, OSError):
        return path


def _write(text: str, stream: IO[str] | None) -> None:
    try:
        if stream:
            stream.write(text)
            stream.flush()
    except (OSError, ValueError):  # a pipe or a terminal that closed: what is still to be said goes nowhere
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]
            os.close(nowhere)


@dataclass(frozen=True)
class Progress:
    """Where a batch is: one line's worth."""

    runs: tuple[tuple[str, int, int], ...]  # that are being made: name, epochs done, epochs in all
    waiting: int
    done: int
    failed: int
    work: float  # floating-point operations of all runs so far, and in all
    total: float


class ProgressLine(tqdm):
    """The moving progress line: redrawn in place on a terminal, a line every half minute elsewhere.

    Its pace is that of arithmetic, so that an epoch of one network says how long those of another will take.
    """

    monitor_interval = 0  # no thread of tqdm's own

    def __init__(self) -> None:
        self._drawn, self._width = float("-inf"), 0
        self._terminal = bool(sys.stdout and sys.stdout.isatty())
        super().__init__(total=1, file=sys.stdout, mininterval=0, miniters=0, smoothing=0.3, disable=False)

    def show(self, progress: Progress) -> None:
        """Draw the line, or not yet."""
        if not any(epoch for _, epoch, _ in progress.runs):  # what comes before the first epoch says nothing of the pace
            self.n = self.last_print_n = progress.work
            self.last_print_t = self._time()
        elif progress.work > self.n:
            self.update(progress.work - self.n)
        if self._terminal or time.monotonic() - self._drawn >= _EVERY:
            self._drawn = time.monotonic()
            self.total = progress.total
            self._draw(progress)

    def end(self) -> None:
        """Leave the line as it is, and continue below it."""
        if self._width:
            _write("\n", sys.stdout)
        self._width = 0

    def _draw(self, progress: Progress) -> None:
        columns = shutil.get_terminal_size().columns - 1 if self._terminal else 120  # a line that wraps cannot be drawn over
        over, right = progress.done + progress.failed, " {remaining} left"
        name = f"{len(progress.runs)} running, {progress.waiting} waiting, {progress.done} done, {progress.failed} failed"
        if len(progress.runs) == 1:
            ((run, epoch, epochs),) = progress.runs
            name, right = f"[{over + 1}/{over + 1 + progress.waiting}] {run}", f" epoch {epoch}/{epochs},{right}"
        room = max(0, columns - len(right) - _BAR // 2 - 2)
        self.desc = f"{name[: room - 1]} " if room > 1 else ""
        self.ncols = min(columns, len(self.desc) + len(right) + _BAR + 2)
        self.bar_format = f"{{desc}}|{{bar}}|{right}"
        text = str(self)[:columns]
        _write(f"\r{text:<{min(self._width, columns)}}" if self._terminal else f"{text}\n", sys.stdout)
        self._width = len(text) if self._terminal else 0

    def display(self, *arguments: Any, **named: Any) -> None:
        """Nothing: tqdm's own drawing, which may raise where a terminal is gone."""

    close = display
