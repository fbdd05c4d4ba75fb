"""Why a process was killed, as far as the system tells."""

import os
import re
import signal
from pathlib import Path

_CONTROL_GROUPS, _OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def oom_kills() -> int | None:
    """How many processes of this one's control group were killed for want of memory so far; None where nobody counts."""
    for path, name in _counters():
        try:
            match = re.search(rf"^{name} (\d+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        except OSError:
            continue
        if match:
            return int(match[1])
    return None


def describe(signal_number: int, pid: int | None, oom_kills_before: int | None) -> str:
    """How a process ended that a signal killed: "killed by SIGKILL, out of memory: …" where the system says so.

    pid: of the process, where it is known. oom_kills_before: what `oom_kills` said when it was started.
    """
    try:
        name = signal.Signals(signal_number).name
    except ValueError:
        name = f"signal {signal_number}"
    if signal_number == signal.SIGKILL:
        after = oom_kills()
        if after is not None and oom_kills_before is not None and after > oom_kills_before:
            return f"killed by {name}, out of memory: the limit of its control group was reached"
        if pid and _in_kernel_log(pid):
            return f"killed by {name}, out of memory: the kernel log says so"
        return f"killed by {name}, by whom is not known; the system does not say that memory ran out"
    return f"killed by {name}"


def _counters() -> list[tuple[Path, str]]:
    """Where the system may count, for control groups of version 2 and 1; a container sees its own group as the root."""
    found = []
    try:
        lines = _OWN_GROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers == "memory":
            root, name = _CONTROL_GROUPS / "memory", "memory.oom_control"
        elif not controllers:
            root, name = _CONTROL_GROUPS, "memory.events"
        else:
            continue
        found += [(root / group.lstrip("/") / name, "oom_kill"), (root / name, "oom_kill")]
    return found


def _in_kernel_log(pid: int) -> bool:
    """Whether the kernel's log, where we may read it, says that it killed this process for want of memory."""
    try:
        log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        while True:
            line = os.read(log, 8192).decode(errors="replace")
            if re.search(rf"(Out of memory|Memory cgroup out of memory).* Killed process {pid} ", line):
                return True
    except OSError:  # BlockingIOError: that was all; EPIPE: it went on while we read
        return False
    finally:
        os.close(log)
