"""The mistakes of published lifecycle scripts, one test for each."""

import json
import re
import subprocess
import time

from .sandbox import LIFECYCLE, LOCK, Sandbox

HOOKS = [LIFECYCLE / "on-create.sh", LIFECYCLE / "on-start.sh"]


def test_trap_1_nothing_expands_in_the_outer_shell(sandbox: Sandbox) -> None:
    """A knob with shell characters arrives as it is: neither root's shell nor the user's expands it."""
    name = "s3://bucket/$HOME`touch /tmp/x`$(id)/a b'c\"d.tar.gz"
    sandbox.knobs["PROJECT_ARCHIVE"] = name
    sandbox.create()
    assert any(f"{name}.sha256" in call for call in sandbox.arguments("aws"))


def test_trap_2_a_failing_inner_command_is_not_ignored(sandbox: Sandbox) -> None:
    """The user's shell is strict too: with the kernel's folder in the way, the hook does not end well."""
    blocked = sandbox.home / ".local"
    blocked.write_text("a file where a folder must be")
    assert sandbox.hook("on-start").returncode != 0
    for call in sandbox.arguments("sudo"):
        assert "bash -c set -euo pipefail;" in call


def test_trap_3_no_activation_is_relied_upon(sandbox: Sandbox) -> None:
    for path in LIFECYCLE.glob("*.sh"):
        code = re.sub(r"^\s*#.*$|\s#\s.*$", "", path.read_text(), flags=re.M)
        assert not re.search(r"conda activate|source activate|\.bashrc|conda\.sh", code)
    sandbox.create()
    assert not (sandbox.home / ".bashrc").exists()
    assert all(argv.split()[0] == "env" for argv in sandbox.arguments("conda")), "conda is called by its path"


def test_trap_4_repeated_runs_double_nothing(sandbox: Sandbox) -> None:
    sandbox.create()
    first = sandbox.snapshot()
    unit = (sandbox.root / "etc/systemd/system/gan-lib-auto-stop.timer").read_text()
    sandbox.create()
    sandbox.create()
    assert sandbox.snapshot() == first
    assert (sandbox.root / "etc/systemd/system/gan-lib-auto-stop.timer").read_text() == unit
    for path in LIFECYCLE.glob("*.sh"):
        for line in re.findall(r"^.*>>.*$", path.read_text(), re.M):
            assert "lock" in line or "gan-lib-upload.log" in line, f"{path.name} appends: {line}"


def test_trap_5_downloads_are_pinned_checked_and_tried_again(empty: Sandbox) -> None:
    empty.knobs["PROJECT_GIT_URL"] = "file:///nowhere"
    empty.knobs["PROJECT_GIT_COMMIT"] = "main"
    empty.create()
    assert "40 hex digits" in empty.status(), "a branch is refused"
    empty.knobs["PROJECT_GIT_URL"] = ""
    empty.knobs["PROJECT_ARCHIVE"] = "s3://bucket/a.tar.gz"
    (empty.bucket / "bucket").mkdir(parents=True)
    (empty.bucket / "bucket/a.tar.gz").write_bytes(b"cut off")
    (empty.bucket / "bucket/a.tar.gz.sha256").write_text("0" * 64 + "  a.tar.gz\n")
    empty.stop()
    empty.forget_calls()
    empty.on("aws", "fail_times 2")
    empty.start()
    assert len(empty.arguments("aws")) == 4, "two failures, the checksum, the archive"
    assert "wrong checksum" in empty.status()
    assert not empty.project.exists()


def test_trap_6_the_kernel_is_there_after_every_start(sandbox: Sandbox) -> None:
    sandbox.create()
    for _ in range(2):
        sandbox.stop()
        assert not sandbox.kernel_file.exists()
        sandbox.start()
        assert sandbox.ready()


