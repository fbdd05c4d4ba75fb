"""The environment and the kernel: first start, later starts, new lock, every driver."""

import re
import subprocess
import time

import pytest

from .sandbox import LOCK, Sandbox


def test_the_first_start_leaves_an_environment_and_a_kernel(sandbox: Sandbox) -> None:
    sandbox.knobs["PYTHON_INDEX_URL"] = "https://index.example/simple"
    sandbox.on("python", f'echo "$PIP_INDEX_URL $PYTHONNOUSERSITE" >>{sandbox.root}/seen')
    sandbox.start()
    assert sandbox.ready()
    assert sandbox.status().startswith("gan-lib: ready\n")
    assert len(sandbox.arguments("conda")) == 1 and sandbox.arguments("conda")[0].startswith("env ")
    dependencies = (sandbox.env / "environment.yml").read_text()
    assert "python=3.11" in dependencies and "  - pip\n" in dependencies
    assert "pip:" not in dependencies, "pip's part is installed by steps of its own"
    assert any(f"--editable {sandbox.project}" in call for call in sandbox.arguments("python"))
    assert set((sandbox.root / "seen").read_text().splitlines()) == {"https://index.example/simple 1"}
    assert not (sandbox.home / ".bashrc").exists()
    kernel = sandbox.kernel()
    assert (kernel["argv"], kernel["language"]) == (sandbox.kernel_command, "python")
    assert kernel["env"] == {
        "CONDA_PREFIX": str(sandbox.env),
        "CONDA_DEFAULT_ENV": "gan-lib",
        "PYTHONNOUSERSITE": "1",
        "PATH": f"{sandbox.env}/bin:/usr/local/bin:/usr/bin:/bin",
    }


def test_the_kernel_is_there_before_the_hook_ends(sandbox: Sandbox) -> None:
    """JupyterLab starts after the hook, and lists the kernels that it finds then."""
    sandbox.start()
    sandbox.stop()
    assert not sandbox.kernel_file.exists()
    sandbox.on("setsid", "/bin/sleep 60")  # nothing of the background happens yet
    assert sandbox.hook("on-start").returncode == 0
    assert sandbox.kernel_name() == "Python (gan-lib)"


def test_a_second_start_is_quick_and_changes_nothing(sandbox: Sandbox) -> None:
    sandbox.start()
    before = sandbox.snapshot()
    sandbox.stop()
    sandbox.forget_calls()
    started = time.monotonic()
    sandbox.start()
    assert time.monotonic() - started < 5
    assert sandbox.snapshot() == before
    assert sandbox.ready()
    for program in ["conda", "python", "curl", "aws", "git"]:
        assert sandbox.arguments(program) == [], program


def test_a_new_lock_is_built_and_the_old_environment_goes(sandbox: Sandbox) -> None:
    sandbox.start()
    old = sandbox.env.resolve()
    (sandbox.project / "requirements.lock").write_text(LOCK.replace("numpy==2.4.1", "numpy==2.4.2"))
    sandbox.stop()
    sandbox.start()
    assert sandbox.ready()
    assert sandbox.env.resolve() != old
    assert not old.exists()
    assert "numpy==2.4.2" in (sandbox.env / "requirements.txt").read_text()


def test_while_an_update_runs_the_old_environment_serves(sandbox: Sandbox) -> None:
    sandbox.start()
    old = sandbox.env.resolve()
    (sandbox.project / "requirements.lock").write_text(LOCK + "zipp==3.23.0\n")
    sandbox.stop()
    sandbox.on("conda", "/bin/sleep 60")
    assert sandbox.hook("on-start").returncode == 0
    deadline = time.monotonic() + 10
    while "being set up" not in sandbox.kernel_name():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert sandbox.env.resolve() == old
    assert sandbox.kernel()["argv"] == sandbox.kernel_command


LISTING = '<a href="/whl/cu126/torch-2.14.1%2Bcu126-cp311-cp311-manylinux_2_28_x86_64.whl">torch-2.14.1+cu126</a>\n'
OTHERS = LISTING.replace("2.14.1", "2.13.0") + LISTING.replace("x86_64", "aarch64") + LISTING.replace("cp311", "cp312")


