"""Records -> what they say of image quality: the last measurement, its floor, its course, when it stopped improving."""

import math
from typing import NamedTuple

from gan_lib.quality.measures import DIGITS, FRECHET
from gan_lib.reporting.convergence import Plateau, find_plateau
from gan_lib.runs.experiment import warnings
from gan_lib.runs.record import Record

TARGETS = (20, 10, 5, 2)  # Fréchet distances to digits: blurred ones, … and good ones
NOT_MEASURED = "not measured"  # runs recorded before quality was measured do not say why


class Curve(NamedTuple):
    """One measure of a run through training."""

    epochs: list[int]
    seconds: list[float]  # of training, up to each of those epochs
    values: list[float]


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


def curve(record: Record, name: str = FRECHET) -> Curve:
    """A measure by epoch and by second of training; what is not finite is left out."""
    columns = [record.metrics.get(column, []) for column in ("epoch", "training_seconds", name)]
    points = [point for point in zip(*columns, strict=False) if all(map(math.isfinite, point))]
    return Curve([int(epoch) for epoch, _, _ in points], [second for _, second, _ in points], [value for _, _, value in points])


def seconds_to(record: Record, distance: float) -> float:
    """Training seconds to the first measurement at or below a Fréchet distance.

    Infinite where the run never got there, NaN where it was not measured.
    """
    _, seconds, values = curve(record)
    reached = (second for second, value in zip(seconds, values, strict=True) if value <= distance)
    return next(reached, math.inf if values else math.nan)


def plateau(record: Record) -> Plateau | None:
    """When the run's Fréchet distance stopped improving; None where it was not measured. Its epoch is None as long as the run
    cannot tell."""
    epochs, _, distances = curve(record)
    kept = [(epoch, value) for epoch, value in zip(epochs, distances, strict=True) if value >= 0]
    return find_plateau([epoch for epoch, _ in kept], [value for _, value in kept]) if kept else None


def _numbers(entry: object) -> dict[str, float]:
    """The measures in an entry of summary.json, which may come from a stranger, and the two that sum up the ten digits'."""
    entries = entry.items() if isinstance(entry, dict) else ()
    measures = {
        str(name): float(value)
        for name, value in entries
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    }
    if shares := [measures[name] for name in DIGITS if name in measures]:
        measures |= {"rarest_digit": min(shares), "most_frequent_digit": max(shares)}
    return measures
