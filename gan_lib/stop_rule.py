"""Does the paper's balance rule find the moment to stop? What each run shows of it, and what they show together."""

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

from gan_lib import quality
from gan_lib.balance import NO_BAND, find_balance
from gan_lib.intervals import FEWEST
from gan_lib.plateau import SETTLED
from gan_lib.record import Record
from gan_lib.tables import Table, table
from gan_lib.words import show

RIGHT, EARLY, LATE, NEVER = "right", "early", "late", "never"


def when_to_stop(records: Sequence[Record]) -> Table:
    """For each run with quality: the epoch of the paper's balance beside the one after which quality no longer improved."""

    def line(record: Record) -> dict[str, Any]:
        found = quality.plateau(record)
        best = None if found is None else f"{show(found.best)} at epoch {found.best_epoch:,}"
        stopped: Any = quality.NOT_MEASURED if found is None else found.epoch or f"not yet in {record.epochs_done:,}"
        balance = NO_BAND if record.config.wasserstein else _balance(record) or f"never in {record.epochs_done:,}"
        return {
            "run": record.name,
            "balance at epoch": balance,
            "quality no longer improved after epoch": stopped,
            "best Fréchet distance": best,
        }

    listed = [line(record) for record in records]
    return table(listed or [{"run": "none yet"}], "When to stop: the paper's balance, and quality")


def timing(record: Record) -> str | None:
    """How the run's balance lies to the epoch after which its Fréchet distance no longer improved (plateau.find_plateau).

    RIGHT: within one evaluation of it. EARLY or LATE: farther from it. NEVER: no balance, though quality stopped improving.
    Where quality was still improving at the end, that epoch is known to be in the run's last fifth at the earliest, and a
    balance long before is EARLY. None: the run does not show it, or its quality was not measured.
    """
    found = quality.plateau(record)
    if found is None:
        return None
    balance = _balance(record)
    epochs = quality.curve(record).epochs
    stop = found.epoch or next(epoch for epoch in epochs if epoch > epochs[-1] * (1 - SETTLED))
    if balance is None:
        return NEVER if found.epoch else None
    apart = max(later - earlier for earlier, later in itertools.pairwise([0, *epochs]) if stop in (earlier, later))
    if balance < stop - apart:
        return EARLY
    if found.epoch is None:
        return None
    return LATE if balance > stop + apart else RIGHT


def balance_answer(records: Sequence[Record]) -> str:
    """Does the paper's balance rule find the moment to stop? One sentence, from the runs whose quality was measured.

    Runs with a Wasserstein loss have no balance, and are left out.
    """
    question = "Whether the paper's balance rule finds the moment to stop"
    measured = [record for record in records if not record.config.wasserstein and quality.plateau(record)]
    if not measured:
        return f"{question} cannot be told: quality was not measured in any of these runs."
    found = Counter(timing(record) for record in measured)
    silent = found.pop(None, 0)
    told = found.total()
    runs = f"{len(measured)} run{'' if len(measured) == 1 else 's'}"
    if not told:
        return f"{question} cannot be told: quality still improved at the end of {runs}, without a balance long before."
    numbers = (
        f"of {runs} with quality measured {told} can tell, and their balance "
        f"came before quality stopped improving in {found[EARLY]}, within one evaluation of that epoch in {found[RIGHT]}, "
        f"later in {found[LATE]} and never in {found[NEVER]}"
    )
    if silent:
        numbers += f"; in the remaining {silent} quality was still improving at the end, without a balance long before"
    if told < FEWEST:
        return f"{question} cannot be told, for that takes {FEWEST} runs: {numbers}."
    if found[RIGHT] == told:
        return f"The paper's balance rule finds the moment to stop: {numbers}."
    if not found[RIGHT]:
        return f"The paper's balance rule does not find the moment to stop: {numbers}."
    return f"The paper's balance rule finds the moment to stop at times: {numbers}."


def _balance(record: Record) -> int | None:
    return find_balance(record.history["discriminator_loss"], record.history["generator_loss"]).epoch
