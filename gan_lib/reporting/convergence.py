"""Judge one run, by one rule each: when its losses are in balance, when quality stops improving, and its cost."""

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

import numpy as np

from gan_lib.reporting import paper
from gan_lib.runs.record import Record

WINDOW = 10  # epochs
TOLERANCE = 0.1  # a smaller relative improvement counts as none
SETTLED = 0.2  # this share of the run must follow a plateau, to confirm it
NO_BAND = "no band: with this loss there is no value at which both are in balance"


class Balance(NamedTuple):
    """The epoch of balance, and the epoch nearest to it."""

    epoch: int | None  # counted from 1; None: never reached
    nearest_epoch: int | None  # where the losses came nearest to the bands; None when there are fewer epochs than the window
    nearest_distance: float | None  # the larger of the two losses' distances from its band there; 0 inside


class Plateau(NamedTuple):
    """The epoch when quality stopped improving, and the best value."""

    epoch: int | None  # None: still improving at the end, as far as this run can tell
    best_epoch: int
    best: float


def find_balance(discriminator_losses: Sequence[float], generator_losses: Sequence[float]) -> Balance:
    """Find the first epoch at which the mean of each loss over the last ten epochs lies inside the paper's band, ends included.

    Losses are means over an epoch, one value per epoch from the first on. The discriminator's is ln 2 if it is undecided. The
    trailing mean begins at epoch 10, so that is the earliest possible answer.
    """
    if len(discriminator_losses) < WINDOW:
        return Balance(None, None, None)
    distances = np.maximum(
        _distances(discriminator_losses, paper.DISCRIMINATOR_BAND), _distances(generator_losses, paper.GENERATOR_BAND)
    )
    nearest, distance = int(distances.argmin()) + WINDOW, float(distances.min())  # the first epoch inside, if any
    return Balance(None if distance else nearest, nearest, distance)


def balance(record: Record) -> Balance | None:
    """Return when a run reached the paper's balance, from its history; None for a loss without a balance band."""
    if not record.config.band:
        return None
    losses = (record.history.get(name, ()) for name in ("discriminator_loss", "generator_loss"))  # none where only counted
    return find_balance(*losses)


def cost_usd(record: Record) -> float | None:
    """Return the cost of a run's training on the instance that its configuration names."""
    seconds = record.summary.get("training_seconds") or sum(record.history.get("training_seconds", ()))
    return paper.cost_usd(seconds, record.config.machine) if seconds else None


def median_epoch(balances: Sequence[Balance]) -> int | None:
    """Return the median epoch of balance over several runs (seeds); None if half of them or more never reached it.

    For an even number of runs, it is the mean of the middle two, rounded up.
    """
    middle = median([balance.epoch or math.inf for balance in balances] or [math.inf])
    return None if math.isinf(middle) else math.ceil(middle)


def find_plateau(epochs: Sequence[int], values: Sequence[float]) -> Plateau:
    """Find the first measured epoch whose value no later value improves on by more than a tenth.

    epochs: of the measurements, increasing, at least one; values: a distance, lower is better, at least 0. An epoch counts only
    if at least a fifth of the run's epochs came after it; otherwise epoch is None, because nothing can improve on the last one.
    The first such epoch is used, not the lowest value, which is partly chance when values fluctuate.
    """
    measured = np.asarray(values, dtype=float)
    best_later = np.append(np.minimum.accumulate(measured[::-1])[-2::-1], np.inf)
    settled = (best_later >= (1 - TOLERANCE) * measured) & (np.asarray(epochs) <= epochs[-1] * (1 - SETTLED))
    best = int(measured.argmin())
    return Plateau(epochs[int(settled.argmax())] if settled.any() else None, epochs[best], values[best])


def roughness(losses: Sequence[float]) -> float:
    """Return the median over the epochs of a loss's distance from its mean over the last ten.

    A slow rise or fall changes it little; jumps change it fully. 0 for fewer than ten epochs.
    """
    if len(losses) < WINDOW:
        return 0.0
    return float(np.median(np.abs(np.asarray(losses[WINDOW - 1 :], dtype=float) - trailing_mean(losses, WINDOW))))


def trailing_mean(values: Sequence[float], window: int) -> np.ndarray:
    """Return means over `window` consecutive values: (E - window + 1,). The first belongs to epoch `window`."""
    # Rounded to 12 digits, so that rounding errors do not move a mean over the band's edge.
    return np.lib.stride_tricks.sliding_window_view(np.asarray(values, dtype=float), window).mean(axis=-1).round(12)


def _distances(losses: Sequence[float], band: paper.Band) -> np.ndarray:
    """Return how far each trailing mean lies outside a band."""
    means = trailing_mean(losses, WINDOW)
    return np.maximum(np.maximum(band.low - means, means - band.high), 0)
