"""gan-lib: compare GAN configurations honestly. The public names; each module holds more."""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gan_lib.config import RunConfig
    from gan_lib.errors import GanLibError
    from gan_lib.presets import CONFIGURATIONS, PRESETS, configure, run_name
    from gan_lib.reporting.frames import history_frame, metrics_frame, runs_frame
    from gan_lib.runs.record import Record, find_records, read_record

RESULTS = Path(__file__).resolve().parent.parent / "results"  # of this repository: where runs go unless told otherwise

# Imported when they are asked for: training needs no pandas, and the command line is to answer Ctrl-C from its first moment.
_MODULES = {
    "config": ("RunConfig",),
    "errors": ("GanLibError",),
    "presets": ("CONFIGURATIONS", "PRESETS", "configure", "run_name"),
    "reporting.frames": ("history_frame", "metrics_frame", "runs_frame"),
    "runs.record": ("Record", "find_records", "read_record"),
}

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
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"gan_lib.{module}"), name)
    raise AttributeError(f"module 'gan_lib' has no attribute {name!r}")
