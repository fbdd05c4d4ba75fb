"""The build with the repository's own files, and once with a real virtual environment and a real pip."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .sandbox import REPOSITORY, Sandbox

PACKAGE = "iniconfig==2.1.0"


def test_the_repositorys_own_lock_and_environment(sandbox: Sandbox) -> None:
    yaml = pytest.importorskip("yaml")
    for name in ["environment.yml", "requirements.lock", "pyproject.toml"]:
        shutil.copy(REPOSITORY / name, sandbox.project / name)
    sandbox.start()
    assert sandbox.ready(), sandbox.status()
    for_conda = yaml.safe_load((sandbox.env / "environment.yml").read_text())
    assert all(isinstance(entry, str) for entry in for_conda["dependencies"]), "pip's part is left to pip"
    assert any(entry.startswith("python=3.") for entry in for_conda["dependencies"])
    locked = (REPOSITORY / "requirements.lock").read_text().splitlines()
    installed = (sandbox.env / "requirements.txt").read_text().splitlines()
    left_out = {re.split("[=\\[]", line)[0] for line in set(locked) - set(installed)}
    assert {"torch", "torchvision"} <= left_out
    assert all(re.match("torch$|torchvision$|triton$|nvidia-|cuda-", name) for name in left_out), left_out
    assert not [line for line in installed if re.match("triton|nvidia-|cuda-", line)]
    added = sorted(set(installed) - set(locked))
    assert [re.sub(r"==[0-9.]+", "==", line) for line in added] == ["torch==+cpu", "torchvision==+cpu"]


@pytest.mark.network
def test_a_real_build(sandbox: Sandbox, tmp_path: Path) -> None:
    """A small project, but a real virtual environment, a real pip and the kernel's own command line."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", PACKAGE]
    clean = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}  # as the builder will have it
    for package in [PACKAGE, "setuptools>=77"]:
        there = subprocess.run([*command[:-1], "--dest", str(tmp_path), package], env=clean, capture_output=True)
        if there.returncode != 0:
            pytest.skip(f"no package index that can be reached serves {package}")
    (sandbox.project / "requirements.lock").write_text(f"{PACKAGE}\n")
    modules = ["gan_lib", "torch", "ipykernel"]  # stand-ins for what the build imports at its end
    for name in modules:
        (sandbox.project / f"{name}.py").write_text("__version__ = '0'\n")
    (sandbox.project / "pyproject.toml").write_text(
        "[build-system]\nrequires = ['setuptools>=77']\nbuild-backend = 'setuptools.build_meta'\n"
        f"[project]\nname = 'gan-lib'\nversion = '0'\n[tool.setuptools]\npy-modules = {modules}\n"
    )
    sandbox.driver("580.65.06")
    sandbox.on("conda", f'{sys.executable} -m venv "$5"', "exit 0")
    assert sandbox.hook("on-start").returncode == 0
    sandbox.wait(120)
    assert sandbox.ready(), (sandbox.volume / "gan-lib-setup.log").read_text()
    kernel = sandbox.kernel()
    argv, environment = kernel["argv"], kernel["env"]
    assert isinstance(argv, list) and isinstance(environment, dict)
    program = "import gan_lib, iniconfig; print(gan_lib.__file__)"
    done = subprocess.run([argv[0], "-c", program], env=environment, cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(sandbox.project / "gan_lib.py"), "the project is used where it lies"
