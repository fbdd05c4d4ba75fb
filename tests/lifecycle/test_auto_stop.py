"""The auto-stop: every signal that keeps an instance, and every way to its end."""

import contextlib
import fcntl
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gan_lib.presets import configure
from gan_lib.runs.record import RunFolder

from .sandbox import Sandbox

IDLE = 60 * 60
STOP = "sagemaker stop-notebook-instance --notebook-instance-name gan-lib-gpu --region eu-west-1"


@pytest.fixture
def armed(sandbox: Sandbox) -> Sandbox:
    """Set up, started an hour ago, and with nothing at work: JupyterLab answers, no kernel, no terminal."""
    sandbox.start()
    jupyter(sandbox, [])
    sandbox.uptime(IDLE)
    return sandbox


def jupyter(instance: Sandbox, kernels: list[dict[str, object]], terminals: list[dict[str, object]] | None = None) -> None:
    (instance.control / "api-kernels").write_text(json.dumps(kernels))
    (instance.control / "api-terminals").write_text(json.dumps(terminals or []))


def ago(**delta: int) -> str:
    return (datetime.now(UTC) - timedelta(**delta)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def check(instance: Sandbox) -> str:
    """One run of the timer's program; returns what it wrote for the user."""
    command = [str(instance.root / "usr/local/sbin/gan-lib-auto-stop")]
    done = subprocess.run(command, env={"PATH": "/usr/bin"}, cwd="/", capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return (instance.volume / "gan-lib-auto-stop.txt").read_text()


def stops(instance: Sandbox) -> bool:
    """Whether the instance is stopped when everything stays as it is for more than the idle time."""
    uptime = int(float((instance.root / "proc/uptime").read_text().split()[0]))
    for minutes in range(0, 66, 15):
        instance.uptime(uptime + minutes * 60)
        check(instance)
        if STOP in instance.arguments("aws"):
            assert minutes >= 60, "stopped too early"
            return True
    return False


LOCKS = [
    ".gan-lib/setup.lock",
    ".gan-lib/batch.lock",
    "SageMaker/gan-lib/results/runs/gan-cpu/seed-0/run.lock",
    "SageMaker/gan-lib/results/runs/gan-cpu/seed-0/batch.lock",
]


@contextlib.contextmanager
def held(lock: Path) -> Iterator[None]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_a_lock_whose_process_is_gone_does_not(armed: Sandbox) -> None:
    """Whatever the file says: the number in it may belong to another process by now, here to this one."""
    lock = armed.project / "results/runs/gan-cpu/seed-0/run.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
    assert stops(armed)


def test_the_servers_own_file_names_its_address_and_token(armed: Sandbox) -> None:
    runtime = armed.home / ".local/share/jupyter/runtime"
    runtime.mkdir(parents=True)
    (runtime / "jpserver-77.json").write_text('{\n "token": "t0ken",\n "url": "https://localhost:9999/base/"\n}')
    armed.on("curl", 'cat >"$root/config"; cat "$root/control/api-${all##*/}"; exit 0')
    check(armed)
    assert any(call.endswith(" https://localhost:9999/base/api/kernels") for call in armed.arguments("curl"))
    assert (armed.root / "config").read_text() == 'header = "Authorization: token t0ken"\n'
    assert not any("t0ken" in call for call in armed.arguments("curl")), "a command line can be read by others"


def test_work_in_between_starts_the_idle_time_anew(armed: Sandbox) -> None:
    for minutes, load in [(0, "0.00"), (55, "0.00"), (58, "0.90"), (62, "0.00"), (117, "0.00")]:
        armed.uptime(IDLE + minutes * 60)
        armed.load(f"0.00 {load} 0.00")
        check(armed)
    assert STOP not in armed.arguments("aws")
    armed.uptime(IDLE + 122 * 60)
    check(armed)
    assert STOP in armed.arguments("aws")


def test_the_cap_stops_it_whatever_runs(armed: Sandbox) -> None:
    with held(armed.home / LOCKS[-1]):
        armed.uptime(12 * 3600 - 1)
        assert "is held" in check(armed)
        assert STOP not in armed.arguments("aws")
        armed.uptime(12 * 3600)
        assert "stopping, the cap of 12 hours is reached" in check(armed)
    assert armed.arguments("aws") == [STOP]


def test_the_timer_is_armed_and_the_program_belongs_to_root(armed: Sandbox) -> None:
    assert "enable --now gan-lib-auto-stop.timer" in armed.arguments("systemctl")
    service = (armed.root / "etc/systemd/system/gan-lib-auto-stop.service").read_text()
    program = armed.root / "usr/local/sbin/gan-lib-auto-stop"
    assert "User=ec2-user\n" in service
    assert f"ExecStart={program}\n" in service
    assert "OnCalendar=*:0/5\n" in (armed.root / "etc/systemd/system/gan-lib-auto-stop.timer").read_text()
    assert program.stat().st_mode & 0o777 == 0o755


def test_a_lock_that_is_held_keeps_it(armed: Sandbox) -> None:
    for name in LOCKS:
        with held(armed.home / name):
            assert f"{name} is held" in check(armed)
    folder = RunFolder(armed.project / "results/runs/gan-cpu/seed-0")
    folder.create(configure("gan-cpu"))
    assert "run.lock is held" in check(armed)
    folder.release()
    assert "idle" in check(armed)


PAUSING_GPU = 'echo x >>"$root/looks"; if (( $(wc -l <"$root/looks") % 3 )); then echo 0; else echo 90; fi; exit 0'
BUSY = [
    ("ps", "echo '?  python  /home/ec2-user/envs/gan-lib/bin/python -m papermill in.ipynb out.ipynb'", "a batch runs"),
    ("ps", "echo '?  papermill  /usr/bin/python /usr/bin/papermill in.ipynb out.ipynb'", "a batch runs"),
    ("ps", "echo '?  jupyter-nbconve jupyter-nbconvert --execute report.ipynb'", "a batch runs"),
    ("ps", "echo '?  gan-lib  /home/ec2-user/envs/gan-lib/bin/python bin/gan-lib run gan-cpu'", "a batch runs"),
    ("ps", "echo '?  python  python -m gan_lib run gan-cpu'", "a batch runs"),
    ("ps", "echo 'pts/0  bash  bash -l'\necho 'pts/0  rsync  rsync -a here there'", "a terminal runs rsync"),
    ("nvidia-smi", "printf '0\\n37\\n'; exit 0", "the GPU is at 37 %"),
    ("nvidia-smi", PAUSING_GPU, "the GPU is at 90 %"),
    ("curl", "exit 7", "JupyterLab does not answer"),
]


@pytest.mark.parametrize(("program", "lines", "reason"), BUSY)
def test_what_a_program_reports_keeps_it(armed: Sandbox, program: str, lines: str, reason: str) -> None:
    armed.on(program, lines)
    assert reason in check(armed)
    armed.uptime(IDLE + 3600)
    assert reason in check(armed)
    assert STOP not in armed.arguments("aws")


def test_use_of_jupyterlab_keeps_it(armed: Sandbox) -> None:
    old, new = {"last_activity": ago(hours=2)}, {"last_activity": ago(minutes=4)}
    idle, busy = {"execution_state": "idle"}, {"execution_state": "busy"}
    for kernels, terminals, reason in (
        ([{**idle, **old}, {**busy, **old}], [], "a kernel is busy"),
        ([{**idle, **new}], [], "JupyterLab is used"),
        ([], [new], "JupyterLab is used"),
    ):
        jupyter(armed, kernels, terminals)
        assert reason in check(armed)


def test_with_idle_kernels_an_idle_gpu_and_quiet_processors_it_stops(armed: Sandbox) -> None:
    armed.on("ps", "echo '?  jupyter-lab /usr/bin/python /usr/bin/jupyter-lab'", "echo 'pts/0  bash  bash -l'",
             "echo '?  python /home/ec2-user/envs/gan-lib/bin/python -m ipykernel_launcher -f k.json'")  # fmt: skip
    armed.on("nvidia-smi", "echo 0; exit 0")
    jupyter(armed, [{"execution_state": "idle", "last_activity": ago(hours=2)}], [{"last_activity": ago(hours=2)}])
    armed.load("0.10 0.99 0.80")  # anything under nohup that no other signal knows
    assert not stops(armed)
    armed.load("0.90 0.09 0.80")  # a moment's work
    assert stops(armed)
    assert "stopping, idle for 60 minutes" in (armed.volume / "gan-lib-auto-stop.txt").read_text()


@pytest.mark.parametrize("trouble", ["no project", "full disk"])
def test_trouble_does_not_keep_it(empty: Sandbox, trouble: str) -> None:
    empty.start()
    empty.uptime(IDLE)
    if trouble == "full disk":
        empty.make_project(empty.project)
        jupyter(empty, [])
        (empty.volume / "gan-lib-auto-stop.txt.new").symlink_to("/dev/full")
        (empty.volume / "gan-lib-auto-stop.txt").write_text("")
    assert stops(empty)


def test_neither_a_hanging_script_nor_a_failed_call_lifts_the_cap(armed: Sandbox) -> None:
    (armed.project / "lifecycle/busy.sh").write_text("sleep infinity\n")
    armed.uptime(12 * 3600)
    armed.on("aws", "fail_times 1")
    assert subprocess.run([armed.root / "usr/local/sbin/gan-lib-auto-stop"], capture_output=True).returncode != 0
    check(armed)
    assert armed.arguments("aws") == [STOP, STOP]


@pytest.mark.parametrize(("idle", "hours", "cap"), [("0", "3", 3), ("60", "0", 12), ("60", "many", 12), ("x", "-1", 12)])
def test_the_knobs_reach_it_and_nonsense_never_means_no_end(sandbox: Sandbox, idle: str, hours: str, cap: int) -> None:
    sandbox.knobs.update(IDLE_MINUTES=idle, MAX_HOURS=hours)
    sandbox.start()
    jupyter(sandbox, [])
    assert stops(sandbox) is (idle != "0"), "0 minutes: never for being idle"
    before = len(sandbox.arguments("aws"))
    sandbox.uptime(cap * 3600)
    check(sandbox)
    assert sandbox.arguments("aws")[before:] == [STOP]