def test_trap_7_on_start_never_fails_for_an_unfinished_build(sandbox: Sandbox) -> None:
    sandbox.on("conda", 'mkdir -p "$5"; power_cut')
    sandbox.hook("on-create")
    assert sandbox.hook("on-start").returncode == 0
    sandbox.wait()
    sandbox.stop()
    assert sandbox.hook("on-start").returncode == 0
    sandbox.wait()
    sandbox.stop()
    sandbox.heal()
    sandbox.start()
    assert sandbox.ready()
    (sandbox.project / "requirements.lock").write_text(LOCK + "zipp==3.23.0\n")
    sandbox.stop()
    sandbox.start()
    assert "zipp" in (sandbox.env / "requirements.txt").read_text(), "outdated: the lock's hash is part of the stamp"


def test_trap_8_a_papermill_run_without_a_session_is_not_stopped(sandbox: Sandbox) -> None:
    sandbox.start()
    (sandbox.control / "api-kernels").write_text("[]")
    (sandbox.control / "api-terminals").write_text("[]")
    sandbox.on("ps", "echo '?  python  python -m papermill in.ipynb out.ipynb'")
    for uptime in [3600, 3600 + 3 * 3600]:
        sandbox.uptime(uptime)
        subprocess.run([str(sandbox.root / "usr/local/sbin/gan-lib-auto-stop")], check=True)
    assert sandbox.arguments("aws") == []
    sandbox.uptime(12 * 3600)
    subprocess.run([str(sandbox.root / "usr/local/sbin/gan-lib-auto-stop")], check=True)
    assert len(sandbox.arguments("aws")) == 1, "the cap holds all the same"


def test_trap_9_every_line_that_runs_is_one_that_shellcheck_reads(sandbox: Sandbox) -> None:
    """No heredocs; the timer's program and the user's shell consist of the hook's own functions."""
    sandbox.start()
    program = (sandbox.root / "usr/local/sbin/gan-lib-auto-stop").read_text()
    source = (LIFECYCLE / "on-start.sh").read_text()
    defined = set(re.findall(r"^(\w+) ?\(\)", program, re.M))
    assert defined == set(re.findall(r"^(\w+)\(\) \{", source, re.M))
    outside = re.sub(r"^\w+ \(\) ?\n\{.*?^\}", "", program, flags=re.M | re.S)
    lines = [line for line in outside.splitlines() if line.strip() and not line.startswith("declare ")]
    expected = ["#!/bin/bash", "set -euo pipefail", f"PATH+=:{sandbox.home}/anaconda3/bin", "auto_stop"]
    assert lines == expected


def test_trap_10_the_kernel_carries_its_environment(sandbox: Sandbox) -> None:
    """The Julia samples' trap in Python's terms: nothing that activation would set may be missing."""
    sandbox.create()
    environment = json.loads(sandbox.kernel_file.read_text())["env"]
    assert environment["CONDA_PREFIX"] == str(sandbox.env)
    assert environment["PATH"].split(":")[0] == f"{sandbox.env}/bin"
    assert environment["PATH"].split(":")[1:] == ["/usr/local/bin", "/usr/bin", "/bin"], "the system's folders stay"


def test_limit_five_minutes(sandbox: Sandbox) -> None:
    sandbox.on("conda", "/bin/sleep 600")
    started = time.monotonic()
    for name in ["on-create", "on-start"]:
        assert sandbox.hook(name).returncode == 0
    assert time.monotonic() - started < 10


def test_limit_only_the_volume_survives(sandbox: Sandbox) -> None:
    """Nothing that a later start needs lies outside of the volume."""
    sandbox.create()
    sandbox.stop()
    assert [entry.name for entry in sandbox.home.iterdir() if entry.name != "anaconda3"] == ["SageMaker"]
    sandbox.forget_calls()
    sandbox.start()
    assert sandbox.ready()
    assert sandbox.arguments("conda") == []


def test_limit_no_crontab_and_no_yum() -> None:
    for path in HOOKS:
        assert not re.search(r"crontab|\byum\b", path.read_text())
