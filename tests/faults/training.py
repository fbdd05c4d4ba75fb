"""Runs that a test can kill: trained in a process of their own, and compared with undisturbed ones."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from conftest import TINY, settings

from gan_lib.config import RunConfig
from gan_lib.runs.record import count_epochs, read_record

RESULTS = ("generator.safetensors", "discriminator.safetensors", "samples.png", "progress.gif")
AVERAGED = "generator.raw.safetensors"  # beside a running average
LOSSES = ("epoch", "discriminator_loss", "generator_loss", "real_probability", "generated_probability")
FILES = {"config.json", "machine.json", "history.csv", "summary.json", *RESULTS}


def short_run(**changes: Any) -> RunConfig:
    """A run of a second or two that writes something nearly all the time."""
    return RunConfig(**{**TINY, "epochs": 60, "sample_every": 3, "checkpoint_seconds": 0.2, **changes})


def train(parameters: dict[str, Any], folder: str) -> None:
    """The child: train into a folder, or resume there; one line for an error."""
    from gan_lib.errors import GanLibError
    from gan_lib.runs.experiment import Experiment
    from gan_lib.text import one_line

    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
    try:
        list(Experiment(RunConfig(**parameters), Path(folder)))
    except (GanLibError, OSError) as error:
        (Path(folder).parent / f"{Path(folder).name}.error").write_text(one_line(error))
        sys.exit(2)


def run_command(config: RunConfig, folder: Path, *arguments: str) -> list[str]:
    """The command line that makes such runs in a results folder. arguments: configurations and flags."""
    return [sys.executable, "-m", "gan_lib", "run", *arguments, *settings(config.model_dump()), f"--results-dir={folder}"]


def wait_for_epochs(folder: Path, epochs: int, batch: subprocess.Popen[Any] | None = None) -> None:
    """Wait until a run has recorded so many epochs: five minutes at most, and no longer than its batch lives."""
    deadline = time.monotonic() + 300
    while count_epochs(folder) < epochs:
        assert time.monotonic() < deadline
        assert batch is None or batch.poll() is None, batch.communicate()
        time.sleep(0.02)


def results(folder: Path) -> dict[str, Any]:
    """What must be the same to the last bit, however often a run was disturbed."""
    record = read_record(folder)
    assert record.status == "ok", record.reason
    history = {name: record.history[name] for name in LOSSES}
    judged = {name: record.summary[name] for name in ("epochs", "discriminator_loss", "generator_loss", "parameters")}
    measured = {name: values for name, values in record.metrics.items() if not name.endswith("_seconds")}
    return {
        "history": history,
        "metrics": measured,
        "summary": judged,
        **{name: (folder / name).read_bytes() for name in (*RESULTS, *[AVERAGED] * bool(record.config.average_decay))},
    }
