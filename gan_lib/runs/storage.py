"""Files that are whole or not there, and that notice damage: JSON and safetensors, each with its own checksum."""

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_lib.errors import RecordError
from gan_lib.text import first_line

if TYPE_CHECKING:
    from torch import Tensor
import csv
import re
from collections.abc import Iterable, Sequence

SCHEMA_VERSION = 2
_ENTRY = "gan-lib"  # in a safetensors file's metadata: its checksum and facts
_MOST_BYTES = 16 * 2**20  # of a text file of ours; a longer one is not read into memory to find out what it is


def write_bytes(path: Path, content: bytes, *, durable: bool = False, keep: Path | None = None) -> None:
    """Write a file under another name and rename it: a reader sees the old one or the new one, never half of it.

    durable: on the disk itself before the rename, so that a power cut cannot leave half of it either. keep: the name that
    the old file goes on under. A write that fails leaves nothing behind.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        with temporary.open("xb") as file:  # never through a link that a stranger left
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        if keep and path.exists():
            path.replace(keep)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_bytes(path: Path, most: int = _MOST_BYTES) -> bytes:
    """A regular file's content. Raises RecordError for one that is missing, larger than `most` bytes, or no file at all.

    A results folder may come from a stranger: a pipe would never end, and a link to a device would never fill.
    """
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise RecordError(f"{path} must be a regular file")
        if facts.st_size > most:
            raise RecordError(f"{path} must be at most {most:,} bytes, got {facts.st_size:,}")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise RecordError(f"{path} does not exist") from error
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise RecordError(f"{path} cannot be read: {first_line(error)}") from error


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a small JSON object, with the schema's version and a checksum of all of it."""
    content = {"schema_version": SCHEMA_VERSION, **value}
    content["sha256"] = _json_checksum(content)
    write_bytes(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def read_json(path: Path, missing: dict[str, Any] | None = None) -> dict[str, Any]:
    """A JSON file of ours, without its checksum.

    Raises RecordError, naming the file, where it is damaged; and where it is absent, unless something can stand in.
    """
    if missing is not None and not path.exists():
        return missing
    try:
        value = json.loads(read_bytes(path).decode())
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path} cannot be read as JSON: {first_line(error)}") from error
    if not isinstance(value, dict):
        raise RecordError(f"{path} must hold a JSON object, got {type(value).__name__}")
    if value.get("schema_version") != SCHEMA_VERSION:
        raise RecordError(f"{path}: schema_version must be {SCHEMA_VERSION}, got {value.get('schema_version')!r:.80}")
    if value.pop("sha256", None) != _json_checksum(value):
        raise RecordError(f"{path} does not match its own checksum: it was changed or damaged after it was written")
    return value


def pack(tensors: Mapping[str, "Tensor"], facts: Mapping[str, Any]) -> bytes:
    """Named tensors (on any device) and JSON facts as a safetensors file with a checksum of everything in it."""
    from safetensors.torch import save

    plain = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    told = json.dumps(facts, sort_keys=True)
    # One entry: safetensors writes several in no particular order, and the same run should give the same bytes.
    return save(plain, {_ENTRY: f"{_tensor_checksum(plain, told)} {told}"})


def unpack(path: Path) -> tuple[dict[str, "Tensor"], dict[str, Any]]:
    """The tensors (on the CPU) and facts of a file that `pack` made: data only, nothing in it can run.

    Raises RecordError when it is missing, torn, changed or something else.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise RecordError(f"{path} {'must be a regular file' if path.exists() else 'does not exist'}")
    try:
        with safe_open(path, framework="pt") as file:
            noted, _, told = (file.metadata() or {}).get(_ENTRY, "").partition(" ")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dict
        whole = noted == _tensor_checksum(tensors, told)
        facts = json.loads(told) if whole else {}
    except (OSError, SafetensorError, ValueError, KeyError, RecursionError, MemoryError) as error:
        raise RecordError(f"{path} cannot be read as weights: {first_line(error)}") from error
    if not whole or not isinstance(facts, dict):
        raise RecordError(f"{path} does not match its own checksum: it was changed or damaged after it was written")
    return tensors, facts


def checksum(content: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _json_checksum(value: Mapping[str, Any]) -> str:
    return checksum(json.dumps(value, sort_keys=True).encode())


def _tensor_checksum(tensors: Mapping[str, "Tensor"], told: str) -> str:
    import torch

    total = hashlib.sha256(told.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        if tensor.numel():
            total.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


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


def read_series(
    path: Path, columns: Sequence[str], notes: list[str], expected: str | None = None, *, more: bool = False
) -> Series:
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
