"""Who is writing a folder now: a lock that the system gives up by itself when its process dies, however it dies."""

import contextlib
import json
import os
import socket
import time
from pathlib import Path
from typing import IO

from gan_lib.errors import RecordError

try:
    import fcntl
except ImportError:  # Windows: the process's number is all there is to go by
    fcntl = None  # type: ignore[assignment]

# Never through a link that a stranger left in the folder.
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_PATIENCE = 0.5  # seconds: somebody who only looks holds a lock for a moment too


_held: dict[Path, "Lock"] = {}  # by this process


class Lock:
    """A lock file with its holder's process and host inside. Held until released, or until the process is gone.

    The system's own file lock decides, so neither a number that another process got meanwhile nor a clock that was set back
    can make a dead holder look alive. The text inside only says whom to wait for.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.parent.resolve() / path.name
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock, also from another object of this process: a notebook's cell may be run twice.

        Raises RecordError when another process has it.
        """
        mine = _held.get(self.path)
        file = (mine and mine._file) or self._open()
        if mine:
            mine._file = None
        _held[self.path] = self
        self._file = file
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}) + "\n")
        file.flush()

    def release(self) -> None:
        """Give the lock up and remove its file; nothing happens when it is not held."""
        if self._file:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)  # while it is still ours: nobody else's file is removed
            self._file.close()
            self._file = None
            del _held[self.path]

    def _open(self) -> IO[str]:
        """The file, locked. Raises RecordError."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            if fcntl is None and (pid := holder(self.path)):
                raise RecordError(_refusal(self.path, pid))
            file = os.fdopen(os.open(self.path, _FLAGS, 0o666), "a+", encoding="utf-8")
            if _locked(file, self.path):
                return file
            file.close()
            if time.monotonic() > deadline:
                raise RecordError(_refusal(self.path, holder(self.path)))
            time.sleep(0.02)


def holder(path: Path) -> int | None:
    """The process that holds a lock file now; 0 where that cannot be read; None when nobody does."""
    try:
        if not path.is_file() or path.is_symlink():
            return None
        with path.open(encoding="utf-8") as file:
            if fcntl is not None:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return _noted(file)
                return None
            pid = _noted(file)
            os.kill(pid, 0)
            return pid or None
    except OSError:
        return None


def noted_holder(path: Path) -> int | None:
    """The process that took a lock file last, whether it lives or not."""
    try:
        with path.open(encoding="utf-8") as file:
            return _noted(file) or None
    except OSError:
        return None


def _locked(file: IO[str], path: Path) -> bool:
    """Lock an open file, if that is possible now and it is still the one of that name."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(file.fileno()).st_ino == path.stat().st_ino
    except (BlockingIOError, FileNotFoundError):
        return False


def _noted(file: IO[str]) -> int:
    try:
        pid = json.loads(file.read(1000)).get("pid")
    except (ValueError, AttributeError, RecursionError):
        return 0
    return pid if isinstance(pid, int) and 0 < pid < 2**31 else 0


def _refusal(path: Path, pid: int | None) -> str:
    return f"{path.parent} is being written by {f'process {pid}' if pid else 'another process'}: wait for it, or stop it"
