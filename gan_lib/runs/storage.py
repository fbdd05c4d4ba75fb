"""Write files atomically and detect damage with checksums: JSON, safetensors, and columns of numbers (CSV)."""

import contextlib
import csv
import hashlib
import json
import math
import operator
import os
import re
import secrets
import stat
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_lib.errors import RecordError
from gan_lib.text import first_line

if TYPE_CHECKING:
    from torch import Tensor

SCHEMA_VERSION = 2
MOST_JSON = 2**20  # bytes of a JSON file; a run's have some thousand
_ENTRY = "gan-lib"  # in a safetensors file's metadata: its checksum and facts
_LINE = 4096  # bytes of a line of history.csv or metrics.csv; a run's have some hundred
MOST_SERIES = 2**28  # bytes of history.csv or metrics.csv: more than a line for each of the most epochs that a config takes
_MOST_COLUMNS = 64
_TOGETHER = 10_000  # lines that are parsed at once
_TORN = "the last line was broken and is left out"
LARGEST = 1e39  # of a number that is read: beyond float32, yet small enough that no computation with it overflows
_CHANGED = "it was changed or damaged after it was written"


def write_bytes(path: Path, content: bytes, *, durable: bool = False, keep: Path | None = None) -> None:
    """Write a file under another name and rename it: a reader sees the old one or the new one, never half of it.

    Does not follow links. Two processes may write it at once. durable: flush to the disk before the rename, so that a power
    cut leaves no partial file. keep: the old file's new name. Raises OSError, which names the file; no temporary file stays.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with named(path):
            with temporary.open("xb") as file:  # a new file
                file.write(content)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            if keep and path.exists():
                path.replace(keep)
            temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """Add the file's name to an OSError: that of a full disk has none."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        del error.filename2  # the other name of a rename
        raise


def refuse_outside(folder: Path, root: Path) -> None:
    """Raise RecordError if a folder to be written lies outside of root because of a link."""
    real, real_root = (Path(os.path.realpath(path)) for path in (folder, root))  # no error for a loop of links
    if not real.is_relative_to(real_root):
        raise RecordError(f"{folder} must lie in {root} (a link leads out of it, and nothing is written there), got {real}")


def read_bytes(path: Path, most: int = MOST_JSON) -> bytes:
    """Read a regular file. Raises RecordError if it is missing, larger than `most` bytes, or no regular file.

    A results folder may come from a stranger: reading a pipe or a device might never end.
    """
    check_file(path, most)
    try:
        return path.read_bytes()
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {first_line(error)}") from error


