"""What is judged of one run, each by one written rule: when its losses are in balance, when quality settles, what it costs."""

import itertools
import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gan_lib.reporting import paper
from gan_lib.runs.record import Record

WINDOW = 10  # epochs
NO_BAND = "no band: with this loss there is no value at which both are in balance"


class Balance(NamedTuple):
    """When balance was reached, and how near the losses ever came."""

    epoch: int | None  # counted from 1; None: never reached
    nearest_epoch: int | None  # where the losses came nearest to the bands; None when there are fewer epochs than the window
    nearest_distance: float | None  # the larger of the two losses' distances from its band there; 0 inside


def find_balance(
    discriminator_losses: Sequence[float],
    generator_losses: Sequence[float],
    *,
    window: int = WINDOW,
    discriminator_band: paper.Band = paper.DISCRIMINATOR_BAND,
    generator_band: paper.Band = paper.GENERATOR_BAND,
) -> Balance:
    """The first epoch at which the mean of each loss over the last `window` epochs lies inside its band, ends included.

    Losses are means over an epoch, the discriminator's on the scale where undecided is ln 2 (losses.py), one value an
    epoch from the first on. The trailing mean exists from epoch `window` on, so no earlier epoch can be the answer. The
    bands are the paper's: 0.5 to 0.6 for the discriminator, 1.0 to 1.1 for the generator. Raises ValueError for a window
    below 1 or series of different lengths.
    """
    if window < 1:
        raise ValueError(f"window must be at least 1 (epochs to average), got {window}")
    if len(discriminator_losses) != len(generator_losses):
        raise ValueError(
            f"both loss series must have one value an epoch, got {len(discriminator_losses)} and {len(generator_losses)}"
        )
    if len(discriminator_losses) < window:
        return Balance(None, None, None)
    distance = np.maximum(
        _distance(trailing_mean(discriminator_losses, window), discriminator_band),
        _distance(trailing_mean(generator_losses, window), generator_band),
    )
    inside = np.flatnonzero(distance == 0)
    nearest = int(distance.argmin())
    return Balance(int(inside[0]) + window if len(inside) else None, nearest + window, float(distance[nearest]))


def balance(record: Record) -> Balance | None:
    """When a run reached the paper's balance, from its history; None for a loss that has no such band."""
    if not record.config.band:
        return None
    return find_balance(record.history["discriminator_loss"], record.history["generator_loss"])


def cost_usd(record: Record) -> float | None:
    """What a run's training costs in USD: its seconds at the hourly price of the instance that its configuration names."""
    seconds = sum(record.history.get("training_seconds", []))
    return seconds / 3600 * paper.INSTANCES[record.config.machine].usd_per_hour if seconds else None


def median_epoch(balances: Sequence[Balance]) -> int | None:
    """The median epoch of balance over several runs (seeds); None when half of them or more never reached it.

    Of an even number it is the mean of the middle two, rounded up.
    """
    epochs = sorted(balance.epoch or sys.maxsize for balance in balances) or [sys.maxsize]
    low, high = epochs[(len(epochs) - 1) // 2], epochs[len(epochs) // 2]
    return None if high == sys.maxsize else -(-(low + high) // 2)


def roughness(losses: Sequence[float], window: int = WINDOW) -> float:
    """How far a loss strays: the median over the epochs of its distance from its own trailing mean.

    A slow rise or fall counts for little, a jump to and fro for all of it. 0 for fewer epochs than the window.
    """
    if len(losses) < window:
        return 0.0
    return float(np.median(np.abs(np.asarray(losses[window - 1 :], dtype=float) - trailing_mean(losses, window))))


def trailing_mean(values: Sequence[float], window: int) -> np.ndarray:
    """Means over each run of `window` values: (E - window + 1,), the first one belonging to epoch `window`."""
    # Rounded to 12 digits, so that a mean of values on the band's edge is on the edge and not 1e-17 beyond it.
    return np.lib.stride_tricks.sliding_window_view(np.asarray(values, dtype=float), window).mean(axis=-1).round(12)


def _distance(values: np.ndarray, band: paper.Band) -> np.ndarray:
    return np.maximum(np.maximum(band.low - values, values - band.high), 0)


TOLERANCE = 0.1  # an improvement of less than a tenth is none
SETTLED = 0.2  # of the run must follow: a plateau is seen only by walking on it


class Plateau(NamedTuple):
    """When quality stopped improving, and how good it ever was."""

    epoch: int | None  # None: still improving at the end, as far as this run can tell
    best_epoch: int
    best: float


def find_plateau(
    epochs: Sequence[int], values: Sequence[float], *, tolerance: float = TOLERANCE, settled: float = SETTLED
) -> Plateau:
    """The first measured epoch whose value no later value improves on by more than the tolerance.

    epochs: when quality was measured, rising; values: a distance, lower is better, none below 0. A later value improves on an
    earlier one when it is below (1 - tolerance) times it. Because any last value is improved on by none, an epoch counts only
    when at least a share `settled` of the run's epochs came after it; otherwise there is no plateau yet and epoch is None.

    The first such epoch, not the best one: values go on to fluctuate, and the lowest of many is low by luck. Raises ValueError
    for no values, series of different lengths, epochs that do not rise, or a negative or infinite value.
    """
    if not epochs or len(epochs) != len(values):
        raise ValueError(f"there must be one value for each of at least one epoch, got {len(epochs)} and {len(values)}")
    if any(later <= earlier for earlier, later in itertools.pairwise(epochs)):
        raise ValueError(f"epochs must rise, got {list(epochs)}")
    if not all(0 <= value < float("inf") for value in values):
        raise ValueError(f"values must be distances, finite and not below 0, got {list(values)}")
    best = min(range(len(values)), key=values.__getitem__)
    latest = epochs[-1] * (1 - settled)
    for index, (epoch, value) in enumerate(zip(epochs, values, strict=True)):
        if epoch > latest:
            break
        if min(values[index + 1 :], default=value) >= (1 - tolerance) * value:
            return Plateau(epoch, epochs[best], values[best])
    return Plateau(None, epochs[best], values[best])
