"""A run folder: written as a run goes, read back whole. The only thing that passes between training and reporting."""

import csv
import json
import os
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_lib.config import RunConfig, differences, variant
from gan_lib.errors import ConfigurationError, RecordError
from gan_lib.words import first_line

if TYPE_CHECKING:
    from torch import nn

SCHEMA_VERSION = 1
STATUSES = ("ok", "failed", "killed", "interrupted", "timed-out", "unavailable", "lost", "running")
HISTORY_COLUMNS = (
    "epoch",
    "discriminator_loss",
    "generator_loss",
    "real_probability",
    "generated_probability",
    "training_seconds",
    "other_seconds",
)
# What a run writes into its folder. Starting a run anew removes these and nothing else.
_FILES = (
    *("config.json", "machine.json", "history.csv", "summary.json", "run.lock"),
    *("samples.png", "progress.gif", "generator.safetensors", "discriminator.safetensors"),
)


class RunFolder:
    """The writing side. One process writes one folder; every file is whole at every moment, but for history's last line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self, config: RunConfig) -> None:
        """Make the folder anew and write config.json. Raises RecordError where it cannot be written."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if (holder := lock_holder(self.path)) not in (None, os.getpid()):
                raise RecordError(f"{self.path} is being written by process {holder}: wait for it, or delete its run.lock")
            self.clear()
            self.write_json(
                "config.json",
                {"configuration": config.configuration, "variant": variant(config), **config.model_dump(mode="json")},
            )
            self.write_json("run.lock", {"pid": os.getpid(), "host": socket.gethostname()})
        except OSError as error:
            raise RecordError(f"results folder {self.path} cannot be written: {error.strerror}") from error

    def clear(self) -> None:
        """Remove what an earlier run left, and only that."""
        for name in _FILES:
            (self.path / name).unlink(missing_ok=True)

    def append(self, line: Mapping[str, float]) -> None:
        """Add one epoch to history.csv, at once on disk: a run that dies keeps its past."""
        path = self.path / "history.csv"
        with path.open("a", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, HISTORY_COLUMNS, lineterminator="\n")
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow(line)

    def finish(self, status: str, reason: str | None = None, **facts: Any) -> None:
        """Write summary.json, the last word on this run, and give the folder up."""
        summary = {"status": status, "reason": reason, "finished": now(), **facts}
        self.write_json("summary.json", summary)
        (self.path / "run.lock").unlink(missing_ok=True)

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a small JSON file, with the schema's version."""
        text = json.dumps({"schema_version": SCHEMA_VERSION, **value}, indent=2, ensure_ascii=False) + "\n"
        self.write_bytes(name, text.encode())

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a file under another name and rename it: a reader sees the old one or the new one, never half of it."""
        temporary = self.path / f".{name}.tmp"
        temporary.write_bytes(content)
        temporary.replace(self.path / name)

    def save_weights(self, name: str, network: "nn.Module") -> int:
        """Write a network's parameters and running statistics to NAME.safetensors; returns the file's size in bytes."""
        from safetensors.torch import save

        content = save({key: tensor.contiguous() for key, tensor in network.state_dict().items()})
        self.write_bytes(f"{name}.safetensors", content)
        return len(content)


@dataclass(frozen=True)
class Record:
    """One run folder, read back."""

    path: Path
    config: RunConfig
    status: str  # one of STATUSES
    reason: str | None = None  # why it is not ok
    machine: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: dict[str, list[float]] = field(default_factory=dict)  # HISTORY_COLUMNS, one value an epoch
    notes: list[str] = field(default_factory=list)  # what was wrong with its files and could be mended

    @property
    def name(self) -> str:
        """Its folder below runs/, such as "gan-cpu--quick/seed-0"."""
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def variant(self) -> str:
        """ "" for the paper's own schedule, else what sets the run apart, such as "quick"."""
        return variant(self.config)

    @property
    def epochs_done(self) -> int:
        """How many epochs are in history.csv."""
        return len(self.history.get("epoch", []))


def read_record(path: Path) -> Record:
    """Read a run folder. A history with a broken last line loses that line, with a note; anything worse is a RecordError."""
    if not path.is_dir():
        raise RecordError(f"run {path} does not exist")
    config = read_config(path)
    notes: list[str] = []
    history = _read_history(path / "history.csv", notes)
    summary = read_json(path / "summary.json", missing={})
    status, reason = str(summary.get("status", "")), summary.get("reason")
    if not summary:
        status = "running" if lock_holder(path) else "lost"
        reason = None if status == "running" else "the process that wrote this folder is gone, and said nothing"
    elif status not in STATUSES:
        raise RecordError(f"{path / 'summary.json'}: status must be one of {', '.join(STATUSES)}, got {status!r:.80}")
    machine = read_json(path / "machine.json", missing={})
    return Record(path, config, status, None if reason is None else str(reason), machine, summary, history, notes)


