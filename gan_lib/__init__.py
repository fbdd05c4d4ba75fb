"""gan-lib: compare GAN configurations honestly. The public names; each module holds more."""

from gan_lib.config import RunConfig
from gan_lib.errors import GanLibError
from gan_lib.presets import CONFIGURATIONS, PRESETS, configure, run_name
from gan_lib.runs.record import Record, find_records, read_record

__all__ = [
    "CONFIGURATIONS",
    "PRESETS",
    "GanLibError",
    "Record",
    "RunConfig",
    "configure",
    "find_records",
    "read_record",
    "run_name",
]
