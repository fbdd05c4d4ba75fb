"""The environment and the kernel: first start, later starts, new lock, every driver."""

import re
import subprocess
import time

import pytest

from .sandbox import LOCK, Sandbox


def test_create_and_start_leave_an_environment_and_a_kernel(sandbox: Sandbox) -> None:
    sandbox.create()
    assert sandbox.ready()
    assert sandbox.status().startswith("gan-lib: ready\n")
    assert len(sandbox.arguments("conda")) == 1, "on-create and on-start together build once"
    assert "python=3.11" in (sandbox.env / "environment.yml").read_text()
    assert "pip:" not in (sandbox.env / "environment.yml").read_text(), "pip's part is installed by steps of its own"
    assert "  - pip\n" in (sandbox.env / "environment.yml").read_text()
    assert any(f"--editable {sandbox.project}" in call for call in sandbox.arguments("python"))


def test_the_kernel_has_its_environment_variables(sandbox: Sandbox) -> None:
    sandbox.create()
    kernel = sandbox.kernel()
    assert kernel["argv"] == [
        f"{sandbox.env}/bin/python",
        "-m",
        "ipykernel_launcher",
        "-f",
        "{connection_file}",
    ]
    assert kernel["language"] == "python"
    assert kernel["env"] == {
        "CONDA_PREFIX": str(sandbox.env),
        "CONDA_DEFAULT_ENV": "gan-lib",
        "PYTHONNOUSERSITE": "1",
        "PATH": f"{sandbox.env}/bin:/usr/local/bin:/usr/bin:/bin",
    }


def test_the_kernel_is_there_before_the_hook_ends(sandbox: Sandbox) -> None:
    """JupyterLab starts after the hook, and lists the kernels that it finds then."""
    sandbox.create()
    sandbox.stop()
    assert not sandbox.kernel_file.exists()
    sandbox.on("setsid", "/bin/sleep 60")  # nothing of the background happens yet
    assert sandbox.hook("on-start").returncode == 0
    assert sandbox.kernel_name() == "Python (gan-lib)"


def test_a_second_start_is_quick_and_changes_nothing(sandbox: Sandbox) -> None:
    sandbox.create()
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


def test_a_start_without_on_create_builds_too(sandbox: Sandbox) -> None:
    """The lifecycle configuration may be given to an instance that exists already."""
    sandbox.start()
    assert sandbox.ready()


def test_a_new_lock_is_built_and_the_old_environment_goes(sandbox: Sandbox) -> None:
    sandbox.create()
    old = sandbox.env.resolve()
    (sandbox.project / "requirements.lock").write_text(LOCK.replace("numpy==2.4.1", "numpy==2.4.2"))
    sandbox.stop()
    sandbox.start()
    assert sandbox.ready()
    assert sandbox.env.resolve() != old
    assert not old.exists()
    assert "numpy==2.4.2" in (sandbox.env / "requirements.txt").read_text()


def test_while_an_update_runs_the_old_environment_serves(sandbox: Sandbox) -> None:
    sandbox.create()
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
    assert sandbox.kernel()["argv"] == [
        f"{sandbox.env}/bin/python",
        "-m",
        "ipykernel_launcher",
        "-f",
        "{connection_file}",
    ]


LISTING = '<a href="/whl/cu126/torch-2.14.1%2Bcu126-cp311-cp311-manylinux_2_28_x86_64.whl">torch-2.14.1+cu126</a>\n'
OTHERS = LISTING.replace("2.14.1", "2.13.0") + LISTING.replace("x86_64", "aarch64") + LISTING.replace("cp311", "cp312")


