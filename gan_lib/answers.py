"""The shape of an answer to a claim: what is claimed, whether it holds, and the number that decides."""

from collections.abc import Sequence
from typing import NamedTuple

from gan_lib.intervals import FEWEST, Interval
from gan_lib.words import show

HOLDS, FAILS, UNKNOWN = "holds", "does not hold", "cannot be judged here"


class Claim(NamedTuple):
    """One statement of the paper, and what these runs say of it."""

    claim: str
    answer: str  # HOLDS, FAILS or UNKNOWN
    because: str  # the number that decides, or why there is none


def is_above(found: Interval | None, bound: float = 0.0) -> bool | None:
    """Whether a number is above a bound; None where that cannot be told: too few runs, or the bound is in the interval."""
    if found is None or found.low <= bound <= found.high:
        return None
    return found.low > bound


def answer(verdicts: Sequence[bool | None]) -> str:
    """HOLDS where all of several findings speak for a claim, FAILS where one speaks against it, else UNKNOWN."""
    if any(verdict is False for verdict in verdicts):
        return FAILS
    return HOLDS if all(verdicts) else UNKNOWN


def cannot_be_told(*runs: int) -> str:
    """Why there is no answer, from how many runs of each kind there are."""
    fewest = min(runs)
    words = f"cannot be told with {fewest} run{'' if fewest == 1 else 's'}"
    return f"{words}: {FEWEST} of each are the least" if fewest < FEWEST else words


def in_words(found: Interval, scale: float = 1.0) -> str:
    """A number with its interval: "2.10 (95% interval 1.80 to 2.40, n = 3)"."""
    value, low, high = (show(scale * number) for number in found[:3])
    return f"{value} (95% interval {low} to {high}, n = {found.runs})"
