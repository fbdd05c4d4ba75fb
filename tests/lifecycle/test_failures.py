"""What goes wrong leaves a running instance, a message, and heals at the next start."""

import subprocess
import time

import pytest

from .sandbox import LOCK, Sandbox

# what is running when the power goes, by step of the build
STEPS = {
    "before the lock is taken": ("sudo", '[[ "$all" != *"; load" ]] || power_cut'),
    "driver": ("nvidia-smi", "power_cut"),
    "space": ("df", "power_cut"),
    "conda, at its start": ("conda", "power_cut"),
    "conda, half way": ("conda", 'mkdir -p "$5/bin"; touch "$5/bin/half"; power_cut'),
    "locked packages": ("python", '[[ "$all" != *"-r "* ]] || power_cut'),
    "the project itself": ("python", '[[ "$all" != *--editable* ]] || power_cut'),
    "import check": ("python", '[[ "$all" != *"import ipykernel"* ]] || power_cut'),
    "after the stamp": ("ln", "power_cut"),
    "the switch": ("mv", '[[ "$all" != *gan-lib.new* ]] || power_cut'),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_build_cut_off_at_any_step_heals_at_the_next_start(sandbox: Sandbox, step: str) -> None:
    program, lines = STEPS[step]
    if program in ("ln", "mv"):
        (sandbox.root / "usr/bin" / program).symlink_to(sandbox.root / "stand_in.sh")
    sandbox.on(program, lines)
    sandbox.start()
    assert not (sandbox.env / ".ready").exists(), "half a build must not look like an environment"
    sandbox.stop()
    sandbox.heal()
    sandbox.start()
    assert sandbox.ready()
    assert not list(sandbox.volume.rglob("half"))
    assert len(list((sandbox.volume / "envs").iterdir())) == 2, "the link and what it points to, nothing else"


def test_two_starts_at_once_build_once(sandbox: Sandbox) -> None:
    sandbox.on("conda", "/bin/sleep 0.5")
    hooks = [sandbox.hook("on-start") for _ in range(2)]
    assert [done.returncode for done in hooks] == [0, 0]
    sandbox.wait()
    assert sandbox.ready()
    assert len(sandbox.arguments("conda")) == 1


def test_the_hook_returns_while_the_build_hangs(sandbox: Sandbox) -> None:
    """Five minutes is all a hook has."""
    for program in ["conda", "curl", "aws", "git", "nvidia-smi"]:
        sandbox.on(program, "/bin/sleep 120")
    started = time.monotonic()
    assert sandbox.hook("on-start").returncode == 0
    assert time.monotonic() - started < 10


def test_nothing_slow_runs_in_the_foreground(sandbox: Sandbox) -> None:
    """What the hooks themselves wait for: systemctl and a kernel file, no network and no installer."""
    sandbox.knobs["S3_PREFIX"] = "s3://bucket/gan-lib"
    sandbox.start()
    (foreground,) = {session for session, program, _ in sandbox.calls("setsid")}  # called by the hook itself
    assert {program for session, program, _ in sandbox.calls() if session == foreground} == {"setsid", "sudo", "systemctl"}
    assert {program for session, program, _ in sandbox.calls() if session != foreground} >= {"sudo", "aws", "nvidia-smi"}


def test_a_network_hiccup_is_tried_again(sandbox: Sandbox) -> None:
    sandbox.on("conda", "fail_times 2")
    sandbox.on("python", '[[ "$all" != *"-r "* ]] || fail_times 2')
    sandbox.start()
    assert sandbox.ready()
    assert len(sandbox.arguments("conda")) == 3


def test_what_a_failed_attempt_left_does_not_fail_the_next(sandbox: Sandbox) -> None:
    """conda refuses a folder that is there already."""
    sandbox.on("conda", '[[ -f "$root/control/conda.count" ]] || mkdir -p "$5/conda-meta"', "fail_times 1")
    sandbox.start()
    assert sandbox.ready()
    assert not (sandbox.env / "conda-meta").exists()


def test_a_listing_is_asked_for_again(sandbox: Sandbox) -> None:
    sandbox.driver("535.183.01")
    (sandbox.control / "listing-cu126").write_text("torch-2.14.1+cu126-cp311-cp311-manylinux_2_28_x86_64.whl\n")
    sandbox.on("curl", "fail_times 2")
    sandbox.start()
    assert "build cu126" in sandbox.build_record()


def test_half_a_build_of_an_older_lock_does_not_take_the_space(sandbox: Sandbox) -> None:
    half = sandbox.volume / "envs/.gan-lib-0123456789ab"
    half.mkdir(parents=True)
    sandbox.on("df", f'[[ ! -d "{half}" ]] || echo 1 >"$root/control/free-gb"')
    sandbox.start()
    assert sandbox.ready(), sandbox.status()


def test_without_a_network_the_user_is_told_and_the_next_start_heals(sandbox: Sandbox) -> None:
    sandbox.on("conda", "echo 'CondaHTTPError: could not resolve host' >&2; exit 1")
    sandbox.start()
    assert sandbox.kernel_name() == "Python (gan-lib) - setup failed, see GAN-LIB-STATUS.txt"
    assert "conda could not create the environment" in sandbox.status()
    assert "The next start tries again." in sandbox.status()
    assert "could not resolve host" in (sandbox.volume / "gan-lib-setup.log").read_text()
    sandbox.stop()
    sandbox.heal()
    sandbox.start()
    assert sandbox.ready()
    assert sandbox.status().startswith("gan-lib: ready\n")


def test_a_kernel_that_is_not_ready_fails_with_the_message(sandbox: Sandbox) -> None:
    sandbox.on("conda", "exit 1")
    sandbox.start()
    argv = sandbox.kernel()["argv"]
    assert isinstance(argv, list)
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == sandbox.status()


def test_an_update_that_fails_leaves_the_old_environment_in_use(sandbox: Sandbox) -> None:
    sandbox.start()
    old = sandbox.env.resolve()
    (sandbox.project / "requirements.lock").write_text(LOCK + "zipp==3.23.0\n")
    sandbox.stop()
    sandbox.on("python", '[[ "$all" != *"-r "* ]] || exit 1')
    sandbox.start()
    assert sandbox.env.resolve() == old
    assert (old / "bin/python").exists()
    assert sandbox.kernel()["argv"] == sandbox.kernel_command
    assert "setup failed" in sandbox.kernel_name()


def test_a_listing_that_cannot_be_read_is_not_taken_for_an_answer(sandbox: Sandbox) -> None:
    """No network at a driver of 535 must not end in a CPU build that then stays."""
    sandbox.driver("535.183.01")
    sandbox.on("curl", "exit 6")
    sandbox.start()
    assert not sandbox.env.exists()
    assert "list of builds at https://download.pytorch.org/whl could not be read" in sandbox.status()


def test_a_volume_that_is_too_full_is_seen_before_the_build(sandbox: Sandbox) -> None:
    (sandbox.control / "free-gb").write_text("2")
    sandbox.start()
    assert "the volume is full: 2 GB free, a build needs 5" in sandbox.status()
    assert "setup failed" in sandbox.kernel_name()
    assert sandbox.arguments("conda") == []


def test_a_disk_that_fills_up_while_building(sandbox: Sandbox) -> None:
    free = sandbox.control / "free-gb"
    sandbox.on("python", f"echo 0 >{free}; echo 'OSError: [Errno 28] No space left on device' >&2; exit 1")
    sandbox.start()
    assert "pip could not install PyTorch: the volume is full" in sandbox.status()
    assert list((sandbox.volume / "envs").iterdir()) == [], "half a build does not keep the disk full"
    sandbox.stop()
    sandbox.heal()
    sandbox.start()
    assert sandbox.ready()


def test_on_a_full_disk_the_kernels_name_still_tells(sandbox: Sandbox) -> None:
    """Writing the status file fails; the kernel lies on another disk."""
    (sandbox.volume / "GAN-LIB-STATUS.txt.new").symlink_to("/dev/full")
    (sandbox.control / "free-gb").write_text("0")
    sandbox.start()
    assert sandbox.kernel_name() == "Python (gan-lib) - setup failed, see GAN-LIB-STATUS.txt"


def test_an_environment_that_cannot_import_does_not_count(sandbox: Sandbox) -> None:
    sandbox.on("python", '[[ "$all" != *"import ipykernel"* ]] || exit 1')
    sandbox.start()
    assert not sandbox.env.exists()
    assert "cannot import torch and gan_lib" in sandbox.status()


def test_without_conda_the_message_names_the_platform(sandbox: Sandbox) -> None:
    (sandbox.home / "anaconda3/bin/conda").unlink()
    sandbox.start()
    assert "where the platform notebook-al2023-v1 has it" in sandbox.status()


@pytest.mark.parametrize("name", ["environment.yml", "requirements.lock", "pyproject.toml"])
def test_a_project_with_a_file_missing_is_named(sandbox: Sandbox, name: str) -> None:
    (sandbox.project / name).unlink()
    sandbox.start()
    assert f"has no {name}" in sandbox.status()


def test_an_auto_stop_that_cannot_be_armed_fails_the_start(sandbox: Sandbox) -> None:
    """Better an instance that does not start than one that nothing would stop."""
    sandbox.on("systemctl", "echo 'Failed to connect to bus' >&2; exit 1")
    done = sandbox.hook("on-start")
    assert done.returncode != 0
    assert "Failed to connect to bus" in done.stderr