def test_without_a_driver_the_cpu_build(sandbox: Sandbox) -> None:
    sandbox.create()
    packages = (sandbox.env / "requirements.txt").read_text().split()
    assert "torch==2.14.1+cpu" in packages
    assert "torchvision==0.29.1+cpu" in packages
    assert "torchmetrics==1.9.0" in packages
    assert "numpy==2.4.1" in packages
    assert not re.search("nvidia|cuda|triton|torch==2.14.1\\s", " ".join(packages) + " ")
    assert sandbox.build_record() == "PyTorch 2.14.1, build cpu: no NVIDIA driver answers.\n"
    assert sandbox.build_record().strip() in sandbox.status()
    assert any("--extra-index-url https://download.pytorch.org/whl/cpu" in call for call in sandbox.arguments("python"))


@pytest.mark.parametrize("driver", ["525.60.13", "535.183.01", "579.99"])
def test_before_driver_580_a_cuda_12_build(sandbox: Sandbox, driver: str) -> None:
    sandbox.driver(driver)
    (sandbox.control / "listing-cu126").write_text(OTHERS + LISTING)
    sandbox.create()
    assert "torch==2.14.1+cu126" in (sandbox.env / "requirements.txt").read_text()
    assert "nvidia-cudnn-cu13" not in (sandbox.env / "requirements.txt").read_text()
    assert sandbox.build_record() == f"PyTorch 2.14.1, build cu126: NVIDIA driver {driver}.\n"


def test_a_cuda_12_build_that_is_not_published_means_cpu_and_says_so(sandbox: Sandbox) -> None:
    sandbox.driver("535.183.01")
    (sandbox.control / "listing-cu126").write_text(OTHERS)
    (sandbox.control / "listing-cu128").write_text("")
    sandbox.create()
    assert sandbox.ready()
    assert "torch==2.14.1+cpu" in (sandbox.env / "requirements.txt").read_text()
    assert "has no build (this version needs 580 or newer), so the GPU is not used" in sandbox.status()


@pytest.mark.parametrize("driver", ["580.65.06", "595.10"])
def test_from_driver_580_the_lock_as_it_is(sandbox: Sandbox, driver: str) -> None:
    sandbox.driver(driver)
    sandbox.create()
    assert (sandbox.env / "requirements.txt").read_text() == LOCK
    assert not any("index-url" in call for call in sandbox.arguments("python"))
    assert sandbox.build_record() == f"PyTorch 2.14.1, build default: NVIDIA driver {driver}.\n"


@pytest.mark.parametrize("driver", ["470.256.02", "524.99"])
def test_before_driver_525_the_cpu_build_with_a_clear_message(sandbox: Sandbox, driver: str) -> None:
    sandbox.driver(driver)
    sandbox.create()
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
    sandbox.create()
    assert "build cpu" in sandbox.build_record()
    sandbox.stop()
    sandbox.driver("580.65.06")
    sandbox.start()
    assert sandbox.ready()
    assert "build default" in sandbox.build_record()


def test_an_index_of_ones_own_is_used(sandbox: Sandbox) -> None:
    sandbox.knobs["PYTHON_INDEX_URL"] = "https://index.example/simple"
    sandbox.on("python", f"printf '%s\\n' \"${{PIP_INDEX_URL:-none}}\" >>{sandbox.root}/indexes")
    sandbox.create()
    assert set((sandbox.root / "indexes").read_text().split()) == {"https://index.example/simple"}


def test_pip_ignores_packages_of_the_home_folder(sandbox: Sandbox) -> None:
    sandbox.on("python", f"printf '%s\\n' \"${{PYTHONNOUSERSITE:-none}}\" >>{sandbox.root}/seen")
    sandbox.create()
    assert set((sandbox.root / "seen").read_text().split()) == {"1"}


def test_the_environment_can_be_built_by_hand(sandbox: Sandbox) -> None:
    """As the README says, from a terminal on the instance."""
    command = ["/bin/bash", str(sandbox.project / "lifecycle/build-environment.sh")]
    environment = {**sandbox.environment(), "PATH": f"{sandbox.root}/usr/bin:/usr/bin:/bin"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert (sandbox.env / ".ready").exists()