def check_file(path: Path, most: int) -> None:
    """Raise RecordError unless a path is a regular file of at most so many bytes."""
    try:
        facts = path.stat()
    except FileNotFoundError as error:
        raise RecordError(f"{path} does not exist") from error
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise RecordError(f"{path} cannot be read: {first_line(error)}") from error
    if not stat.S_ISREG(facts.st_mode):
        raise RecordError(f"{path} must be a regular file")
    if facts.st_size > most:
        raise RecordError(f"{path} must be at most {most:,} bytes, got {facts.st_size:,}")


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a small JSON object, with the schema's version and a checksum. NaN and infinity become null."""
    content = _plain({"schema_version": SCHEMA_VERSION, **value})
    content["sha256"] = _json_checksum(content)
    write_bytes(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def _plain(value: Any) -> Any:
    """Return a value that every JSON reader accepts: no NaN, no infinity, no lone surrogates (as in some file names)."""
    if isinstance(value, Mapping):
        return {_plain(str(key)): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json(path: Path, missing: dict[str, Any] | None = None) -> dict[str, Any]:
    """Read a JSON file that write_json wrote, without its checksum.

    Raises RecordError, naming the file, if it is damaged, or absent without a value in `missing`.
    """
    if missing is not None and not path.exists():
        return missing
    try:
        text = read_bytes(path).decode()
        value = json.loads(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # raises for lone surrogates, which cannot be printed
        noted = value.pop("sha256", None) if isinstance(value, dict) else None
        whole = noted == _json_checksum(value)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path} cannot be read as JSON: {first_line(error)}") from error
    if not isinstance(value, dict):
        raise RecordError(f"{path} must hold a JSON object, got {type(value).__name__}")
    if value.get("schema_version") != SCHEMA_VERSION:
        raise RecordError(f"{path}: schema_version must be {SCHEMA_VERSION}, got {value.get('schema_version')!r:.80}")
    if not whole:
        raise RecordError(f"{path} does not match its own checksum: {_CHANGED}")
    return value


def pack(tensors: Mapping[str, "Tensor"], facts: Mapping[str, Any]) -> bytes:
    """Pack named tensors (on any device) and JSON facts into a safetensors file with a checksum."""
    from safetensors.torch import save

    plain = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    text = json.dumps(_plain(facts), sort_keys=True)
    # One entry: safetensors writes several in random order, and the same run should give the same bytes.
    return save(plain, {_ENTRY: f"{_tensor_checksum(plain, text)} {text}"})


def unpack(path: Path, most: int = 2**31) -> tuple[dict[str, "Tensor"], dict[str, Any]]:
    """Read the tensors (on the CPU) and facts of a file that `pack` made. It contains data only, no code.

    Raises RecordError if it is missing, truncated, changed, larger than `most` bytes, or another kind of file.
    """
    from safetensors import SafetensorError, safe_open

    check_file(path, most)
    try:
        with safe_open(path, framework="pt") as file:
            noted, _, text = (file.metadata() or {}).get(_ENTRY, "").partition(" ")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dict
        whole = noted == _tensor_checksum(tensors, text)
        facts = json.loads(text) if whole else {}
    except (OSError, SafetensorError, ValueError, KeyError, RecursionError, MemoryError) as error:
        raise RecordError(f"{path} cannot be read as weights: {first_line(error)}") from error
    if not whole or not isinstance(facts, dict):
        raise RecordError(f"{path} does not match its own checksum: {_CHANGED}")
    return tensors, facts


def checksum(content: bytes) -> str:
    """Return the SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _json_checksum(value: Any) -> str:
    return checksum(json.dumps(value, sort_keys=True).encode())


def _tensor_checksum(tensors: Mapping[str, "Tensor"], text: str) -> str:
    import torch

    total = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        if tensor.numel():
            total.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


Series = dict[str, Sequence[float]]  # columns by name, one value a line: arrays, a quarter of a list's memory
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


def append(path: Path, line: Mapping[str, float]) -> None:
    """Add one line and write it at once, so that a run that dies keeps its history. The first line names the columns."""
    with named(path), open(path, "a", encoding="utf-8", newline="", opener=_no_link) as file:
        writer = csv.DictWriter(file, list(line), lineterminator="\n")
        if file.tell() == 0:
            writer.writeheader()
        writer.writerow(line)


def _no_link(name: str, flags: int) -> int:
    return os.open(name, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def write(path: Path, columns: Sequence[str], lines: Iterable[Sequence[float]]) -> None:
    """Write a file anew, up to the epoch that a run resumes from; without lines, remove it. The first column is the epoch."""
    if not (lines := list(lines)):
        return path.unlink(missing_ok=True)
    text = "".join(",".join(map(repr, (int(epoch), *rest))) + "\n" for epoch, *rest in lines)
    write_bytes(path, f"{','.join(columns)}\n{text}".encode())


def read_series(
    path: Path,
    columns: Sequence[str],
    notes: list[str],
    expected: str | None = None,
    *,
    more: bool = False,
    epochs: int = 10**6,
) -> Series:
    """Read the columns of a file. Also returns a note if its last line was broken and is left out.

    columns: the names in the first line. The first is the epoch, which counts from 1 to at most `epochs`. more: other columns
    may follow, epochs may be missing, and values need not be finite. expected: the SHA-256 of the whole file. A missing file
    gives empty columns. Raises RecordError, naming the file, for any other damage.
    """
    if not path.exists():
        return {name: [] for name in columns}
    *lines, torn = _read_lines(path, expected, MOST_SERIES // 8 if more else MOST_SERIES, epochs).split(b"\n")
    _check_line(path, max((*lines, torn), key=len))
    names = _names(path, lines.pop(0), columns, more) if lines else list(columns)

    def parse(end: int) -> "list[array[float]]":
        return _parse(lines[:end], len(names), more, 1, epochs)

    def is_broken(end: int) -> bool:
        with contextlib.suppress(ValueError):
            return not parse(end)
        return True

    try:
        values = parse(len(lines))
    except ValueError as error:
        first = bisect_left(range(1, len(lines)), True, key=is_broken)  # the broken line; the last one where no other is
        if torn or first < len(lines) - 1:
            raise RecordError(f"{path}: line {first + 2} is broken ({first_line(error):.100})") from error
        torn, values = lines[-1], parse(first)
    if torn:
        notes.append(f"{path}: {_TORN}")
    return dict(zip(names, values, strict=True))


def count_lines(
    path: Path, columns: Sequence[str], notes: list[str], expected: str | None = None, *, epochs: int = 10**6
) -> int:
    """Count the epochs that `read_series` would return, from the last line and the checksum."""
    if not path.exists():
        return 0
    content = _read_lines(path, expected, MOST_SERIES, epochs)
    count, end = content.count(b"\n") - 1, content.rfind(b"\n")
    torn = end + 1 < len(content)
    _check_line(path, content[end + 1 :])
    if count > 0:
        try:
            last = content[content.rfind(b"\n", 0, end) + 1 : end]
            _check_line(path, last)
            _parse([last], len(columns), False, count, epochs)
        except ValueError as error:
            if torn:
                raise RecordError(f"{path}: line {count + 1} is broken ({first_line(error):.100})") from error
            count, torn = count - 1, True
    if end > 0:
        _names(path, content[: content.index(b"\n")], columns, False)
    if torn:
        notes.append(f"{path}: {_TORN}")
    return max(0, count)


def _check_line(path: Path, line: bytes) -> None:
    """Raise RecordError for a line that is longer than any of ours: no interrupted write leaves that."""
    if len(line) > _LINE:
        raise RecordError(f"{path}: a line is broken ({len(line):,} bytes, where one has at most {_LINE:,})")


def _read_lines(path: Path, expected: str | None, most: int, epochs: int) -> bytes:
    """Read the content of a file. Raises RecordError for more than such a run writes, which would take gigabytes to parse."""
    content = read_checked(path, expected, min(most, _LINE * (epochs + 2)))
    if (count := content.count(b"\n") - 1) > epochs:
        raise RecordError(f"{path} must have at most one line for each of {epochs:,} epochs, got {count:,}")
    return content


def read_checked(path: Path, expected: str | None, most: int = MOST_SERIES) -> bytes:
    """Read a file. Raises RecordError if its SHA-256 is not the expected one."""
    content = read_bytes(path, most)
    if expected is not None and checksum(content) != expected:
        raise RecordError(f"{path} does not match its checksum in summary.json: {_CHANGED}")
    return content


def _names(path: Path, head: bytes, columns: Sequence[str], more: bool) -> list[str]:
    names = head.decode(errors="replace").split(",")
    whole = names[: len(columns)] == list(columns) and len(set(names)) == len(names) and all(map(_NAME.fullmatch, names))
    if not whole or len(names) > (_MOST_COLUMNS if more else len(columns)):
        raise RecordError(f"{path}: the first line must be {','.join(columns)}{' and names of measures' if more else ''}")
    return names


def _parse(lines: Sequence[bytes], count: int, more: bool, first: int, epochs: int) -> "list[array[float]]":
    """Parse lines of `count` values into columns. The first column counts epochs from `first` on. Raises ValueError."""
    if {line.count(b",") for line in lines} - {count - 1}:
        raise ValueError(f"it must hold {count} values")
    values = array("d")
    for start in range(0, len(lines), _TOGETHER):  # all at once would take ten times the memory of the file
        values.extend(map(float, b",".join(lines[start : start + _TOGETHER]).split(b",")))
    columns = [values[place::count] for place in range(count)]
    rising = all(map(operator.lt, columns[0], columns[0][1:])) and all(map(float.is_integer, columns[0]))
    if not rising if more else columns[0] != array("d", range(first, first + len(lines))):
        raise ValueError("its epoch does not follow")
    if lines and not first <= columns[0][-1] <= epochs:
        raise ValueError(f"epoch {columns[0][-1]:g} of {epochs}")
    finite = [value for value in values if math.isfinite(value)] if more else values
    if not math.isfinite(sum(finite)) or max(max(finite, default=0.0), -min(finite, default=0.0)) > LARGEST:
        raise ValueError("a value is not finite, or beyond what float32 holds")
    return columns
