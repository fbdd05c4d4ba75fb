"""Run folders -> the files of other tools, after the runs. These are copies: run folders stay the record of what was done."""

import contextlib
import importlib.util
import io
import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from gan_lib.errors import ConfigurationError
from gan_lib.pictures import open_png
from gan_lib.reporting import quality
from gan_lib.runs.record import Record
from gan_lib.runs.storage import refuse_outside
from gan_lib.text import nearest, shorten

PROJECT = "gan-lib"


def export(records: Sequence[Record], tool: str, folder: Path) -> str:
    """Write some runs for a tool into a folder; returns the command that shows them.

    Raises ConfigurationError for an unknown tool, and where its package is not installed; RecordError for a link in the
    folder that leads out of it.
    """
    if tool not in TOOLS:
        raise ConfigurationError(f"unknown tool {shorten(tool)}{nearest(tool, TOOLS)}")
    if importlib.util.find_spec(tool) is None:
        raise ConfigurationError(f"{tool} is not installed: pip install {tool}")
    for path in folder.rglob("*"):
        refuse_outside(path, folder)  # the tools follow links
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
    from torch.utils.tensorboard import SummaryWriter

    for record in records:
        target = folder / record.name
        for earlier in target.glob("events.out.tfevents.*"):  # of an earlier export
            earlier.unlink()
        with SummaryWriter(str(target)) as writer:
            for epoch, numbers in _steps(record):
                for name, value in numbers.items():
                    writer.add_scalar(name, value, epoch)
            if samples := open_png(record.path / "samples.png"):
                writer.add_image("samples", np.asarray(samples), record.epochs_done, dataformats="HWC")
            writer.add_hparams(_facts(record), quality.last(record), run_name=".")
    return f"tensorboard --logdir {shlex.quote(str(folder))}"


def _mlflow(records: Sequence[Record], folder: Path) -> str:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow

    store = f"sqlite:///{folder.resolve() / 'mlflow.db'}"  # MLflow no longer takes plain folders
    mlflow.set_tracking_uri(store)
    experiment = mlflow.set_experiment(PROJECT)
    names = {record.name for record in records}
    for earlier in mlflow.search_runs([experiment.experiment_id], output_format="list"):
        if earlier.info.run_name in names:  # of an earlier export
            mlflow.delete_run(earlier.info.run_id)
    for record in records:
        with mlflow.start_run(run_name=record.name):
            mlflow.log_params(_facts(record))
            for epoch, numbers in _steps(record):
                mlflow.log_metrics(numbers, step=epoch)
    return f"mlflow ui --backend-store-uri {shlex.quote(store)}"


def _trackio(records: Sequence[Record], folder: Path) -> str:
    os.environ["TRACKIO_DIR"] = str(folder.resolve())  # read when it is imported
    import trackio

    with contextlib.redirect_stdout(io.StringIO()):  # it prints lines on each run
        names = {record.name for record in records}
        for earlier in trackio.Api().runs(PROJECT) if any(folder.glob("*.db")) else ():
            if earlier.name in names:  # of an earlier export
                earlier.delete()
        for record in records:
            # It would log the processor's load as well: the export's, not the run's.
            trackio.init(project=PROJECT, name=record.name, config=_facts(record), auto_log_cpu=False, auto_log_gpu=False)
            for epoch, numbers in _steps(record):
                trackio.log(numbers, step=epoch)
            trackio.finish()
    return f"TRACKIO_DIR={shlex.quote(str(folder.resolve()))} trackio show --project {PROJECT}"


TOOLS: dict[str, Callable[[Sequence[Record], Path], str]] = {
    "tensorboard": _tensorboard,
    "mlflow": _mlflow,
    "trackio": _trackio,
}
