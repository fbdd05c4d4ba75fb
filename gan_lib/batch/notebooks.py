"""Starting and stopping a notebook in a process of its own."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gan_lib.errors import GanLibError

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
_PATIENCE = 15.0  # seconds: the process itself gives its kernel ten


def execute(
    notebook: Path, output: Path, parameters: dict[str, Any], log: Path, lock: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start papermill on a notebook in a process of its own, which ends with this one, however this one ends.

    lock: the lock file of the run that the notebook makes, if it makes one. Paths are given relative to the repository, so
    that an executed notebook does not carry this machine's folders about.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    job = {
        "notebook": relative(notebook),
        "output": relative(output),
        "cwd": relative(notebook.parent),
        "parameters": parameters,
        "lock": str(lock.resolve()) if lock else None,
    }
    with log.open("wb") as file:
        # In a session of its own: Ctrl-C is kept away from it, only the batch decides how a run ends.
        return subprocess.Popen(
            [sys.executable, "-m", "gan_lib.batch.notebook_process", json.dumps(job)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a notebook's process and its kernel: with a checkpoint if there is time, at once on a second Ctrl-C."""
    try:
        _ask(process, signal.SIGTERM, _PATIENCE)
    except BaseException:
        _ask(process, signal.SIGTERM, 2)  # the second request: its kernel is killed
        raise
    finally:
        _ask(process, signal.SIGKILL, 5)  # its kernel notices within a second
        if process.stdin:
            process.stdin.close()


def _ask(process: subprocess.Popen[bytes], number: signal.Signals, patience: float) -> None:
    if process.poll() is None:
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)


def check_parameters(notebook: Path, parameters: Iterable[str]) -> None:
    """Refuse a parameter that the notebook does not declare: papermill itself would only warn."""
    import papermill

    declared = papermill.inspect_notebook(str(notebook))
    for name in parameters:
        if name not in declared:
            raise GanLibError(f"{notebook.name} declares no parameter {name!r}; it has {', '.join(declared)}")


def last_line(log: Path) -> str:
    """What a process said last, for one line of a record."""
    return last_lines(log, 1)[:300] or "nothing was printed"


def last_lines(log: Path, count: int = 12) -> str:
    """The last lines that a process printed, or "": without empty ones, papermill's rules and terminal colours."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 100_000))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    lines = [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()]
    lines = [line for line in lines if line and not re.match(r"(Executing|Ending) Cell \d+-+$", line)]
    return "\n".join(lines[-count:])


def relative(path: Path, start: Path = ROOT) -> str:
    """A path as seen from a folder, the repository by default."""
    return os.path.relpath(path.resolve(), start)
