"""What is judged of one run, each by one written rule: when its losses are in balance, when quality settles, what it costs."""

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

import numpy as np

from gan_lib.reporting import paper
from gan_lib.runs.record import Record

WINDOW = 10  # epochs
TOLERANCE = 0.1  # an improvement of less than a tenth is none
SETTLED = 0.2  # of the run must follow: a plateau is seen only by walking on it
NO_BAND = "no band: with this loss there is no value at which both are in balance"


class Balance(NamedTuple):
    """When balance was reached, and how near the losses ever came."""

    epoch: int | None  # counted from 1; None: never reached
    nearest_epoch: int | None  # where the losses came nearest to the bands; None when there are fewer epochs than the window
    nearest_distance: float | None  # the larger of the two losses' distances from its band there; 0 inside


class Plateau(NamedTuple):
    """When quality stopped improving, and how good it ever was."""

    epoch: int | None  # None: still improving at the end, as far as this run can tell
    best_epoch: int
    best: float


def find_balance(discriminator_losses: Sequence[float], generator_losses: Sequence[float]) -> Balance:
    """The first epoch at which the mean of each loss over the last ten epochs lies inside the paper's band, ends included.

    Losses are means over an epoch, the discriminator's on the scale where undecided is ln 2, one value an epoch from the first
    on. The trailing mean exists from epoch 10 on, so no earlier epoch can be the answer.
    """
    if len(discriminator_losses) < WINDOW:
        return Balance(None, None, None)
    distances = np.maximum(
        _distances(discriminator_losses, paper.DISCRIMINATOR_BAND), _distances(generator_losses, paper.GENERATOR_BAND)
    )
    nearest, distance = int(distances.argmin()) + WINDOW, float(distances.min())  # the first one of all that are inside
    return Balance(None if distance else nearest, nearest, distance)


def balance(record: Record) -> Balance | None:
    """When a run reached the paper's balance, from its history; None for a loss that has no such band."""
    if not record.config.band:
        return None
    return find_balance(record.history["discriminator_loss"], record.history["generator_loss"])


def cost_usd(record: Record) -> float | None:
    """What a run's training costs on the instance that its configuration names."""
    seconds = record.summary.get("training_seconds") or sum(record.history.get("training_seconds", ()))
    return paper.cost_usd(seconds, record.config.machine) if seconds else None


def median_epoch(balances: Sequence[Balance]) -> int | None:
    """The median epoch of balance over several runs (seeds); None when half of them or more never reached it.

    Of an even number it is the mean of the middle two, rounded up.
    """
    middle = median([balance.epoch or math.inf for balance in balances] or [math.inf])
    return None if math.isinf(middle) else math.ceil(middle)


def find_plateau(epochs: Sequence[int], values: Sequence[float]) -> Plateau:
    """The first measured epoch whose value no later value improves on by more than a tenth.

    epochs: when quality was measured, rising, at least one; values: a distance, lower is better, none below 0. Because any last
    value is improved on by none, an epoch counts only when a fifth of the run's epochs or more came after it; otherwise there
    is no plateau yet and epoch is None. The first such epoch, not the best one: the lowest of many values that fluctuate is low
    by luck.
    """
    measured = np.asarray(values, dtype=float)
    best_later = np.append(np.minimum.accumulate(measured[::-1])[-2::-1], np.inf)
    settled = (best_later >= (1 - TOLERANCE) * measured) & (np.asarray(epochs) <= epochs[-1] * (1 - SETTLED))
    best = int(measured.argmin())
    return Plateau(epochs[int(settled.argmax())] if settled.any() else None, epochs[best], values[best])


def roughness(losses: Sequence[float]) -> float:
    """How far a loss strays: the median over the epochs of its distance from its mean over the last ten.

    A slow rise or fall counts for little, a jump to and fro for all of it. 0 for fewer than ten epochs.
    """
    if len(losses) < WINDOW:
        return 0.0
    return float(np.median(np.abs(np.asarray(losses[WINDOW - 1 :], dtype=float) - trailing_mean(losses, WINDOW))))


def trailing_mean(values: Sequence[float], window: int) -> np.ndarray:
    """Means over each run of `window` values: (E - window + 1,), the first one belonging to epoch `window`."""
    # Rounded to 12 digits, so that a mean of values on the band's edge is on the edge and not 1e-17 beyond it.
    return np.lib.stride_tricks.sliding_window_view(np.asarray(values, dtype=float), window).mean(axis=-1).round(12)


def _distances(losses: Sequence[float], band: paper.Band) -> np.ndarray:
    """How far each trailing mean lies outside a band."""
    means = trailing_mean(losses, WINDOW)
    return np.maximum(np.maximum(band.low - means, means - band.high), 0)
