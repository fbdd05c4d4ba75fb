"""gan-lib: compare GAN configurations honestly. The public names; each module holds more."""

from pathlib import Path
from typing import Any

from gan_lib.config import RunConfig
from gan_lib.errors import GanLibError
from gan_lib.presets import CONFIGURATIONS, PRESETS, configure, run_name
from gan_lib.runs.record import Record, find_records, read_record

RESULTS = Path(__file__).resolve().parent.parent / "results"  # of this repository: where runs go unless told otherwise

__all__ = [
    "CONFIGURATIONS",
    "PRESETS",
    "RESULTS",
    "GanLibError",
    "Record",
    "RunConfig",
    "configure",
    "find_records",
    "history_frame",
    "metrics_frame",
    "read_record",
    "run_name",
    "runs_frame",
]


def __getattr__(name: str) -> Any:
    if name in ("runs_frame", "history_frame", "metrics_frame"):  # training needs no pandas
        from gan_lib.reporting import frames

        return getattr(frames, name)
    raise AttributeError(f"module 'gan_lib' has no attribute {name!r}")
