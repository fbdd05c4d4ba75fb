"""Records and rows -> tables of image quality: a run's, and the configurations'."""

from collections.abc import Sequence
from statistics import mean
from typing import Any

from gan_lib import quality
from gan_lib.answers import cannot_be_told, in_words
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


def _mean(row: Row, name: str) -> float | None:
    found = quality.values(row, name)
    return MEASURES[name].scale * mean(found) if found else None


def _over_seeds(row: Row, name: str) -> Any:
    found = [MEASURES[name].scale * value for value in quality.values(row, name)]
    if len(set(found)) < 2:  # one run, or as many of one value
        return found[0] if found else None
    return f"{show(mean(found))} ({show(min(found))} to {show(max(found))})"
