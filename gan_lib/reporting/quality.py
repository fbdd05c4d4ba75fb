"""Read image quality from records: the last measurement, its floor, its curve, and its plateau."""

import math

import numpy as np
import pandas as pd

from gan_lib.quality.measures import DIGITS, FRECHET
from gan_lib.reporting.convergence import Plateau, find_plateau
from gan_lib.runs.experiment import warnings
from gan_lib.runs.record import Record

TARGETS = (20, 10, 5, 2)  # Fréchet distances to digits: blurred ones, … and good ones
NOT_MEASURED = "not measured"  # for old runs, whose records give no reason


def last(record: Record) -> dict[str, float]:
    """Return a run's final quality, by the names of MEASURES; empty if not measured."""
    return _numbers(record.summary.get("quality"))


def floor(record: Record) -> dict[str, float]:
    """Return the values of real images for the measures of last()."""
    return _numbers(record.summary.get("quality_floor"))


def doubts(record: Record) -> list[str]:
    """Return warnings about a run with finite numbers that diverged or collapsed, by the rule of its record's notes."""
    losses = {name: record.summary.get(name) or 0.0 for name in ("discriminator_loss", "generator_loss")}
    largest = record.summary.get("largest_class_share") or last(record).get("most_frequent_digit")
    return warnings(losses, largest, record.summary.get("variety"))


def curve(record: Record, name: str = FRECHET) -> pd.DataFrame:
    """Return a measure by epoch and by training second, three columns of metrics.csv, without values that are not finite."""
    return pd.DataFrame(_points(record, name).T, columns=["epoch", "training_seconds", name])


def _points(record: Record, name: str = FRECHET) -> np.ndarray:
    """Return the epochs, training seconds and values of `curve`, (3, N). Thousands of runs need no frame each."""
    columns = [record.metrics.get(column, ()) for column in ("epoch", "training_seconds", name)]
    values = np.array(columns if name in record.metrics else [()] * 3, dtype=float)
    return values[:, np.isfinite(values).all(axis=0)]


def seconds_to(record: Record, distance: float) -> float:
    """Return the training seconds up to the first measurement at or below a Fréchet distance.

    Infinite if the run did not reach it, NaN if it was not measured.
    """
    _, seconds, distances = _points(record)
    reached = seconds[distances <= distance]
    return float(reached[0]) if len(reached) else math.inf if len(distances) else math.nan


def plateau(record: Record) -> Plateau | None:
    """Return when the run's Fréchet distance stopped improving; None if not measured. Its epoch is None if it still improved
    at the end."""
    points = _points(record)
    epochs, _, distances = points[:, points[2] >= 0]
    return find_plateau(epochs.astype(int).tolist(), distances.tolist()) if len(epochs) else None


def _numbers(entry: object) -> dict[str, float]:
    """Return the measures in an entry of summary.json, which may come from a stranger, and two that summarise the digits."""
    entries = entry.items() if isinstance(entry, dict) else ()
    measures = {name: float(value) for name, value in entries if isinstance(value, (int, float)) and math.isfinite(value)}
    if shares := [measures[name] for name in DIGITS if name in measures]:
        measures |= {"rarest_digit": min(shares), "most_frequent_digit": max(shares)}
    return measures
