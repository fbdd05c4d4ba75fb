"""Fixtures of the lifecycle tests."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from .sandbox import Sandbox

for program in ["bash", "flock", "setsid", "git", "sha256sum"]:
    if shutil.which(program) is None:
        pytest.skip(f"the lifecycle scripts are for Linux: {program} is missing here", allow_module_level=True)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "network: needs a package index that can be reached")


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """An instance with the project on its volume; whatever still runs in it ends with the test."""
    instance = Sandbox(tmp_path / "instance")
    yield instance
    instance.stop()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Sandbox]:
    """An instance whose volume is empty, as after its creation."""
    instance = Sandbox(tmp_path / "instance", project=False)
    yield instance
    instance.stop()
