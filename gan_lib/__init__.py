"""gan-lib: compare GAN configurations honestly. The public names; each module holds more."""

from pathlib import Path

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
    "read_record",
    "run_name",
]
