"""What goes wrong leaves a running instance, a message, and heals at the next start."""

import subprocess

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


def test_nothing_slow_runs_in_the_foreground(sandbox: Sandbox) -> None:
    """What the hooks themselves wait for: systemctl and a kernel file, no network and no installer."""
    sandbox.knobs["S3_PREFIX"] = "s3://bucket/gan-lib"
    sandbox.start()
    (foreground,) = {session for session, program, _ in sandbox.calls("setsid")}  # called by the hook itself
    assert {program for session, program, _ in sandbox.calls() if session == foreground} == {"setsid", "sudo", "systemctl"}
    assert {program for session, program, _ in sandbox.calls() if session != foreground} >= {"sudo", "aws", "nvidia-smi"}


def test_half_a_build_of_an_older_lock_does_not_take_the_space(sandbox: Sandbox) -> None:
    half = sandbox.volume / "envs/.gan-lib-0123456789ab"
    half.mkdir(parents=True)
    sandbox.on("df", f'[[ ! -d "{half}" ]] || echo 1 >"$root/control/free-gb"')
    sandbox.start()
    assert sandbox.ready(), sandbox.status()


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


def test_an_auto_stop_that_cannot_be_armed_fails_the_start(sandbox: Sandbox) -> None:
    """Better an instance that does not start than one that nothing would stop."""
    sandbox.on("systemctl", "echo 'Failed to connect to bus' >&2; exit 1")
    done = sandbox.hook("on-start")
    assert done.returncode != 0
    assert "Failed to connect to bus" in done.stderr


def test_network_hiccups_are_tried_again(sandbox: Sandbox) -> None:
    """Also where the failed attempt left a folder: conda refuses one that is there already."""
    sandbox.driver("535.183.01")
    (sandbox.control / "listing-cu126").write_text("torch-2.14.1+cu126-cp311-cp311-manylinux_2_28_x86_64.whl\n")
    sandbox.on("conda", '[[ -f "$root/control/conda.count" ]] || mkdir -p "$5/conda-meta"', "fail_times 2")
    sandbox.on("python", '[[ "$all" != *"-r "* ]] || fail_times 2')
    sandbox.on("curl", "fail_times 2")
    sandbox.start()
    assert sandbox.ready()
    assert "build cu126" in sandbox.build_record()
    assert len(sandbox.arguments("conda")) == 3
    assert not (sandbox.env / "conda-meta").exists()


FULL = "echo 0 >$root/control/free-gb; echo 'OSError: [Errno 28] No space left on device' >&2; exit 1"
TROUBLE = {
    "no network": ("conda", "echo 'CondaHTTPError: could not resolve host' >&2; exit 1", "conda could not create the"),
    "a listing that cannot be read is no answer": ("curl", "exit 6", "list of builds at https://download.pytorch.org/whl"),
    "a full volume": ("df", 'echo 2 >"$root/control/free-gb"', "the volume is full: 2 GB free, a build needs 5"),
    "a volume that fills up": ("python", FULL, "pip could not install PyTorch: the volume is full"),
    "no import": ("python", '[[ "$all" != *"import ipykernel"* ]] || exit 1', "cannot import torch and gan_lib"),
}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_a_build_that_fails_says_why_and_the_next_start_heals(sandbox: Sandbox, trouble: str) -> None:
    program, lines, reason = TROUBLE[trouble]
    if program == "curl":
        sandbox.driver("535.183.01")
    sandbox.on(program, lines)
    sandbox.start()
    assert reason in sandbox.status() and "The next start tries again." in sandbox.status()
    assert sandbox.kernel_name() == "Python (gan-lib) - setup failed, see GAN-LIB-STATUS.txt"
    assert not sandbox.env.exists()
    assert list((sandbox.volume / "envs").glob("*")) == [], "half a build does not keep the disk full"
    argv = sandbox.kernel()["argv"]
    assert isinstance(argv, list)
    kernel = subprocess.run(argv, capture_output=True, text=True)
    assert (kernel.returncode, kernel.stderr) == (1, sandbox.status())
    sandbox.stop()
    sandbox.heal()
    sandbox.start()
    assert sandbox.ready()
    assert sandbox.status().startswith("gan-lib: ready\n")


def test_on_a_full_disk_the_kernels_name_still_tells(sandbox: Sandbox) -> None:
    """Writing the status file fails; the kernel lies on another disk."""
    (sandbox.volume / "GAN-LIB-STATUS.txt.new").symlink_to("/dev/full")
    (sandbox.control / "free-gb").write_text("0")
    sandbox.start()
    assert sandbox.kernel_name() == "Python (gan-lib) - setup failed, see GAN-LIB-STATUS.txt"
    assert sandbox.arguments("conda") == []


@pytest.mark.parametrize("name", ["environment.yml", "requirements.lock", "pyproject.toml", "conda"])
def test_what_is_missing_is_named(sandbox: Sandbox, name: str) -> None:
    (sandbox.home / "anaconda3/bin/conda" if name == "conda" else sandbox.project / name).unlink()
    sandbox.start()
    assert ("platform notebook-al2023-v1" if name == "conda" else f"has no {name}") in sandbox.status()
