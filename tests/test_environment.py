"""The lock, the project's metadata and conda's file say the same, and nothing in them names a package index."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
LOCK = [
    Requirement(line)
    for line in (ROOT / "requirements.lock").read_text().splitlines()
    if line.strip() and not line.startswith("#")
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_lock_is_exact_and_names_no_index() -> None:
    assert len(LOCK) > 100
    for requirement in LOCK:
        assert re.fullmatch(r"==[^*]+", str(requirement.specifier)), requirement
        assert requirement.url is None
    for name in ("requirements.lock", "environment.yml", "pyproject.toml"):
        assert not re.search(r"https?://|file:|--(extra-)?index|--find-links|@", (ROOT / name).read_text()), name


def test_everything_the_project_needs_is_locked_to_a_version_that_it_allows() -> None:
    wanted = [*PROJECT["dependencies"], *(need for extra in PROJECT["optional-dependencies"].values() for need in extra)]
    locked = {requirement.name.lower(): requirement for requirement in LOCK}
    for need in map(Requirement, wanted):
        exact = str(locked[need.name.lower()].specifier).removeprefix("==")
        assert need.specifier.contains(exact), (need, exact)


def test_what_is_installed_is_what_is_locked() -> None:
    if not (ROOT / ".venv" / ".installed").exists():
        pytest.skip("this environment was not made by make")
    for requirement in LOCK:
        if requirement.marker is None or requirement.marker.evaluate():
            assert requirement.specifier.contains(version(requirement.name)), requirement


def test_conda_installs_the_same() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == PROJECT["name"]
    *conda, pip = environment["dependencies"]
    assert pip == {"pip": ["-r requirements.lock", "-e ."]}
    assert [name.split("=")[0] for name in conda] == ["python", "pip"]
    python = next(name for name in conda if name.startswith("python"))
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(python.split("=")[1])
