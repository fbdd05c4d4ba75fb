"""Executing a notebook in a process of its own: forked from one that has everything loaded, watched, stopped.

Exit codes: 0 executed, 1 a cell failed, 143 stopped on request, -N killed by signal N.
"""

import contextlib
import importlib.util
import json
import multiprocessing
import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from multiprocessing.process import ORIGINAL_DIR, BaseProcess  # type: ignore[attr-defined]
from pathlib import Path
from typing import Any

from gan_lib.errors import GanLibError

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
_PATIENCE = 10.0  # seconds between a request to stop and the end of whatever has not stopped
# Elsewhere than in Linux, a process that has loaded so much cannot be forked safely: there, each loads it anew.
_METHOD = "forkserver" if sys.platform == "linux" else "spawn"
_processes: Any = multiprocessing.get_context(_METHOD)


def warm_up(training: bool = False) -> None:
    """Start the server that notebooks' processes are forked from, unless it runs: it imports what they need. Does not wait.

    training: import also what optimisers and measures of quality import when first used, which takes each run two seconds.
    """
    if _METHOD != "forkserver":
        return
    from multiprocessing import forkserver

    more = ["torch._dynamo", "scipy.spatial.distance"] if training else []
    _processes.set_forkserver_preload(["gan_lib.batch.preload", *more])
    environment = dict(os.environ)
    os.environ.update(_own_environment())
    signals = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Ctrl-C is kept away from it from its first moment
    folder = tempfile.tempdir
    if len(os.fsencode(tempfile.gettempdir())) > 60:  # the name of its socket has room for some 100 bytes
        tempfile.tempdir = "/tmp"  # noqa: S108 - in which it makes a folder of its own
    try:
        forkserver.ensure_running()
    finally:
        tempfile.tempdir = folder
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)
        os.environ.clear()
        os.environ.update(environment)


def start_notebook(
    notebook: Path,
    output: Path,
    parameters: dict[str, Any],
    log: Path,
    page: Path | None = None,
    title: str = "",
    threads: int = 0,
) -> BaseProcess:
    """Start the process that executes a notebook and renders its page. Raises OSError or EOFError where there can be none.

    It ends with this one, however this one ends. threads: CPU threads of a run that does not say how many; 0: the run
    chooses. Paths are handed on relative to the repository: an executed notebook does not carry this machine's folders about.
    """
    warm_up()
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)  # never through a link that a stranger left
    what = (relative(notebook), relative(output), parameters, relative(notebook.parent), page and page.absolute(), title)
    process: BaseProcess = _processes.Process(target=_run, args=(what, log.absolute(), threads), daemon=True)
    process.start()
    return process


def stop(*processes: BaseProcess) -> None:
    """End processes: with a checkpoint if there is time, at once on a second Ctrl-C."""
    deadline = time.monotonic() + _PATIENCE
    try:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
    finally:
        for process in processes:
            process.kill()
            process.join(5)


def _run(what: tuple[Any, ...], log: Path, threads: int) -> None:
    """In the new process: away from the terminal, with the log as its output, stopped by SIGTERM as a cell is by a person."""
    if hasattr(os, "setsid"):
        os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # only the batch decides how a run ends
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)
    for standard in (1, 2):  # also of libraries that print as they abort
        os.dup2(descriptor, standard)
    sys.stdout = sys.stderr = open(1, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.environ.update(_own_environment(), **({"GAN_LIB_THREADS": str(threads)} if threads else {}))
    sys.path[:] = [path for path in sys.path if path not in ("", ORIGINAL_DIR)]  # not the modules in a working folder
    os.chdir(ROOT)
    try:
        from gan_lib.batch.shell import execute

        execute(*what)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGTERM)


def _end_with(server: int) -> None:
    """In a thread: stop this process when its batch is gone, or the server that it was forked from."""
    batch = multiprocessing.parent_process()
    while batch and batch.is_alive() and os.getppid() == server:
        batch.join(1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_PATIENCE)
    os.kill(os.getpid(), signal.SIGKILL)


def _own_environment() -> dict[str, str]:
    """What keeps a user's matplotlib settings away from a notebook."""
    environment = {"MPLBACKEND": "agg"}
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
    """What a process printed last, for one line of a record."""
    return last_lines(log, 1)[:300] or "nothing was printed"


def last_lines(log: Path, count: int = 12) -> str:
    """The last lines that a process printed, or "": without empty ones and terminal colours."""
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 100_000))
        text = re.sub(r"\x1b\[[0-9;]*m", "", file.read().decode(errors="replace"))
        return "\n".join([line.rstrip() for line in text.splitlines() if line.strip()][-count:])
    return ""


def relative(path: Path, start: Path = ROOT) -> str:
    """A path as seen from a folder, the repository by default. What it names is not followed: it may be a stranger's link."""
    return os.path.relpath(os.path.realpath(path.parent) / Path(path.name), start)
