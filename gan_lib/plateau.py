"""The epoch after which quality no longer improves, as a written rule."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

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
