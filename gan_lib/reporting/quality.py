"""Records -> what they say of image quality: the last measurement, its floor, its course, when it stopped improving."""

import math

import numpy as np
import pandas as pd

from gan_lib.quality.measures import DIGITS, FRECHET
from gan_lib.reporting.convergence import Plateau, find_plateau
from gan_lib.runs.experiment import warnings
from gan_lib.runs.record import Record

TARGETS = (20, 10, 5, 2)  # Fréchet distances to digits: blurred ones, … and good ones
NOT_MEASURED = "not measured"  # runs recorded before quality was measured do not say why


def last(record: Record) -> dict[str, float]:
    """A run's quality at its end, by the names of MEASURES; nothing where it was not measured."""
    return _numbers(record.summary.get("quality"))


def floor(record: Record) -> dict[str, float]:
    """What perfect images would have had in last()."""
    return _numbers(record.summary.get("quality_floor"))


def doubts(record: Record) -> list[str]:
    """Whether a run diverged or collapsed, though every number in it is finite, by the rule of the notes in its record."""
    losses = {name: record.summary.get(name) or 0.0 for name in ("discriminator_loss", "generator_loss")}
    return warnings(losses, record.summary.get("largest_class_share") or last(record).get("most_frequent_digit"))


def curve(record: Record, name: str = FRECHET) -> pd.DataFrame:
    """A measure by epoch and by second of training, the three columns of metrics.csv; what is not finite is left out."""
    names = ["epoch", "training_seconds", name]
    values = np.array([record.metrics.get(column, ()) for column in names] if name in record.metrics else [()] * 3, dtype=float)
    return pd.DataFrame(values[:, np.isfinite(values).all(axis=0)].T, columns=names)


def seconds_to(record: Record, distance: float) -> float:
    """Training seconds to the first measurement at or below a Fréchet distance.

    Infinite where the run never got there, NaN where it was not measured.
    """
    measured = curve(record)
    reached = measured.training_seconds[measured[FRECHET] <= distance]
    return float(reached.iloc[0]) if len(reached) else math.inf if len(measured) else math.nan


def plateau(record: Record) -> Plateau | None:
    """When the run's Fréchet distance stopped improving; None where it was not measured. Its epoch is None as long as the run
    cannot tell."""
    measured = curve(record)
    kept = measured[measured[FRECHET] >= 0]
    return find_plateau(kept.epoch.astype(int).tolist(), kept[FRECHET].tolist()) if len(kept) else None


def _numbers(entry: object) -> dict[str, float]:
    """The measures in an entry of summary.json, which may come from a stranger, and the two that sum up the ten digits'."""
    entries = entry.items() if isinstance(entry, dict) else ()
    measures = {name: float(value) for name, value in entries if isinstance(value, (int, float)) and math.isfinite(value)}
    if shares := [measures[name] for name in DIGITS if name in measures]:
        measures |= {"rarest_digit": min(shares), "most_frequent_digit": max(shares)}
    return measures
