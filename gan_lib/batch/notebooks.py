"""Executing a notebook in a process of its own: warmed up, started, watched, stopped."""

import contextlib
import importlib.util
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
_PAPERMILLS_OWN = re.compile(
    r"(Executing|Ending) Cell \d+-+$|(Input|Output) Notebook: |(Working directory|Executing notebook with kernel): |Kernel died"
)


class NotebookProcess(subprocess.Popen[bytes]):
    """A notebook that papermill executes in a process of its own, which ends with this one, however this one ends.

    It brings the kernel up and loads what the notebook imports; nothing of it runs, and nothing is written but the log, before
    go(). Exit codes are notebook_process's. lock: the lock file of the run that the notebook makes, if it makes one. Paths are
    handed on relative to the repository, so that an executed notebook does not carry this machine's folders about.
    """

    def __init__(self, notebook: Path, output: Path, parameters: dict[str, Any], log: Path, lock: Path | None = None) -> None:
        self._log: Path | None = log
        job = {
            "notebook": relative(notebook),
            "output": relative(output),
            "cwd": relative(notebook.parent),
            "parameters": parameters,
            "lock": os.path.realpath(lock) if lock else None,
        }
        log.parent.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)  # never through a link that a stranger left
        with log.open("xb") as file:
            # In a session of its own: Ctrl-C is kept away from it, only the batch decides how a run ends.
            super().__init__(
                [sys.executable, "-m", "gan_lib.batch.notebook_process", json.dumps(job)],
                cwd=ROOT,
                env={**os.environ, **_own_environment()},
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def go(self) -> None:
        """Execute the notebook."""
        self._log = None
        if self.stdin:
            with contextlib.suppress(BrokenPipeError):  # it is dead already, and poll() tells how
                self.stdin.write(b"\n")
                self.stdin.flush()

    def stop(self) -> None:
        """End the process and its kernel: with a checkpoint if there is time, at once on a second Ctrl-C."""
        try:
            self._ask(signal.SIGTERM, _PATIENCE)
        except BaseException:
            self._ask(signal.SIGTERM, 2)  # the second request: its kernel is killed
            raise
        finally:
            self._ask(signal.SIGKILL, 5)  # its kernel notices within a second
            if self.stdin:
                with contextlib.suppress(BrokenPipeError):
                    self.stdin.close()
            if self._log:  # of a process that was not used
                self._log.unlink(missing_ok=True)

    def _ask(self, number: signal.Signals, patience: float) -> None:
        if self.poll() is None:
            self.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.wait(patience)


def _own_environment() -> dict[str, str]:
    """What keeps a user's matplotlib settings, encoding and the modules in a working folder away from a kernel."""
    environment = {"MPLBACKEND": "agg", "PYTHONSAFEPATH": "1", "PYTHONIOENCODING": "utf-8:backslashreplace"}
    matplotlib = importlib.util.find_spec("matplotlib")
    if matplotlib and matplotlib.origin:
        environment["MATPLOTLIBRC"] = str(Path(matplotlib.origin).with_name("mpl-data") / "matplotlibrc")
    return environment


def check_parameters(notebook: Path, parameters: Iterable[str]) -> None:
    """Refuse a parameter that the notebook does not declare: papermill itself would only warn."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    (cell,) = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    declared = re.findall(r"^(\w+)\s*[:=]", "".join(cell["source"]), re.MULTILINE)
    for name in parameters:
        if name not in declared:
            raise GanLibError(f"{notebook.name} declares no parameter {name!r}; it has {', '.join(declared)}")


def last_line(log: Path) -> str:
    """What a process said last, for one line of a record."""
    return last_lines(log, 1)[:300] or "nothing was printed"


def last_lines(log: Path, count: int = 12) -> str:
    """The last lines that a process printed, or "": without empty ones, papermill's own and terminal colours."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 100_000))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    lines = [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()]
    lines = [line for line in lines if line and not _PAPERMILLS_OWN.match(line)]
    return "\n".join(lines[-count:])


def relative(path: Path, start: Path = ROOT) -> str:
    """A path as seen from a folder, the repository by default. What it names is not followed: it may be a stranger's link."""
    return os.path.relpath(os.path.realpath(path.parent) / Path(path.name), start)