def read_config(path: Path) -> RunConfig:
    """The RunConfig in a run folder's config.json. Raises RecordError, naming the file."""
    stored = read_json(path / "config.json")
    values = {key: value for key, value in stored.items() if key not in ("schema_version", "configuration", "variant")}
    try:
        return RunConfig(**values)
    except (ConfigurationError, TypeError) as error:
        raise RecordError(f"{path / 'config.json'}: {error}") from error


def is_finished(path: Path) -> bool:
    """Whether a folder holds a run that was trained to its end."""
    try:
        return read_record(path).status == "ok"
    except RecordError:
        return False


def find_records(root: Path) -> tuple[list[Record], list[str]]:
    """Every readable run below a folder, in order of name; and one line for each folder that is not readable."""
    records, problems = [], []
    for config_file in sorted(root.glob("*/seed-*/config.json")):
        try:
            records.append(read_record(config_file.parent))
        except RecordError as error:
            problems.append(str(error))
    return records, problems


def check_same(path: Path, config: RunConfig) -> None:
    """Raise RecordError when a run folder holds a run of other parameters; the fields that differ are named."""
    changed = differences(read_config(path), config, ignore=())
    if changed:
        listed = ", ".join(f"{name} = {there!r} there, {here!r} here" for name, (there, here) in changed.items())
        raise RecordError(f"{path} holds a run of other parameters ({listed}): use --fresh to replace it")


def load_weights(network: "nn.Module", path: Path) -> None:
    """Read a network's weights from a safetensors file, which cannot run code. Raises RecordError when they do not fit."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        weights = load(path.read_bytes())
    except FileNotFoundError as error:
        raise RecordError(f"{path} does not exist: this run kept no weights (reference runs do not); train it again") from error
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise RecordError(f"{path} cannot be read as weights: {first_line(error)}") from error
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if wrong:
        name = wrong[0]
        raise RecordError(
            f"{path} does not fit the model: {name} must be {expected.get(name, 'absent')}, got {found.get(name, 'none')}"
            f"{f' ({len(wrong) - 1} more differ)' if len(wrong) > 1 else ''}"
        )
    network.load_state_dict(weights)


def lock_holder(path: Path) -> int | None:
    """The process on this host that is writing a run folder now, or None."""
    lock = read_json(path / "run.lock", missing={})
    pid = lock.get("pid")
    if not isinstance(pid, int) or pid <= 0 or lock.get("host") != socket.gethostname():
        return None
    try:
        os.kill(pid, 0)
    except PermissionError:  # alive, and somebody else's
        return pid
    except (OSError, OverflowError):
        return None
    return pid


def copy_records(source: Path, target: Path) -> list[str]:
    """Copy every finished paper-length run below a folder to another, without its weights; returns their names."""
    copied = []
    for record in find_records(source)[0]:
        if record.status == "ok" and not record.variant:
            shutil.copytree(
                record.path,
                target / record.name,
                dirs_exist_ok=True,
                ignore=shutil.ignore_patterns("*.safetensors", "run.l*", ".*"),
            )
            copied.append(record.name)
    return copied


def now() -> str:
    """The time, in UTC, to the second: "2026-05-04T13:02:01+00:00"."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_json(path: Path, missing: dict[str, Any] | None = None) -> dict[str, Any]:
    """A JSON file of ours. Raises RecordError, naming the file, unless it is absent and there is something to stand in."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if missing is not None:
            return missing
        raise RecordError(f"{path} does not exist") from error
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{path} cannot be read as JSON: {first_line(error)}") from error
    if not isinstance(value, dict):
        raise RecordError(f"{path} must hold a JSON object, got {type(value).__name__}")
    if value.get("schema_version") != SCHEMA_VERSION:
        raise RecordError(f"{path}: schema_version must be {SCHEMA_VERSION}, got {value.get('schema_version')!r:.80}")
    return value


def _read_history(path: Path, notes: list[str]) -> dict[str, list[float]]:
    history: dict[str, list[float]] = {name: [] for name in HISTORY_COLUMNS}
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return history
    except (OSError, ValueError) as error:
        raise RecordError(f"{path} cannot be read: {error}") from error
    last = len(lines) - 1  # what follows the last newline: "" in a whole file, a torn line after a crash
    for number, line in enumerate(lines):
        if number == last and not line:
            break
        try:
            if number == last:
                raise ValueError("no line end")
            if number == 0:
                if line != ",".join(HISTORY_COLUMNS):
                    raise RecordError(f"{path}: the first line must be {','.join(HISTORY_COLUMNS)}")
                continue
            values = [float(value) for value in line.split(",")]
            if len(values) != len(HISTORY_COLUMNS) or values[0] != number:
                raise ValueError(f"{len(values)} values, epoch {values[0]:g}")
        except ValueError as error:
            if number < last - 1:
                raise RecordError(f"{path}: line {number + 1} is broken ({error})") from error
            notes.append(f"{path}: the last line was broken and is left out")
            break
        for name, value in zip(HISTORY_COLUMNS, values, strict=True):
            history[name].append(value)
    return history
