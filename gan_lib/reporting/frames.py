"""Records -> data frames: for questions that no table of ours asks, and for tables that list runs."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from gan_lib.quality.measures import NAMES
from gan_lib.reporting import convergence, quality
from gan_lib.runs.record import Record

_IDENTITY = ("run", "configuration", "variant", "seed")
_NUMBERS = ("seconds_per_epoch", "training_seconds", "cost_usd", *NAMES)  # columns that are there without any number too


def runs_frame(records: Iterable[Record]) -> pd.DataFrame:
    """One row a run: what it is, its config, its summary, its machine and its quality at the end, by their own names.

    Facts of machine.json have names such as machine_label, because config.json has precision and threads too; what real images
    have of a measure is floor_frechet_distance and so on. cost_usd, balance_epoch and plateau_epoch are as the reports say.
    What a run does not have is missing in its row.
    """
    lines = [_line(record) for record in records]
    return pd.DataFrame(lines, columns=None if lines else [*_IDENTITY, *_NUMBERS])


def history_frame(records: Iterable[Record]) -> pd.DataFrame:
    """One row for each epoch of each run: both losses, the mean beliefs or scores, and the seconds that it took."""
    return _long((record, record.history) for record in records)


def metrics_frame(records: Iterable[Record]) -> pd.DataFrame:
    """One row for each evaluation of each run: the epoch, the seconds of training until then, and every measure."""
    return _long((record, record.metrics) for record in records)


def _line(record: Record) -> dict[str, Any]:
    plateau, balance = quality.plateau(record), convergence.balance(record)
    facts = {name: value for name, value in record.summary.items() if not isinstance(value, (dict, list))}
    return {
        **_identity(record),
        **dict.fromkeys(_NUMBERS, math.nan),
        **facts,
        **record.config.model_dump(),
        "status": record.status,
        "reason": record.reason,
        "epochs_done": record.epochs_done,
        "cost_usd": convergence.cost_usd(record) or math.nan,
        "balance_epoch": balance and balance.epoch,
        "plateau_epoch": plateau and plateau.epoch,
        **quality.last(record),
        **{f"floor_{name}": value for name, value in quality.floor(record).items()},
        **{f"machine_{name}": value for name, value in record.machine.items() if not isinstance(value, (dict, list))},
        "notes": "; ".join(record.notes) or None,
    }


def _identity(record: Record) -> dict[str, Any]:
    values = (record.name, record.config.configuration, record.variant, record.config.seed)
    return dict(zip(_IDENTITY, values, strict=True))


def _long(series: Iterable[tuple[Record, Mapping[str, list[float]]]]) -> pd.DataFrame:
    frames = [pd.DataFrame({**_identity(record), **columns}) for record, columns in series if any(columns.values())]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=[*_IDENTITY, "epoch"])
