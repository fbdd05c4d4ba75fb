"""Files that are whole or not there, and that notice damage: JSON and safetensors, each with its own checksum."""

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_lib.errors import RecordError
from gan_lib.words import first_line

if TYPE_CHECKING:
    from torch import Tensor

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
