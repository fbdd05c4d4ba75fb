"""One notebook, executed by papermill, in a process that ends with whoever started it.

    python -m gan_lib.batch.notebook_process '{"notebook": ..., "output": ..., "cwd": ..., "parameters": {...}, "lock": ...}'

The kernel is started at once, and loads what notebooks import; the notebook itself waits for a line on standard input. That is
the lifeline too: when it closes, however its owner died, the kernel is asked to stop. SIGTERM asks the same. A run that is
training saves a checkpoint and ends; a second SIGTERM, or no end within seconds, and the kernel is killed.
Exit codes: 0 executed, 1 a cell failed, 128 + N the kernel was killed by signal N, 143 stopped on request.
"""

import asyncio
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
from pathlib import Path
from subprocess import Popen
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from gan_lib.runs.locks import holder

if TYPE_CHECKING:
    from jupyter_client.manager import AsyncKernelManager

_PATIENCE = 10.0  # seconds between the first request to stop and the kernel's end
STOPPED = 128 + signal.SIGTERM
_WARM_UP = "from gan_lib.batch.notebook_process import warm_up; warm_up(); del warm_up"


def warm_up() -> None:
    """In a kernel, before its notebook: import what notebooks need, and take matplotlib's own settings."""
    import matplotlib

    import gan_lib.reporting.quality_figures
    import gan_lib.runs.experiment  # noqa: F401

    matplotlib.rcdefaults()


class _Stopping:
    """What a request to stop does, and the kernel that it does it to."""

    def __init__(self, lock: Path | None) -> None:
        self.kernel: Popen[bytes] | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="gan-lib-"))  # the kernel's profile and connection file
        self.executing = self.requested = False
        self.go = threading.Event()
        self._lock = lock

    def request(self, number: int = 0, frame: FrameType | None = None) -> None:
        """A signal handler. First an interrupt for a kernel that holds its run's lock, and so has something to save."""
        again, self.requested = self.requested, True
        if not self.kernel or not self.executing:
            self.leave(STOPPED)
        if again or self._lock is None or holder(self._lock) != self.kernel.pid:
            self.kernel.kill()
            return
        self.kernel.send_signal(signal.SIGINT)
        timer = threading.Timer(_PATIENCE, self.kernel.kill)
        timer.daemon = True
        timer.start()

    def listen(self) -> None:
        """Wait, in a thread, for the owner's line on standard input, and then for its end to close."""
        if sys.stdin.buffer.readline():
            self.go.set()
            sys.stdin.buffer.read()
        os.kill(os.getpid(), signal.SIGTERM)

    def leave(self, code: int) -> NoReturn:
        """End at once: whatever still runs, a thread of papermill's or the kernel, has nothing to add."""
        if self.kernel:
            self.kernel.kill()
            self.kernel.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        sys.stdout.flush()
        os._exit(code)


def main() -> NoReturn:
    """Execute the notebook that the first argument describes."""
    job: dict[str, Any] = json.loads(sys.argv[1])
    stopping = _Stopping(Path(job["lock"]) if job["lock"] else None)
    signal.signal(signal.SIGTERM, stopping.request)
    threading.Thread(target=stopping.listen, daemon=True).start()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    code = 0
    try:
        _execute(job, stopping)
    except Exception as error:
        code = _what_happened(error, stopping.kernel)
    stopping.leave(STOPPED if stopping.requested else code)


def _what_happened(error: Exception, kernel: "Popen[bytes] | None") -> int:
    """Print why a notebook was not executed to its end, unless the kernel's own last line says it; returns the exit code."""
    from nbclient.exceptions import DeadKernelError

    if kernel and (isinstance(error, DeadKernelError) or kernel.poll() is not None):
        code = kernel.wait(10)
        if code < 0:
            return 128 - code
        print(f"the kernel ended by itself, with exit code {code}{_last_words()}", flush=True)
    else:
        print(f"{type(error).__name__}: {error}", flush=True)
    return 1


def _last_words() -> str:
    """What a kernel said last: it writes into the same file as this process."""
    from gan_lib.batch.notebooks import last_lines

    said = last_lines(Path(f"/proc/self/fd/{sys.stdout.fileno()}"), 1)
    return f": {said}" if said else ""


def _execute(job: dict[str, Any], stopping: _Stopping) -> None:
    kernels = _start_kernel(job["cwd"], stopping.folder)
    stopping.kernel = kernels.provisioner.process  # type: ignore[union-attr]
    import papermill

    stopping.go.wait()
    stopping.executing = True
    try:
        papermill.execute_notebook(
            *(path.replace("{", "{{").replace("}", "}}") for path in (job["notebook"], job["output"])),  # papermill fills in {}
            parameters=job["parameters"],
            kernel_name="python3",
            cwd=job["cwd"],
            progress_bar=False,
            log_output=True,
            km=kernels,
        )
    finally:
        stopping.executing = False


def _start_kernel(cwd: str, folder: Path) -> "AsyncKernelManager":
    """A kernel of this Python, whatever others are installed under the name python3, with a profile of its own."""
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    os.environ["IPYTHONDIR"] = str(folder)
    # What a library prints as it aborts is to reach the log, and not a pipe that dies with the kernel.
    settings = {
        "HistoryManager.enabled": False,
        "IPKernelApp.capture_fd_output": False,
        "IPKernelApp.exec_lines": _WARM_UP,
        "IPKernelApp.exec_PYTHONSTARTUP": False,
    }
    arguments = ["-f", "{connection_file}", *(f"--{name}={value}" for name, value in settings.items())]

    class Kernels(AsyncKernelManager):
        kernel_spec = KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", *arguments], display_name="Python 3", language="python"
        )

    kernels = Kernels(kernel_name="python3", connection_file=str(folder / "kernel.json"))
    if os.name == "posix":  # no port that another program could take first, or listen on
        kernels.transport, kernels.ip = "ipc", str(folder / "kernel")

    async def start() -> None:
        await kernels.start_kernel(cwd=cwd)

    asyncio.run(start())
    return kernels


if __name__ == "__main__":
    main()