DRIVERS = [
    ("", LISTING, "cpu", "no NVIDIA driver answers"),
    ("470.256.02", LISTING, "cpu", "is too old for any CUDA build (525 or newer is needed)"),
    ("524.99", LISTING, "cpu", "is too old for any CUDA build (525 or newer is needed)"),
    ("525.60.13", OTHERS + LISTING, "cu126", "NVIDIA driver 525.60.13."),
    ("579.99", OTHERS + LISTING, "cu126", "NVIDIA driver 579.99."),
    ("535.183.01", OTHERS, "cpu", "has no build (this version needs 580 or newer), so the GPU is not used"),
    ("580.65.06", LISTING, "default", "NVIDIA driver 580.65.06."),
    ("595.10", LISTING, "default", "NVIDIA driver 595.10."),
]


@pytest.mark.parametrize(("driver", "listing", "build", "reason"), DRIVERS)
def test_the_driver_decides_the_build(sandbox: Sandbox, driver: str, listing: str, build: str, reason: str) -> None:
    """PyTorch from its own index, all else from the main one: where pip may choose, a stranger's higher version wins."""
    if driver:
        sandbox.driver(driver)
    (sandbox.control / "listing-cu126").write_text(listing)
    (sandbox.control / "listing-cu128").write_text("")
    sandbox.on("python", 'for file; do [[ "$file" != *torch.txt ]] || cp "$file" "$root/torch.txt"; done')
    sandbox.start()
    assert sandbox.ready()
    assert f"PyTorch 2.14.1, build {build}: " in sandbox.build_record()
    assert reason in sandbox.build_record() and sandbox.build_record().strip() in sandbox.status()
    installs = [call for call in sandbox.arguments("python") if " install " in call]
    from_pytorch = [call for call in installs if "index-url" in call]
    assert not any("extra-index" in call for call in installs)
    if build == "default":
        assert (sandbox.env / "requirements.txt").read_text() == LOCK and not from_pytorch
        return
    (call,) = from_pytorch
    assert re.search(rf"--no-deps --index-url \S+/{build} -r ", call)
    assert installs.index(call) < len(installs) - 1
    own = [f"torch==2.14.1+{build}", f"torchvision==0.29.1+{build}"]
    assert (sandbox.root / "torch.txt").read_text().split() == own
    packages = (sandbox.env / "requirements.txt").read_text().split()
    assert {*own, "torchmetrics==1.9.0", "numpy==2.4.1"} <= set(packages)
    assert not [name for name in packages if re.match("nvidia|cuda|triton|torch==2.14.1$", name)]


def test_a_driver_that_loads_late_is_waited_for(sandbox: Sandbox) -> None:
    device = sandbox.root / "sys/bus/pci/devices/0000:00:1e.0/vendor"
    device.parent.mkdir(parents=True)
    device.write_text("0x10de\n")
    sandbox.on("nvidia-smi", "fail_times 2", "echo 580.65.06; exit 0")
    sandbox.start()
    assert "build default" in sandbox.build_record()


def test_nothing_expands_in_the_outer_shell(sandbox: Sandbox) -> None:
    """A knob with shell characters arrives as it is: neither root's shell nor the user's expands it."""
    name = "s3://bucket/$HOME`touch /tmp/x`$(id)/a b'c\"d.tar.gz"
    sandbox.knobs["PROJECT_ARCHIVE"] = name
    sandbox.start()
    assert any(f"{name}.sha256" in call for call in sandbox.arguments("aws"))


def test_a_failing_inner_command_is_not_ignored(sandbox: Sandbox) -> None:
    """The user's shell is strict too: with the kernel's folder in the way, the hook does not end well."""
    (sandbox.home / ".local").write_text("a file where a folder must be")
    assert sandbox.hook("on-start").returncode != 0
    assert all("bash -c set -euo pipefail;" in call for call in sandbox.arguments("sudo"))


def test_the_environment_can_be_built_by_hand(sandbox: Sandbox) -> None:
    """As the README says, from a terminal on the instance."""
    command = ["/bin/bash", str(sandbox.project / "lifecycle/build-environment.sh")]
    environment = {**sandbox.environment(), "PATH": f"{sandbox.root}/usr/bin:/usr/bin:/bin"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert (sandbox.env / ".ready").exists()


def test_another_instance_type_gets_another_build(sandbox: Sandbox) -> None:
    """Stop, change the type from c5 to g4dn, start: the volume stays, the machine is another."""
    sandbox.start()
    sandbox.stop()
    sandbox.driver("580.65.06")
    sandbox.start()
    assert sandbox.ready() and "build default" in sandbox.build_record()
