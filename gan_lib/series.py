"""Numbers that come as a run goes: CSV files that grow by one line at a time and are read back with care."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from gan_lib.errors import RecordError
from gan_lib.storage import checksum, read_bytes, write_bytes
from gan_lib.words import first_line

Series = dict[str, list[float]]  # columns by name, one value a line
_LONGEST = 2**30  # bytes: more than a line for each of the most epochs that a config takes
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def append(path: Path, line: Mapping[str, float]) -> None:
    """Add one line, under a first line with the columns' names: at once on disk, a run that dies keeps its past."""
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(line), lineterminator="\n")
        if file.tell() == 0:
            writer.writeheader()
        writer.writerow(line)


def write(path: Path, columns: Sequence[str], lines: Iterable[Sequence[float]]) -> None:
    """Write a file anew, as far as a run goes on from; without lines there is none. The first column is the epoch."""
    if not (lines := list(lines)):
        return path.unlink(missing_ok=True)
    text = "".join(",".join(map(repr, (int(epoch), *rest))) + "\n" for epoch, *rest in lines)
    write_bytes(path, f"{','.join(columns)}\n{text}".encode())


def read(path: Path, columns: Sequence[str], notes: list[str], expected: str | None = None, *, more: bool = False) -> Series:
    """The columns of a file, and a note where its last line was broken and is left out.

    columns: the names that must stand in the first line, the epoch first, which counts from 1. more: others may follow them,
    and epochs may be left out. expected: the SHA-256 of the whole file. A file that is missing has empty columns. Raises
    RecordError, naming the file, for everything else that is not as it was written.
    """
    if not path.exists():
        return {name: [] for name in columns}
    content = read_bytes(path, most=_LONGEST)
    if expected is not None and checksum(content) != expected:
        raise RecordError(f"{path} does not match its checksum in summary.json: it was changed or damaged after it was written")
    try:
        head, *lines = content.decode().split("\n")
    except ValueError as error:
        raise RecordError(f"{path} cannot be read: {first_line(error)}") from error
    broken = f"{path}: the last line was broken and is left out"
    if not lines:  # torn before the first line's end
        notes += [broken] if head else []
        return {name: [] for name in columns}
    found: Series = {name: [] for name in _names(path, head, columns, more)}
    last = len(lines) - 1  # what follows the last newline: "" in a whole file, a torn line after a crash
    before = 0.0
    for number, line in enumerate(lines):
        if number == last and not line:
            break
        try:
            if number == last:
                raise ValueError("no line end")
            values = _values(line, len(found), before, more)
        except ValueError as error:
            if number < last - 1:
                raise RecordError(f"{path}: line {number + 2} is broken ({error})") from error
            notes.append(broken)
            break
        before = values[0]
        for column, value in zip(found.values(), values, strict=True):
            column.append(value)
    return found


def _names(path: Path, head: str, columns: Sequence[str], more: bool) -> list[str]:
    names = head.split(",")
    whole = names[: len(columns)] == list(columns) and len(set(names)) == len(names) and all(map(_NAME.fullmatch, names))
    if not whole or (len(names) > len(columns) and not more):
        raise RecordError(f"{path}: the first line must be {','.join(columns)}{' and names of measures' if more else ''}")
    return names


def _values(line: str, count: int, before: float, more: bool) -> list[float]:
    values = [float(value) for value in line.split(",")]
    next_one = values[0] > before and values[0].is_integer() if more else values[0] == before + 1
    if len(values) != count or not next_one:
        raise ValueError(f"{len(values)} values, epoch {values[0]:g}")
    return values
