"""Convert records to data frames, for tables, figures and your own analysis."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from gan_lib.quality.measures import NAMES
from gan_lib.reporting import paper, quality
from gan_lib.reporting.convergence import balance, cost_usd
from gan_lib.runs.record import Record

_IDENTITY = ("run", "configuration", "variant", "seed")
_NUMBERS = ("seconds_per_epoch", "training_seconds", "cost_usd", *NAMES)  # columns that exist even without any number


def runs_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return one row per run: its name, config, summary, machine and final quality.

    Columns from machine.json begin with machine_ (machine_label), because config.json also has threads. The config's precision
    is config_precision, because precision is a measure of quality. Values of real images begin with floor_
    (floor_frechet_distance). seconds_to_5 and usd_to_5 are training time and cost up to a Fréchet distance of 5, infinite if it
    was not reached. cost_usd, balance_epoch and plateau_epoch are as in the reports. Unknown values are missing (NaN).
    """
    lines = [_line(record) for record in records]
    return pd.DataFrame(lines, columns=None if lines else [*_IDENTITY, *_NUMBERS])


def history_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return one row for each epoch of each run: both losses, the mean beliefs or scores, and its seconds."""
    return _long((record, record.history) for record in records)


def metrics_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return one row for each evaluation of each run: the epoch, the training seconds up to it, and every measure."""
    return _long((record, record.metrics) for record in records)


def _line(record: Record) -> dict[str, Any]:
    config, plateau, reached = record.config, quality.plateau(record), balance(record)
    seconds = {target: quality.seconds_to(record, target) for target in quality.TARGETS}
    return {
        **_identity(record),
        **dict.fromkeys(_NUMBERS, math.nan),
        **_plain(record.summary),
        **{f"config_{name}" if name in NAMES else name: value for name, value in config.model_dump().items()},
        "status": record.status,
        "reason": record.reason,
        "epochs_done": record.epochs_done,
        "cost_usd": cost_usd(record) or math.nan,
        "balance_epoch": reached and reached.epoch,
        "plateau_epoch": plateau and plateau.epoch,
        **quality.last(record),
        **{f"floor_{name}": value for name, value in quality.floor(record).items()},
        **{f"seconds_to_{target}": value for target, value in seconds.items()},
        **{f"usd_to_{target}": paper.cost_usd(value, config.machine) for target, value in seconds.items()},
        **{f"machine_{name}": value for name, value in _plain(record.machine).items()},
        "notes": "; ".join(record.notes) or None,
    }


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if not isinstance(value, (dict, list))}


def _identity(record: Record) -> dict[str, Any]:
    return dict(zip(_IDENTITY, (record.name, record.config.configuration, record.variant, record.config.seed), strict=True))


def _long(series: Iterable[tuple[Record, Mapping[str, Sequence[float]]]]) -> pd.DataFrame:
    frames = [pd.DataFrame({**_identity(record), **columns}) for record, columns in series if any(columns.values())]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=[*_IDENTITY, "epoch"])
