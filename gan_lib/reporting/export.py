"""Run folders -> the files of other tools, after the runs: what they hold is copied, and stays where it is."""

import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from gan_lib.errors import ConfigurationError
from gan_lib.reporting import quality
from gan_lib.runs.record import Record
from gan_lib.text import nearest, shorten

PROJECT = "gan-lib"


def export(records: Sequence[Record], tool: str, folder: Path) -> str:
    """Write some runs for a tool into a folder; returns the command that shows them there.

    Raises ConfigurationError for an unknown tool, and where its package is not installed.
    """
    if tool not in TOOLS:
        raise ConfigurationError(f"unknown tool {shorten(tool)}{nearest(tool, TOOLS)}")
    if importlib.util.find_spec(tool) is None:
        raise ConfigurationError(f"{tool} is not installed: pip install {tool}")
    folder.mkdir(parents=True, exist_ok=True)
    return TOOLS[tool](records, folder)


def _steps(record: Record) -> Iterator[tuple[int, dict[str, float]]]:
    """What a run measured after each epoch: (epoch, numbers by name)."""
    metrics = {name: column for name, column in record.metrics.items() if name != "training_seconds"}  # of all epochs so far
    for series in (record.history, metrics):
        for values in zip(*series.values(), strict=True):
            numbers = dict(zip(series, values, strict=True))
            yield int(numbers.pop("epoch")), {name: value for name, value in numbers.items() if value == value}


def _facts(record: Record) -> dict[str, Any]:
    """A run's parameters, in the types that every tool takes."""
    plain = {name: value for name, value in record.config.model_dump().items() if value is not None}
    return {**plain, "status": record.status, "run_on": str(record.machine.get("label"))}


def _tensorboard(records: Sequence[Record], folder: Path) -> str:
    import numpy as np
    from PIL import Image
    from torch.utils.tensorboard import SummaryWriter

    for record in records:
        target = folder / record.name
        for earlier in target.glob("events.out.tfevents.*"):  # of an earlier export
            earlier.unlink()
        with SummaryWriter(str(target)) as writer:
            for epoch, numbers in _steps(record):
                for name, value in numbers.items():
                    writer.add_scalar(name, value, epoch)
            if (samples := record.path / "samples.png").exists():
                writer.add_image(
                    "samples", np.asarray(Image.open(samples).convert("RGB")), record.epochs_done, dataformats="HWC"
                )
            writer.add_hparams(_facts(record), quality.last(record), run_name=".")
    return f"tensorboard --logdir {folder}"


def _mlflow(records: Sequence[Record], folder: Path) -> str:
    import mlflow

    store = f"sqlite:///{folder.resolve() / 'mlflow.db'}"  # MLflow takes plain folders no more
    mlflow.set_tracking_uri(store)
    mlflow.set_experiment(PROJECT)
    for record in records:
        with mlflow.start_run(run_name=record.name):
            mlflow.log_params(_facts(record))
            for epoch, numbers in _steps(record):
                mlflow.log_metrics(numbers, step=epoch)
    return f"mlflow ui --backend-store-uri {store}"


def _trackio(records: Sequence[Record], folder: Path) -> str:
    os.environ["TRACKIO_DIR"] = str(folder.resolve())
    import trackio

    for record in records:
        trackio.init(project=PROJECT, name=record.name, config=_facts(record))
        for epoch, numbers in _steps(record):
            trackio.log(numbers, step=epoch)
        trackio.finish()
    return f"TRACKIO_DIR={folder.resolve()} trackio show --project {PROJECT}"


TOOLS: dict[str, Callable[[Sequence[Record], Path], str]] = {
    "tensorboard": _tensorboard,
    "mlflow": _mlflow,
    "trackio": _trackio,
}
