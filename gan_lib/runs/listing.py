"""Find runs by name, sort them, and list them in one line each."""

import contextlib
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gan_lib.errors import RecordError
from gan_lib.runs.record import Record, find_records, read_record
from gan_lib.text import nearest, shorten

SORTS = {"name": "name", "date": "finished", "quality": "frechet_distance", "seconds": "seconds_per_epoch"}
_WORDS = {
    "epochs": "{:,} epochs",
    "seconds_per_epoch": "{:.3g} s per epoch",
    "discriminator_loss": "D {:.3g}",
    "generator_loss": "G {:.3g}",
    "frechet_distance": "Fréchet distance {:.3g}",
    "finished": "{:.10}",
    "machine": "{}",
    "reason": "{}",
}


def find_run(name: str, results: Path) -> Record:
    """Find a run by its folder, or by its name below runs/ or reference/. The seed is optional if only one exists.

    Raises RecordError, which suggests the nearest name.
    """
    for folder in (Path(name), results / "runs" / name, results / "reference" / name) if name.strip(".") else ():
        with contextlib.suppress(OSError):  # a name too long for a file, say
            if (folder / "config.json").exists():
                return read_record(folder)
            seeds = sorted(path.parent.name for path in folder.glob("seed-*/config.json"))
            if len(seeds) > 1:
                raise RecordError(f"run {name!r} has {len(seeds)} seeds: name one, such as {name.rstrip('/')}/{seeds[0]}")
            if seeds:
                return read_record(folder / seeds[0])
    roots = (results / "runs", results / "reference")
    known = {path.parent.relative_to(root).as_posix() for root in roots for path in root.glob("*/seed-*/config.json")}
    raise RecordError(f"run {name!r} does not exist{nearest(name, sorted(known))}")


def check_experiments(runs: Path, experiments: Sequence[str]) -> None:
    """Raise RecordError, which suggests the nearest name, for the first experiment that is no folder below runs."""
    known = sorted(path.name for path in runs.glob("*") if path.is_dir())
    for name in experiments:
        if name not in known:
            raise RecordError(f"experiment {shorten(name)} does not exist in {runs}{nearest(name, known)}")


def list_runs(root: Path, sort: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the facts of each run below a folder, sorted by one of SORTS, and one line for each unreadable folder."""
    records, problems = find_records(root, series=False)
    return sorted(map(facts, records), key=lambda row: sort_key(row, sort)), problems


def sort_key(row: dict[str, Any], sort: str) -> tuple[bool, Any]:
    """Sort missing values last, and seed-10 after seed-2."""
    value = row[SORTS[sort]]
    if sort == "name":
        value = [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", value)]
    return value is None, value


def facts(record: Record) -> dict[str, Any]:
    """Return the listed facts of a run, as plain JSON values; None for a missing number."""
    quality, summary = record.summary.get("quality"), record.summary
    numbers = {name: summary.get(name) for name in ("seconds_per_epoch", "discriminator_loss", "generator_loss")}
    numbers["frechet_distance"] = quality.get("frechet_distance") if isinstance(quality, dict) else None
    return {
        "name": record.name,
        "status": record.status,
        "epochs": record.epochs_done,
        **{name: value if isinstance(value, float) and math.isfinite(value) else None for name, value in numbers.items()},
        "finished": str(summary.get("finished") or "") or None,
        "machine": str(record.machine.get("label") or "") or None,
        "reason": record.reason,
        "notes": record.notes,
        "path": str(record.path),
    }


def lines(rows: Iterable[dict[str, Any]], width: int = 0) -> list[str]:
    """Return a line for each run of `facts`, and one for each of its notes. width: of the column of names."""
    text: list[str] = []
    for row in rows:
        words = ", ".join(form.format(row[name]) for name, form in _WORDS.items() if row[name])
        words = words.replace("1 epochs", "1 epoch") if row["epochs"] == 1 else words
        text += [
            f"{row['name']:<{width}}  {row['status']:<11}  {words}".rstrip(),
            *(f"  note: {note}" for note in row["notes"]),
        ]
    return text
