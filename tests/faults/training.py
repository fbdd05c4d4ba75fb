"""Runs that a test can kill: trained in a process of their own, and compared with undisturbed ones."""

import os
import sys
from pathlib import Path
from typing import Any

from conftest import TINY

from gan_lib.config import RunConfig
from gan_lib.runs.record import read_record

RESULTS = ("generator.safetensors", "discriminator.safetensors", "samples.png", "progress.gif")
LOSSES = ("epoch", "discriminator_loss", "generator_loss", "real_probability", "generated_probability")
FILES = {"config.json", "machine.json", "history.csv", "summary.json", *RESULTS}


def short_run(**changes: Any) -> RunConfig:
    """A run of a second or two that writes something nearly all the time."""
    return RunConfig(**{**TINY, "epochs": 60, "sample_every": 3, "checkpoint_seconds": 0.2, **changes})


def train(parameters: dict[str, Any], folder: str) -> None:
    """The child: train into a folder, or go on there; one line for an error."""
    from gan_lib.errors import GanLibError
    from gan_lib.runs.experiment import Experiment
    from gan_lib.text import one_line

    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
    try:
        for _ in Experiment(RunConfig(**parameters), Path(folder)):
            pass
    except (GanLibError, OSError) as error:
        (Path(folder).parent / f"{Path(folder).name}.error").write_text(one_line(error))
        sys.exit(2)


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
        **{name: (folder / name).read_bytes() for name in RESULTS},
    }
