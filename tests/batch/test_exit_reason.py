"""Why a process was killed, as far as the system tells."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gan_lib.batch import exit_reason

GREEDY = "import time; time.sleep(0.2); hoard = [bytearray(2**20) for _ in range(400)]"


def test_a_signal_is_named() -> None:
    assert exit_reason.describe(signal.SIGSEGV, None, None) == "killed by SIGSEGV"
    assert exit_reason.describe(99, None, None) == "killed by signal 99"


def test_without_evidence_nobody_is_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exit_reason, "oom_kills", lambda: 3)
    monkeypatch.setattr(exit_reason, "_in_kernel_log", lambda pid: False)
    said = exit_reason.describe(signal.SIGKILL, 1234, 3)
    assert said == "killed by SIGKILL, by whom is not known; the system does not say that memory ran out"


def test_a_counter_that_moved_is_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exit_reason, "oom_kills", lambda: 4)
    assert "out of memory: the limit of its control group" in exit_reason.describe(signal.SIGKILL, None, 3)


@pytest.mark.parametrize(
    ("groups", "file", "content"),
    [
        ("0::/a/b\n", "a/b/memory.events", "low 0\nmax 7\noom 2\noom_kill 5\noom_group_kill 0\n"),
        ("0::/a/b\n", "memory.events", "oom_kill 5\n"),  # a container's root is its own group
        ("4:memory:/c\n0::/\n", "memory/c/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"),
    ],
)
def test_both_versions_of_control_groups_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: str, file: str, content: str
) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(content)
    (tmp_path / "own").write_text(groups)
    monkeypatch.setattr(exit_reason, "_CONTROL_GROUPS", tmp_path)
    monkeypatch.setattr(exit_reason, "_OWN_GROUPS", tmp_path / "own")
    assert exit_reason.oom_kills() == 5
    (tmp_path / file).unlink()
    assert exit_reason.oom_kills() is None
    (tmp_path / "own").unlink()
    assert exit_reason.oom_kills() is None


def test_a_process_that_hits_a_memory_limit_leaves_evidence() -> None:
    group = Path("/sys/fs/cgroup/memory/gan-lib-test")
    try:
        group.mkdir()
    except OSError:
        pytest.skip("needs the right to make a control group of version 1")
    try:
        (group / "memory.limit_in_bytes").write_text(str(100 * 2**20))
        process = subprocess.Popen([sys.executable, "-c", GREEDY])
        (group / "cgroup.procs").write_text(str(process.pid))
        code = process.wait()
    finally:
        group.rmdir()
    assert code == -signal.SIGKILL
    # Its group is not ours, so our counter stands still; the kernel's log names the process.
    said = exit_reason.describe(-code, process.pid, exit_reason.oom_kills())
    assert said == "killed by SIGKILL, out of memory: the kernel log says so"
