"""What several tests start from: tiny configs, two runs that were really trained, and run folders written by hand."""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gan_lib.config import RunConfig
from gan_lib.presets import configure, run_name
from gan_lib.runs.experiment import Experiment
from gan_lib.runs.record import RunFolder

# A shell's background jobs ignore Ctrl-C, and so would all that they start: tests of it would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Two test processes share two cores, and no run's bits may depend on how busy they are.
os.environ["GAN_LIB_THREADS"] = "1"

# The smallest run that is still a real one: 64 digits of 8 x 8 pixels in batches of 24, 24 and 16.
TINY: dict[str, Any] = {
    "image_size": 8,
    "training_images": 64,
    "batch_size": 24,
    "latent_size": 10,
    "epochs": 3,
    "sample_every": 1,
    "evaluate_every": 0,
    "threads": 1,
}

# The measures of a run written by hand, besides its Fréchet distance.
MEASURED = {"precision": 0.5, "recall": 0.25, "recognisable": 0.875, "noise_level": 0.02, "stray_pixels": 1.5, "copies": 0.02}

# Folders whose tests start processes, servers and shells by the hundred: make test takes only those marked `quick`.
SLOW_FOLDERS = {"cloud", "faults", "lifecycle"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if order := os.environ.get("GAN_LIB_TEST_ORDER"):  # any text: no test may depend on those before it
        random.Random(order).shuffle(items)  # noqa: S311
    for item in items:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        if folder in SLOW_FOLDERS and not item.get_closest_marker("quick"):
            item.add_marker("slow")


MakeConfig = Callable[..., RunConfig]
WriteRun = Callable[..., Path]


def tiny_config(**changes: Any) -> RunConfig:
    return RunConfig(**{**TINY, **changes})


def train(config: RunConfig, folder: Path, stop_after: int | None = None, fresh: bool = False) -> Experiment:
    """Train a run to its end, or as a person does who interrupts the cell once an epoch is over."""
    experiment = Experiment(config, folder, fresh)
    epochs = iter(experiment)
    for stats in epochs:
        if stats.epoch == stop_after:
            epochs.close()  # type: ignore[attr-defined]
    return experiment


def settings(parameters: dict[str, Any]) -> list[str]:
    """Parameters as they are typed: --set=epochs=3 …; None is what is not set."""
    return [
        f"--set={name}={value}"
        for name, value in parameters.items()
        if value is not None and name not in ("model", "machine", "seed")
    ]


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait for something, and fail when it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def same_draws() -> None:
    """Seed every global random generator: what a test draws does not depend on which tests ran before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture
def tiny() -> MakeConfig:
    """tiny(model="cgan", seed=1): a config that trains in a fraction of a second."""
    return tiny_config


@pytest.fixture
def no_hanging() -> Iterator[None]:
    """Five minutes, then the test fails: for what must come back at once, whatever it is given."""

    def fail(number: int, frame: object) -> None:
        raise TimeoutError("still at it after five minutes")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(300)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def finished_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Experiment]:
    """One finished run of each model, trained once; its folder is experiment.record.path. Only read it."""
    runs = {}
    for model in ("gan", "cgan"):
        config = tiny_config(model=model)
        runs[model] = train(config, tmp_path_factory.mktemp("trained") / run_name(config))
    return runs


@pytest.fixture(params=["gan", "cgan"])
def finished(request: pytest.FixtureRequest, finished_runs: dict[str, Experiment]) -> Experiment:
    """Each of the finished runs in turn."""
    return finished_runs[request.param]


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    """write_run("gan-cpu", d=[...], g=[...], seconds=0.5): a run folder below tmp_path/runs, written by hand.

    quality: the Fréchet distance by epoch; other measures of the last one may be given in facts.
    """

    def write(
        configuration: str,
        *,
        d: list[float] | None = None,
        g: list[float] | None = None,
        seconds: float = 0.5,
        label: str = "Test CPU, 2 cores",
        status: str | None = "ok",
        reason: str | None = None,
        below: str = "runs",
        preset: str = "paper",
        facts: dict[str, Any] | None = None,
        quality: dict[int, float] | None = None,
        **changes: Any,
    ) -> Path:
        config = configure(configuration, preset, **changes)
        d = [0.55] * min(12, config.epochs) if d is None else d
        g = [1.05] * len(d) if g is None else g
        folder = RunFolder(tmp_path / below / run_name(config))
        folder.create(config)
        folder.write_json("machine.json", {"label": label, "threads": 2, "memory_gb": 23.5})
        for epoch, (d_loss, g_loss) in enumerate(zip(d, g, strict=True), start=1):
            losses = {"discriminator_loss": d_loss, "generator_loss": g_loss}
            beliefs = {"real_probability": 0.6, "generated_probability": 0.4}
            folder.append({"epoch": epoch, **losses, **beliefs, "training_seconds": seconds, "other_seconds": 0.01})
        for epoch, distance in (quality or {}).items():
            times = {"training_seconds": seconds * epoch, "evaluation_seconds": 3.0}
            folder.append_metrics({"epoch": epoch, **times, "frechet_distance": distance, **MEASURED})
        summary: dict[str, Any] = {
            "seconds_per_epoch": seconds,
            "training_seconds": seconds * len(d),
            "discriminator_loss": d[-1],
            "generator_loss": g[-1],
            "parameters": {"gan": 2_950_161, "cgan": 2_382_466}.get(config.model, 1000),
        }
        if quality:
            summary |= {
                "quality": {"frechet_distance": list(quality.values())[-1], **MEASURED},
                "quality_floor": {"frechet_distance": 0.2, "noise_level": 0.0, "recognisable": 0.985, "copies": 0.01},
                "quality_about": "the test's classifier",
                "quality_images": 3000,
            }
        if status is not None:
            folder.finish(status, reason, **{**(summary if status == "ok" else {}), **(facts or {})})
        return folder.path

    return write
