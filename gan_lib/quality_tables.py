"""Records and rows -> tables of image quality: a run's, the configurations', and when to stop."""

import itertools
from collections.abc import Sequence
from statistics import mean
from typing import Any

from gan_lib import quality
from gan_lib.answers import cannot_be_told, in_words
from gan_lib.balance import NO_BAND, find_balance
from gan_lib.intervals import FEWEST, difference
from gan_lib.quality import FRECHET, MEASURES
from gan_lib.record import Record
from gan_lib.selection import Comparison, Row
from gan_lib.tables import TITLES, Table, table
from gan_lib.words import show

_COMPARED = (FRECHET, "recognisable", "noise_level", "stray_pixels")
_HEADLINE = {
    FRECHET: "Fréchet distance",
    "precision": "precision, %",
    "recall": "recall, %",
    "recognisable": "recognisable, %",
    "noise_level": "noise level, %",
    "stray_pixels": "stray pixels an image",
    "copies": "copies, %",
}


def run_quality(record: Record) -> Table:
    """Every measure of one run at its end, with its floor and what better means; or why there are none."""
    found, perfect = quality.last(record), quality.floor(record)
    about = str(record.summary.get("quality_about") or quality.NOT_MEASURED)
    listed = [
        {
            "measure": measure.name,
            "this run": measure.scale * found[name],
            "floor: real images": measure.scale * perfect[name] if name in perfect else None,
            "better": measure.better,
        }
        for name, measure in MEASURES.items()
        if name in found
    ]
    count = record.summary.get("quality_images")
    images = f", {count:,} generated images against as many held-out ones" if isinstance(count, int) else ""
    return table(listed or [{"measure": about}], f"Image quality at the end{images}. {about[:1].upper()}{about[1:]}.")


def quality_by_configuration(rows: Comparison) -> Table:
    """The measures that decide, one row a configuration: mean over the seeds, lowest to highest; the floor in the last row."""

    def line(row: Row) -> dict[str, Any]:
        runs = quality.values(row, "noise_level")  # which is measured wherever anything is
        cells: dict[str, Any] = {name: _over_seeds(row, key) for key, name in _HEADLINE.items()}
        if cells[_HEADLINE[FRECHET]] is None:
            cells[_HEADLINE[FRECHET]] = quality.why_missing(row)
        return {
            "configuration": TITLES[row.configuration],
            **cells,
            "runs": len(runs) if runs else None,
            "where from": row.origin or None,
        }

    listed = [line(row) for row in rows.values()]
    if measured := next((row for row in rows.values() if quality.row_floor(row, "noise_level") is not None), None):
        floors = {
            name: None if (value := quality.row_floor(measured, key)) is None else MEASURES[key].scale * value
            for key, name in _HEADLINE.items()
        }
        listed.append({"configuration": "real images: the floor", **floors, "runs": None, "where from": None})
    caption = "Image quality at the end of training: mean over the seeds (lowest to highest)"
    return table(listed, caption)


def all_measures(rows: Comparison) -> Table:
    """Every measure, one row each: the mean over the seeds of the configurations that have it, and the floor."""
    measured = [row for row in rows.values() if quality.values(row, "noise_level")]
    listed = []
    for name, measure in MEASURES.items():
        means = {TITLES[row.configuration]: _mean(row, name) for row in measured}
        perfect = next((value for row in measured if (value := quality.row_floor(row, name)) is not None), None)
        if any(value is not None for value in means.values()):
            ground = None if perfect is None else measure.scale * perfect
            listed.append({"measure": measure.name, **means, "floor: real images": ground, "better": measure.better})
    return table(listed or [{"measure": quality.NOT_MEASURED}], "All measures of image quality, means over the seeds")


