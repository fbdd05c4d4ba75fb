"""One notebook, executed by papermill, in a process that ends with whoever started it.

    python -m gan_lib.batch.notebook_process '{"notebook": ..., "output": ..., "cwd": ..., "parameters": {...}, "lock": ...}'

Its standard input is its lifeline: when that closes, however its owner died, the kernel is asked to stop. SIGTERM asks the
same. A run that is training saves a checkpoint and ends; a second SIGTERM, or no end within seconds, and the kernel is
killed. Exit codes: 0 executed, 1 a cell failed, 128 + N the kernel was killed by signal N, 143 stopped on request.
"""

import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from subprocess import Popen
from types import FrameType
from typing import Any

from gan_lib.runs.locks import holder

_PATIENCE = 10.0  # seconds between the first request to stop and the kernel's end
STOPPED = 128 + signal.SIGTERM


class _Stopping:
    """What a request to stop does, and the kernel that it does it to."""

    def __init__(self, lock: Path | None) -> None:
        self.kernel: Popen[bytes] | None = None
        self.requested = False
        self._lock = lock

    def request(self, number: int = 0, frame: FrameType | None = None) -> None:
        """A signal handler. First an interrupt for a kernel that holds its run's lock, and so has something to save."""
        again, self.requested = self.requested, True
        if self.kernel is None:
            os._exit(STOPPED)  # papermill is being imported, or its kernel started
        if again or self._lock is None or holder(self._lock) != self.kernel.pid:
            self.kernel.kill()
            return
        self.kernel.send_signal(signal.SIGINT)
        timer = threading.Timer(_PATIENCE, self.kernel.kill)
        timer.daemon = True
        timer.start()

    def when_orphaned(self) -> None:
        """Wait, in a thread, for the owner's end of standard input to close."""
        sys.stdin.buffer.read()
        os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    """Execute the notebook that the first argument describes; returns the exit code."""
    job: dict[str, Any] = json.loads(sys.argv[1])
    stopping = _Stopping(Path(job["lock"]) if job["lock"] else None)
    signal.signal(signal.SIGTERM, stopping.request)
    threading.Thread(target=stopping.when_orphaned, daemon=True).start()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        _execute(job, stopping)
    except Exception as error:
        if stopping.requested:
            return STOPPED
        return _what_happened(error, stopping.kernel)
    return STOPPED if stopping.requested else 0


def _what_happened(error: Exception, kernel: "Popen[bytes] | None") -> int:
    """Print why a notebook was not executed to its end; returns the exit code."""
    from nbclient.exceptions import DeadKernelError

    if isinstance(error, DeadKernelError) and kernel and (code := kernel.wait(10)) is not None:
        if code < 0:
            return 128 - code
        print(f"the kernel ended by itself, with exit code {code}", flush=True)
    else:
        print(f"{type(error).__name__}: {error}", flush=True)
    return 1


def _execute(job: dict[str, Any], stopping: _Stopping) -> None:
    import papermill
    from jupyter_client.manager import AsyncKernelManager

    class Kernels(AsyncKernelManager):
        """Papermill's way to a kernel; the process is kept, since how it ended is known to nobody else."""

        async def start_kernel(self, **options: Any) -> None:  # type: ignore[override]
            await super().start_kernel(**options)
            stopping.kernel = getattr(self.provisioner, "process", None)

    papermill.execute_notebook(
        *(path.replace("{", "{{").replace("}", "}}") for path in (job["notebook"], job["output"])),  # papermill fills in {}
        parameters=job["parameters"],
        kernel_name="python3",
        cwd=job["cwd"],
        progress_bar=False,
        log_output=True,
        kernel_manager_class=Kernels,
    )


if __name__ == "__main__":
    # At once: whatever still runs, a thread of papermill's or a kernel's, has nothing to add.
    code = main()
    sys.stdout.flush()
    os._exit(code)
