"""Why a process was killed, as far as the system tells."""

import contextlib
import os
import re
import signal
from pathlib import Path

_CONTROL_GROUPS, _OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def oom_kills() -> int | None:
    """How many processes of this control group were killed so far because memory ran out; None where nobody counts."""
    with contextlib.suppress(OSError):
        for line in _OWN_GROUPS.read_text(encoding="utf-8").splitlines():  # "0::/a" in version 2, "4:memory:/a" in version 1
            _, controllers, group = line.split(":", 2)
            if controllers in ("", "memory"):
                name = "memory.oom_control" if controllers else "memory.events"
                for folder in (group.lstrip("/"), ""):  # a container sees its own group as the root
                    with contextlib.suppress(OSError):
                        text = (_CONTROL_GROUPS / controllers / folder / name).read_text(encoding="utf-8")
                        if match := re.search(r"^oom_kill (\d+)$", text, re.MULTILINE):
                            return int(match[1])
    return None


def describe(signal_number: int, pid: int | None, oom_kills_before: int | None) -> str:
    """How a process ended that a signal killed: "killed by SIGKILL, out of memory: …" where the system reports it.

    pid: of the process, where it is known. oom_kills_before: what `oom_kills` returned when it was started.
    """
    try:
        name = signal.Signals(signal_number).name
    except ValueError:
        name = f"signal {signal_number}"
    if signal_number != signal.SIGKILL:
        return f"killed by {name}"
    if oom_kills_before is not None and (oom_kills() or 0) > oom_kills_before:
        return f"killed by {name}, out of memory: the limit of its control group was reached"
    if pid and _in_kernel_log(pid):
        return f"killed by {name}, out of memory: the kernel log says so"
    return f"killed by {name}, by whom is not known; the system does not say that memory ran out"


def _in_kernel_log(pid: int) -> bool:
    """Whether the kernel's log, where we may read it, reports that it killed this process because memory ran out."""
    killed = re.compile(rf"(Out of memory|Memory cgroup out of memory).* Killed process {pid} ".encode())
    with contextlib.suppress(OSError):  # EPIPE: the log was written faster than we read
        log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        with open(log, "rb", buffering=0) as file:  # noqa: PTH123, it has a descriptor and no path
            while line := file.read(8192):  # None: that was all
                if killed.search(line):
                    return True
    return False