def differences(pairs: Sequence[tuple[Row, Row]]) -> Table:
    """How much one configuration's number is above another's, with its 95 % interval over the seeds."""

    def line(one: Row, other: Row, name: str) -> dict[str, Any]:
        first, second = quality.values(one, name), quality.values(other, name)
        found = difference(first, second)
        told: Any = cannot_be_told(len(first), len(second)) if found is None else in_words(found, MEASURES[name].scale)
        if found is not None and found.low <= 0 <= found.high:
            told += ", spans 0"
        return {"difference": heading(one, other), "measure": MEASURES[name].name, "value": told}

    def heading(one: Row, other: Row) -> str:
        return f"{TITLES[one.configuration]} minus {TITLES[other.configuration]}"

    listed = []
    for one, other in pairs:
        absent = [row for row in (one, other) if not quality.values(row, FRECHET)]
        if not absent:
            listed += [line(one, other, name) for name in _COMPARED]
        else:
            why = "; ".join(f"{TITLES[row.configuration]}: {quality.why_missing(row)}" for row in absent)
            listed.append({"difference": heading(one, other), "measure": None, "value": why})
    return table(
        listed or [{"difference": "no two configurations to compare"}],
        f"Differences in the mean, from {FEWEST} runs of each on; one that spans 0 may be chance",
    )


def when_to_stop(records: Sequence[Record]) -> Table:
    """For each run with quality: the epoch of the paper's balance beside the one after which quality no longer improved."""

    def line(record: Record) -> dict[str, Any]:
        found = quality.plateau(record)
        best = None if found is None else f"{show(found.best)} at epoch {found.best_epoch:,}"
        stopped: Any = quality.NOT_MEASURED if found is None else found.epoch or f"not yet in {record.epochs_done:,}"
        return {
            "run": record.name,
            "balance at epoch": NO_BAND
            if record.config.wasserstein
            else _balance(record) or f"never in {record.epochs_done:,}",
            "quality no longer improved after epoch": stopped,
            "best Fréchet distance": best,
        }

    listed = [line(record) for record in records]
    return table(listed or [{"run": "none yet"}], "When to stop: the paper's balance, and quality")


def balance_answer(records: Sequence[Record]) -> str:
    """Does the paper's balance rule find the moment to stop? One sentence, from the runs whose quality was measured.

    Runs with a Wasserstein loss have no balance, and are left out.
    """
    judged = [record for record in records if not record.config.wasserstein]
    runs = [(_balance(record), found) for record in judged if (found := _stop(record))]
    told = len(runs)
    question = "Whether the paper's balance rule finds the moment to stop"
    if not told:
        return f"{question} cannot be told: quality was not measured in any of these runs."
    both = [(balance, epoch, every) for balance, (epoch, every) in runs if balance is not None and epoch is not None]
    without = sum(balance is None and epoch is not None for balance, (epoch, _) in runs)
    settled = sum(epoch is not None for _, (epoch, _) in runs)
    hits = sum(abs(balance - epoch) <= every for balance, epoch, every in both)
    numbers = (
        f"quality stopped improving in {settled} of {told} run{'' if told == 1 else 's'}, and there the balance came within "
        f"one evaluation of that epoch {hits} time{'' if hits == 1 else 's'}, earlier or later {len(both) - hits}, "
        f"never {without}"
    )
    if not settled:
        balanced = sum(balance is not None for balance, _ in runs)
        numbers = f"quality was still improving at the end of all {told}, of which {balanced or 'none'} ever came into balance"
    if settled < FEWEST:
        return f"{question} cannot be told, for that takes {FEWEST} runs in which quality stopped improving: {numbers}."
    if hits == settled:
        return f"The paper's balance rule finds the moment to stop: {numbers}."
    if hits == 0:
        return f"The paper's balance rule does not find the moment to stop: {numbers}."
    return f"The paper's balance rule finds the moment to stop at times: {numbers}."


def _balance(record: Record) -> int | None:
    return find_balance(record.history["discriminator_loss"], record.history["generator_loss"]).epoch


def _stop(record: Record) -> tuple[int | None, int] | None:
    """The epoch after which quality no longer improved, and how many epochs from there the measurements beside it are, the
    farther of both; None without any."""
    found = quality.plateau(record)
    if found is None or found.epoch is None:
        return found and (None, 0)
    epochs = [0, *quality.curve(record).epochs]
    return found.epoch, max(later - earlier for earlier, later in itertools.pairwise(epochs) if found.epoch in (earlier, later))


def _mean(row: Row, name: str) -> float | None:
    found = quality.values(row, name)
    return MEASURES[name].scale * mean(found) if found else None


def _over_seeds(row: Row, name: str) -> Any:
    found = [MEASURES[name].scale * value for value in quality.values(row, name)]
    if len(set(found)) < 2:  # one run, or as many of one value
        return found[0] if found else None
    return f"{show(mean(found))} ({show(min(found))} to {show(max(found))})"
