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


def test_with_nothing_at_work_it_stops_after_the_idle_time(armed: Sandbox) -> None:
    assert stops(armed)
    assert "stopping, idle for 60 minutes" in (armed.volume / "gan-lib-auto-stop.txt").read_text()


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


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_that_is_held_keeps_it(armed: Sandbox, name: str) -> None:
    with held(armed.home / name):
        assert not stops(armed)
        assert f"{name} is held" in check(armed)


def test_the_lock_of_a_run_is_one_of_them(armed: Sandbox) -> None:
    folder = RunFolder(armed.project / "results/runs/gan-cpu/seed-0")
    folder.create(configure("gan-cpu"))
    assert "run.lock is held" in check(armed)
    folder.release()
    assert "idle" in check(armed)


def test_a_lock_whose_process_is_gone_does_not(armed: Sandbox) -> None:
    """Whatever the file says: the number in it may belong to another process by now, here to this one."""
    lock = armed.project / "results/runs/gan-cpu/seed-0/run.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
    assert stops(armed)


BATCHES = [
    "?        python          /home/ec2-user/SageMaker/envs/gan-lib/bin/python -m papermill in.ipynb out.ipynb",
    "?        papermill       /home/ec2-user/anaconda3/bin/python /usr/bin/papermill in.ipynb out.ipynb",
    "?        jupyter-nbconve jupyter-nbconvert --execute report.ipynb",
    "?        gan-lib         /home/ec2-user/SageMaker/envs/gan-lib/bin/python bin/gan-lib run gan-cpu",
    "?        python          python -m gan_lib run gan-cpu",
]


@pytest.mark.parametrize("line", BATCHES)
def test_a_batch_outside_of_jupyter_keeps_it(armed: Sandbox, line: str) -> None:
    armed.on("ps", f"echo '{line}'")
    assert not stops(armed)
    assert "a batch runs" in check(armed)


def test_jupyterlab_and_idle_kernels_alone_do_not(armed: Sandbox) -> None:
    armed.on("ps", "echo '?  jupyter-lab /home/ec2-user/anaconda3/bin/python /home/ec2-user/anaconda3/bin/jupyter-lab'",
             "echo '?  python /home/ec2-user/SageMaker/envs/gan-lib/bin/python -m ipykernel_launcher -f k.json'",
             "echo 'pts/0  bash  bash -l'")  # fmt: skip
    jupyter(armed, [{"execution_state": "idle", "last_activity": ago(hours=2)}], [{"last_activity": ago(hours=2)}])
    assert stops(armed)


def test_a_busy_kernel_keeps_it(armed: Sandbox) -> None:
    jupyter(armed, [{"execution_state": "idle", "last_activity": ago(hours=2)},
                    {"execution_state": "busy", "last_activity": ago(hours=2)}])  # fmt: skip
    assert not stops(armed)
    assert "a kernel is busy" in check(armed)


def test_a_kernel_or_terminal_used_between_two_checks_keeps_it(armed: Sandbox) -> None:
    for kernels, terminals in ([{"execution_state": "idle"}], []), ([], [{"name": "1"}]):
        jupyter(armed, [{**kernel, "last_activity": ago(minutes=4)} for kernel in kernels],
                [{**terminal, "last_activity": ago(minutes=4)} for terminal in terminals])  # fmt: skip
        assert "JupyterLab is used" in check(armed)


def test_a_program_in_a_terminal_keeps_it(armed: Sandbox) -> None:
    armed.on("ps", "echo 'pts/0  bash  bash -l'", "echo 'pts/0  rsync  rsync -a here there'")
    assert not stops(armed)
    assert "a terminal runs rsync" in check(armed)


def test_gpu_use_keeps_it(armed: Sandbox) -> None:
    armed.on("nvidia-smi", "printf '0\\n37\\n'; exit 0")
    assert not stops(armed)
    assert "the GPU is at 37 %" in check(armed)


def test_a_gpu_that_pauses_is_looked_at_again(armed: Sandbox) -> None:
    armed.on(
        "nvidia-smi",
        'echo x >>"$root/looks"; if (( $(wc -l <"$root/looks") % 3 )); then echo 0; else echo 90; fi; exit 0',
    )
    assert "the GPU is at 90 %" in check(armed)


def test_an_idle_gpu_does_not(armed: Sandbox) -> None:
    armed.on("nvidia-smi", "echo 0; exit 0")
    assert stops(armed)


def test_busy_processors_keep_it(armed: Sandbox) -> None:
    """Anything under nohup that no other signal knows."""
    armed.load("0.10 0.99 0.80")
    assert not stops(armed)
    armed.load("0.90 0.09 0.80")  # a moment's work
    assert stops(armed)


def test_a_jupyterlab_that_does_not_answer_keeps_it(armed: Sandbox) -> None:
    armed.on("curl", "exit 7")
    assert not stops(armed)
    assert "JupyterLab does not answer" in check(armed)


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


def test_without_a_project_the_time_alone_counts(empty: Sandbox) -> None:
    empty.start()
    empty.uptime(IDLE)
    assert stops(empty)


def test_a_project_whose_script_hangs_does_not_lift_the_cap(armed: Sandbox) -> None:
    (armed.project / "lifecycle/busy.sh").write_text("sleep infinity\n")
    armed.uptime(12 * 3600)
    check(armed)
    assert armed.arguments("aws") == [STOP]


def test_the_knobs_reach_it(sandbox: Sandbox) -> None:
    sandbox.knobs.update(IDLE_MINUTES="0", MAX_HOURS="3")
    sandbox.start()
    jupyter(sandbox, [])
    assert not stops(sandbox), "0 minutes: never for being idle"
    sandbox.uptime(3 * 3600)
    check(sandbox)
    assert sandbox.arguments("aws") == [STOP]


@pytest.mark.parametrize("knobs", [{"MAX_HOURS": "0"}, {"MAX_HOURS": "many"}, {"MAX_HOURS": "-1", "IDLE_MINUTES": "x"}])
def test_a_knob_that_makes_no_sense_never_means_no_end(sandbox: Sandbox, knobs: dict[str, str]) -> None:
    sandbox.knobs.update(knobs)
    sandbox.start()
    jupyter(sandbox, [])
    sandbox.uptime(12 * 3600)
    check(sandbox)
    assert sandbox.arguments("aws") == [STOP]


def test_a_stop_that_fails_is_an_error_and_tried_again(armed: Sandbox) -> None:
    armed.uptime(12 * 3600)
    armed.on("aws", "fail_times 1")
    program = str(armed.root / "usr/local/sbin/gan-lib-auto-stop")
    assert subprocess.run([program], capture_output=True).returncode != 0
    check(armed)
    assert len(armed.arguments("aws")) == 2


def test_a_full_disk_does_not_keep_it(armed: Sandbox) -> None:
    (armed.volume / "gan-lib-auto-stop.txt.new").symlink_to("/dev/full")
    (armed.volume / "gan-lib-auto-stop.txt").write_text("")
    assert stops(armed)


def test_the_timer_is_armed_and_the_program_belongs_to_root(armed: Sandbox) -> None:
    assert "enable --now gan-lib-auto-stop.timer" in armed.arguments("systemctl")
    service = (armed.root / "etc/systemd/system/gan-lib-auto-stop.service").read_text()
    program = armed.root / "usr/local/sbin/gan-lib-auto-stop"
    assert "User=ec2-user\n" in service
    assert f"ExecStart={program}\n" in service
    assert "OnCalendar=*:0/5\n" in (armed.root / "etc/systemd/system/gan-lib-auto-stop.timer").read_text()
    assert program.stat().st_mode & 0o777 == 0o755
