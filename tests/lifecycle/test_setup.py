"""The environment and the kernel: first start, later starts, new lock, every driver."""

import re
import subprocess
import time

import pytest

from .sandbox import LIFECYCLE, LOCK, Sandbox


def test_create_and_start_leave_an_environment_and_a_kernel(sandbox: Sandbox) -> None:
    sandbox.start()
    assert sandbox.ready()
    assert sandbox.status().startswith("gan-lib: ready\n")
    assert len(sandbox.arguments("conda")) == 1
    assert "python=3.11" in (sandbox.env / "environment.yml").read_text()
    assert "pip:" not in (sandbox.env / "environment.yml").read_text(), "pip's part is installed by steps of its own"
    assert "  - pip\n" in (sandbox.env / "environment.yml").read_text()
    assert any(f"--editable {sandbox.project}" in call for call in sandbox.arguments("python"))


def test_the_kernel_has_its_environment_variables(sandbox: Sandbox) -> None:
    sandbox.start()
    kernel = sandbox.kernel()
    assert kernel["argv"] == sandbox.kernel_command
    assert kernel["language"] == "python"
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


def test_without_a_driver_the_cpu_build(sandbox: Sandbox) -> None:
    sandbox.start()
    packages = (sandbox.env / "requirements.txt").read_text().split()
    assert "torch==2.14.1+cpu" in packages
    assert "torchvision==0.29.1+cpu" in packages
    assert "torchmetrics==1.9.0" in packages
    assert "numpy==2.4.1" in packages
    assert not re.search("nvidia|cuda|triton|torch==2.14.1\\s", " ".join(packages) + " ")
    assert sandbox.build_record() == "PyTorch 2.14.1, build cpu: no NVIDIA driver answers.\n"
    assert sandbox.build_record().strip() in sandbox.status()


@pytest.mark.parametrize("build", ["cpu", "cu126"])
def test_pytorch_comes_from_its_own_index_and_everything_else_from_the_main_one(sandbox: Sandbox, build: str) -> None:
    """Where pip may choose between two indexes, a stranger's higher version wins."""
    if build != "cpu":
        sandbox.driver("535.183.01")
        (sandbox.control / "listing-cu126").write_text(LISTING)
    sandbox.on("python", 'for file; do [[ "$file" != *torch.txt ]] || cp "$file" "$root/torch.txt"; done')
    sandbox.start()
    installs = [call for call in sandbox.arguments("python") if " install " in call]
    assert not any("extra-index" in call for call in installs)
    (torch,) = [call for call in installs if "index-url" in call]
    assert f"--no-deps --index-url https://download.pytorch.org/whl/{build} -r " in torch
    assert installs.index(torch) < len(installs) - 1
    assert (sandbox.root / "torch.txt").read_text().split() == [f"torch==2.14.1+{build}", f"torchvision==0.29.1+{build}"]


@pytest.mark.parametrize("driver", ["525.60.13", "535.183.01", "579.99"])
def test_before_driver_580_a_cuda_12_build(sandbox: Sandbox, driver: str) -> None:
    sandbox.driver(driver)
    (sandbox.control / "listing-cu126").write_text(OTHERS + LISTING)
    sandbox.start()
    assert "torch==2.14.1+cu126" in (sandbox.env / "requirements.txt").read_text()
    assert "nvidia-cudnn-cu13" not in (sandbox.env / "requirements.txt").read_text()
    assert sandbox.build_record() == f"PyTorch 2.14.1, build cu126: NVIDIA driver {driver}.\n"


def test_a_cuda_12_build_that_is_not_published_means_cpu_and_says_so(sandbox: Sandbox) -> None:
    sandbox.driver("535.183.01")
    (sandbox.control / "listing-cu126").write_text(OTHERS)
    (sandbox.control / "listing-cu128").write_text("")
    sandbox.start()
    assert sandbox.ready()
    assert "torch==2.14.1+cpu" in (sandbox.env / "requirements.txt").read_text()
    assert "has no build (this version needs 580 or newer), so the GPU is not used" in sandbox.status()


@pytest.mark.parametrize("driver", ["580.65.06", "595.10"])
def test_from_driver_580_the_lock_as_it_is(sandbox: Sandbox, driver: str) -> None:
    sandbox.driver(driver)
    sandbox.start()
    assert (sandbox.env / "requirements.txt").read_text() == LOCK
    assert not any("index-url" in call for call in sandbox.arguments("python"))
    assert sandbox.build_record() == f"PyTorch 2.14.1, build default: NVIDIA driver {driver}.\n"


@pytest.mark.parametrize("driver", ["470.256.02", "524.99"])
def test_before_driver_525_the_cpu_build_with_a_clear_message(sandbox: Sandbox, driver: str) -> None:
    sandbox.driver(driver)
    sandbox.start()
    assert sandbox.ready()
    assert "torch==2.14.1+cpu" in (sandbox.env / "requirements.txt").read_text()
    assert f"NVIDIA driver {driver} is too old for any CUDA build (525 or newer is needed)" in sandbox.status()


def test_a_driver_that_loads_late_is_waited_for(sandbox: Sandbox) -> None:
    device = sandbox.root / "sys/bus/pci/devices/0000:00:1e.0/vendor"
    device.parent.mkdir(parents=True)
    device.write_text("0x10de\n")
    sandbox.on("nvidia-smi", "fail_times 2", "echo 580.65.06; exit 0")
    sandbox.start()
    assert "build default" in sandbox.build_record()


def test_another_instance_type_gets_another_build(sandbox: Sandbox) -> None:
    """Stop, change the type from c5 to g4dn, start: the volume stays, the machine is another."""
    sandbox.start()
    assert "build cpu" in sandbox.build_record()
    sandbox.stop()
    sandbox.driver("580.65.06")
    sandbox.start()
    assert sandbox.ready()
    assert "build default" in sandbox.build_record()


def test_an_index_of_ones_own_is_used(sandbox: Sandbox) -> None:
    sandbox.knobs["PYTHON_INDEX_URL"] = "https://index.example/simple"
    sandbox.on("python", f"printf '%s\\n' \"${{PIP_INDEX_URL:-none}}\" >>{sandbox.root}/indexes")
    sandbox.start()
    assert set((sandbox.root / "indexes").read_text().split()) == {"https://index.example/simple"}


def test_the_traps_of_activation(sandbox: Sandbox) -> None:
    for path in LIFECYCLE.glob("*.sh"):
        code = re.sub(r"^\s*#.*$|\s#\s.*$", "", path.read_text(), flags=re.M)
        assert not re.search(r"conda activate|source activate|\.bashrc|conda\.sh", code), path.name
    sandbox.start()
    assert not (sandbox.home / ".bashrc").exists()
    assert all(call.split()[0] == "env" for call in sandbox.arguments("conda")), "conda is called by its path"


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


def test_pip_ignores_packages_of_the_home_folder(sandbox: Sandbox) -> None:
    sandbox.on("python", f"printf '%s\\n' \"${{PYTHONNOUSERSITE:-none}}\" >>{sandbox.root}/seen")
    sandbox.start()
    assert set((sandbox.root / "seen").read_text().split()) == {"1"}


def test_the_environment_can_be_built_by_hand(sandbox: Sandbox) -> None:
    """As the README says, from a terminal on the instance."""
    command = ["/bin/bash", str(sandbox.project / "lifecycle/build-environment.sh")]
    environment = {**sandbox.environment(), "PATH": f"{sandbox.root}/usr/bin:/usr/bin:/bin"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert (sandbox.env / ".ready").exists()
