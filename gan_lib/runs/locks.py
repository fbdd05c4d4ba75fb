"""Lock a folder for one writer. The operating system releases the lock when its process ends, even if it is killed."""

import contextlib
import errno
import functools
import json
import os
import re
import socket
import time
from pathlib import Path

from filelock import FileLock, Timeout, lock_descriptor

from gan_lib.errors import RecordError
from gan_lib.runs.storage import named

_PATIENCE = 0.5  # seconds: a process that only checks the lock also holds it for a moment
_POLL_SECONDS = 0.02

_held: dict[Path, "Lock"] = {}  # by this process


class Lock:
    """A lock file that names its holder's process and host. Held until released, or until the process ends.

    The system's file lock decides, so a reused process number or a changed clock cannot make a dead holder look alive. The
    text in the file only names the process to wait for.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.realpath(path.parent)) / path.name
        self._lock: FileLock | None = None

    def acquire(self) -> None:
        """Take the lock, also from another object of this process: a notebook's cell may be run twice.

        Does not follow links. Raises RecordError when another process has it, OSError if the file cannot be created.
        """
        if previous := _held.get(self.path):
            self._lock, previous._lock = previous._lock, None
        else:
            lock = FileLock(
                self.path,
                _PATIENCE,
                poll_interval=_POLL_SECONDS,
                thread_local=False,
                on_acquired=functools.partial(_note, self.path),
                fallback_to_soft=False,
            )
            try:
                with named(self.path):
                    lock.acquire()
            except Timeout as error:
                raise RecordError(
                    f"{self.path.parent} is being written by {_name(self.path)}: wait for it, or stop it"
                ) from error
            self._lock = lock
        _held[self.path] = self

    def release(self) -> None:
        """Release the lock and remove its file. Does nothing if the lock is not held."""
        if self._lock:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)  # before the release, so that no other process's file is removed
            self._lock.release(force=True)
            self._lock = None
            del _held[self.path]


def holder(path: Path) -> int | None:
    """Return the process that holds a lock file now; 0 if its number cannot be read; None if no process does."""
    try:
        if not _is_plain(path):
            return None
        with path.open("r+b" if os.access(path, os.W_OK) else "rb") as file:
            for _ in range(3):  # a process that only checks releases it at once
                if lock_descriptor(file.fileno(), blocking=False):
                    return None
                time.sleep(_POLL_SECONDS / 4)
        return noted_holder(path) or 0
    except OSError:
        return None


def noted_holder(path: Path) -> int | None:
    """Return the process that last took a lock file, alive or not; None if the file has no number."""
    pid = _noted(path).get("pid")
    return pid if isinstance(pid, int) and 0 < pid < 2**31 else None


def _note(path: Path, descriptor: int) -> None:
    if os.fstat(descriptor).st_nlink > 1:
        raise OSError(errno.EMLINK, "another file's content under a second name (a hard link): remove it")
    try:
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, (json.dumps({"pid": os.getpid(), "host": socket.gethostname()}) + "\n").encode(), 0)
    except OSError:  # a full disk
        path.unlink(missing_ok=True)
        raise


def _noted(path: Path) -> dict[str, object]:
    with contextlib.suppress(OSError, ValueError, RecursionError):
        if _is_plain(path):
            with path.open(encoding="utf-8") as file:
                content = json.loads(file.read(1000))
            return content if isinstance(content, dict) else {}
    return {}


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _name(path: Path) -> str:
    """Name the holder of a lock."""
    pid, host = noted_holder(path), str(_noted(path).get("host"))
    if not pid:
        return "another process"
    elsewhere = host != socket.gethostname() and re.fullmatch(r"[\w.-]{1,100}", host, re.ASCII)
    return f"process {pid}{f' on {host}' if elsewhere else ''}"
