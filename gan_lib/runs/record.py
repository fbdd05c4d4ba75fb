"""Write and read run folders, the only connection between training and reporting."""

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gan_lib.config import FREE, RunConfig, differences
from gan_lib.errors import ConfigurationError, RecordError
from gan_lib.presets import variant
from gan_lib.runs import checkpoint, storage
from gan_lib.runs.locks import Lock, holder
from gan_lib.runs.storage import Series, checksum, pack, read_bytes, read_json, refuse_outside, unpack, write_bytes, write_json
from gan_lib.text import one_line, shorten

if TYPE_CHECKING:
    from torch import nn


Status = Literal["ok", "failed", "killed", "interrupted", "timed-out", "unavailable", "lost", "running"]
STATUSES: tuple[str, ...] = get_args(Status)
HISTORY_COLUMNS = (
    "epoch",
    "discriminator_loss",
    "generator_loss",
    "real_probability",
    "generated_probability",
    "training_seconds",
    "other_seconds",
)
METRICS_COLUMNS = ("epoch", "training_seconds", "evaluation_seconds")  # the measures of quality follow
# The files of a run. Starting it anew removes only these.
FILES = (
    *("config.json", "machine.json", "history.csv", "metrics.csv", "summary.json", *checkpoint.NAMES),
    *("samples.png", "progress.gif"),
    *("generator.safetensors", "generator.raw.safetensors", "discriminator.safetensors"),
)
MOST_KEPT = 2_000_000  # at most so many bytes of generator weights are kept with a reference run
# The links of a kept report lead to the comparison of the reference runs; of those there is no index.
_KEPT_LINKS = {
    b'<a href="../../../index.html">All results</a> ': b"",
    b'"../../../comparison.html"': b'"../../comparison.html"',
}
_MOST_NOTES, _MOST_TEXT = 1000, 10_000

_Text = Annotated[str, Field(max_length=_MOST_TEXT)]
_Count = Annotated[int, Field(ge=0, le=2**62)]
_Number = Annotated[float, Field(ge=-storage.LARGEST, le=storage.LARGEST)]
_Amount = Annotated[float, Field(ge=0, le=storage.LARGEST)]
_Measures = dict[_Text, _Number | None]


class _Facts(BaseModel):
    """The types of the entries in a JSON file, which may come from a stranger. Entries may be missing."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class _Machine(_Facts):
    """machine.json"""

    label: _Text | None = None
    started: _Text | None = None
    device: _Text | None = None
    cpu: _Text | None = None
    gpu: _Text | None = None
    python: _Text | None = None
    precision: _Text | None = None
    notice: _Text | None = None
    git_commit: _Text | None = None
    git_dirty: bool | None = None
    threads: _Count | None = None
    physical_cores: _Count | None = None
    logical_cores: _Count | None = None
    memory_gb: _Amount | None = None
    packages: Annotated[dict[_Text, _Text | None], Field(max_length=1000)] | None = None
    stretches: Annotated[list[dict[_Text, Any]], Field(max_length=10_000)] | None = None


class _Summary(_Facts):
    """summary.json"""

    status: Status
    reason: _Text | None = None
    started: _Text | None = None
    finished: _Text | None = None
    notes: Annotated[list[_Text], Field(max_length=_MOST_NOTES)] = []
    epochs: _Count | None = None
    seconds_per_epoch: _Amount | None = None
    training_seconds: _Amount | None = None
    startup_seconds: _Amount | None = None
    total_seconds: _Amount | None = None
    evaluation_seconds: _Amount | None = None
    checkpoint_write_seconds: _Amount | None = None
    others_cpu_share: _Amount | None = None
    discriminator_loss: _Number | None = None
    generator_loss: _Number | None = None
    parameters: _Count | None = None
    model_megabytes: _Amount | None = None
    weights_bytes: _Count | None = None
    checkpoints: _Count | None = None
    quality: _Measures | None = None
    quality_floor: _Measures | None = None
    quality_about: _Text | None = None
    quality_images: _Count | None = None
    quality_duplicates: _Amount | None = None
    largest_class_share: _Amount | None = None
    variety: _Amount | None = None
    history_sha256: _Text | None = None
    metrics_sha256: _Text | None = None


class RunFolder:
    """Write a run folder. One process writes one folder. Every file is complete at any moment, except the last line of
    history.csv and metrics.csv."""

    def __init__(self, path: Path) -> None:
        """Raises RecordError if the folder, or the experiment folder above it, is a link that leads elsewhere."""
        refuse_outside(path, path.parents[1] if path.name.startswith("seed-") else path.parent)
        self.path = path
        self._lock = Lock(path / "run.lock")

    def create(self, config: RunConfig) -> None:
        """Make the folder anew and write config.json. Raises RecordError if that fails or another process writes it."""
        with self._claimed():
            self.clear()
            self._write_config(config)

    def reopen(self, config: RunConfig) -> None:
        """Resume a folder with an unfinished run, or make a new one. Raises RecordError as create does, and if the run has
        other parameters."""
        if not (self.path / "config.json").exists():
            return self.create(config)
        check_same(self.path, config)
        with self._claimed():
            (self.path / "summary.json").unlink(missing_ok=True)
            if read_config(self.path) != config:  # only fields in config.FREE can differ: record their last values
                self._write_config(config)

    def _write_config(self, config: RunConfig) -> None:
        named = {"configuration": config.configuration, "variant": variant(config)}
        self.write_json("config.json", {**named, **config.model_dump(mode="json")})

    def clear(self) -> None:
        """Remove the files of an earlier run, and no others."""
        for name in FILES:
            (self.path / name).unlink(missing_ok=True)

    def write_history(self, lines: Iterable[Sequence[float]]) -> None:
        """Write history.csv anew, up to the epoch that a run resumes from. Without lines, remove it."""
        storage.write(self.path / "history.csv", HISTORY_COLUMNS, lines)

    def append(self, line: Mapping[str, float]) -> None:
        """Add one epoch to history.csv and write it at once."""
        storage.append(self.path / "history.csv", {name: line[name] for name in HISTORY_COLUMNS})

    def write_metrics(self, lines: Sequence[Mapping[str, float]]) -> None:
        """Write metrics.csv anew, up to the epoch that a run resumes from. Without lines, remove it."""
        columns = list(lines[0]) if lines else []
        storage.write(self.path / "metrics.csv", columns, [[line[name] for name in columns] for line in lines])

    def append_metrics(self, line: Mapping[str, float]) -> None:
        """Add one evaluation, METRICS_COLUMNS and the measures, to metrics.csv and write it at once."""
        storage.append(self.path / "metrics.csv", line)

    def finish(self, status: str, reason: str | None = None, **facts: Any) -> None:
        """Write summary.json and release the folder."""
        for name in ("history", "metrics"):
            with contextlib.suppress(RecordError):  # missing, or no regular file
                facts[f"{name}_sha256"] = checksum(read_bytes(self.path / f"{name}.csv", storage.MOST_SERIES))
        if "notes" in facts:  # limited to the length that read_record accepts
            facts["notes"] = [note[:_MOST_TEXT] for note in facts["notes"][-_MOST_NOTES:]]
        reason = reason and reason[:_MOST_TEXT]
        self.write_json("summary.json", {"status": status, "reason": reason, "finished": now(), **facts})
        self.release()

    def release(self) -> None:
        """Release the folder, so that other processes may write it."""
        self._lock.release()

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a small JSON file, with the schema's version and a checksum."""
        write_json(self.path / name, value)

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a file: a reader sees the old one or the new one, never half of it."""
        write_bytes(self.path / name, content)

    def save_weights(self, name: str, network: "nn.Module") -> int:
        """Write a network's parameters and running statistics to NAME.safetensors; returns the file's size in bytes."""
        content = pack(network.state_dict(), {})
        self.write_bytes(f"{name}.safetensors", content)
        return len(content)

    @contextlib.contextmanager
    def _claimed(self) -> Iterator[None]:
        """Lock the folder and remove the leftovers of an interrupted write. Release it if the `with` block fails."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            try:
                for leftover in self.path.glob(".*.tmp"):
                    leftover.unlink(missing_ok=True)
                yield
            except BaseException:
                self.release()
                raise
        except OSError as error:
            raise RecordError(f"results folder {self.path} cannot be written: {error.strerror}") from error


@dataclass(frozen=True)
class Record:
    """One run folder, as read."""

    path: Path
    config: RunConfig
    status: str  # one of STATUSES
    reason: str | None = None  # why it is not ok
    machine: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: Series = field(default_factory=dict)  # HISTORY_COLUMNS, one value an epoch
    metrics: Series = field(default_factory=dict)  # METRICS_COLUMNS and measures of quality, one an evaluation
    notes: list[str] = field(default_factory=list)  # where the run resumed; which files were damaged and repaired

    @property
    def name(self) -> str:
        """Return the run's folder below runs/, such as "gan-cpu--quick/seed-0"."""
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def variant(self) -> str:
        """Return the run's variant: "" for the paper's own schedule, else a name such as "quick"."""
        return variant(self.config)

    @property
    def epochs_done(self) -> int:
        """Return the number of epochs in history.csv."""
        return len(self.history.get("epoch", []))


def read_record(path: Path, series: bool = True) -> Record:
    """Read a run folder. Leave out a broken last line of a series, with a note. Raises RecordError for other damage.

    series: False compares history and metrics with their checksums and keeps the number of epochs alone, to list many runs.
    """
    name = "/".join(path.parts[-2:])
    try:
        name.encode()
    except UnicodeEncodeError:
        raise RecordError(f"run folder {name!a} must have a name in UTF-8") from None
    if not path.is_dir():
        raise RecordError(f"run {path} does not exist")
    writer = lock_holder(path)  # before the summary: a run that ends in between counts as running, not as lost
    config = read_config(path)
    summary = _read_facts(path / "summary.json", _Summary)
    notes = list(summary.get("notes", []))
    file = (path / "history.csv", HISTORY_COLUMNS, notes, summary.get("history_sha256"))
    metrics_file = (path / "metrics.csv", METRICS_COLUMNS, notes, summary.get("metrics_sha256"))
    metrics: Series = {}
    if series or not file[-1]:
        history = storage.read_series(*file, epochs=config.epochs)
    else:
        history = {"epoch": range(1, 1 + storage.count_lines(*file, epochs=config.epochs))}
    if series or not metrics_file[-1]:
        metrics = storage.read_series(*metrics_file, more=True, epochs=config.epochs)
    elif metrics_file[0].exists():
        storage.read_checked(metrics_file[0], metrics_file[-1])
    status, reason = summary.get("status"), summary.get("reason")
    if not summary:
        batch = holder(path / "batch.lock")  # another process's batch, which will resume this run
        running = writer is not None or lock_holder(path) is not None or batch not in (None, os.getpid())
        status = "running" if running else "lost"
        reason = None if running else "the process that wrote this folder ended without writing summary.json"
    machine = _read_facts(path / "machine.json", _Machine)
    return Record(path, config, str(status), reason, machine, summary, history, metrics, notes)


def _read_facts(path: Path, schema: type[_Facts]) -> dict[str, Any]:
    """Read a JSON file of a run; empty if it is missing. Raises RecordError, naming the entry, for a wrong type."""
    facts = read_json(path, missing={})
    try:
        if facts:
            schema.model_validate(facts)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        entry = ".".join(map(str, first["loc"]))
        must = first["msg"].replace("Input should be", "must be")
        raise RecordError(f"{path}: {shorten(entry)[1:-1]} {must}, got {shorten(first['input'])}") from error
    return facts


def read_config(path: Path) -> RunConfig:
    """Read the RunConfig in a run folder's config.json. Raises RecordError, naming the file."""
    stored = read_json(path / "config.json")
    values = {key: value for key, value in stored.items() if key not in ("schema_version", "configuration", "variant")}
    try:
        return RunConfig(**values)
    except (ConfigurationError, TypeError) as error:
        raise RecordError(f"{path / 'config.json'}: {error}") from error


def is_finished(path: Path) -> bool:
    """Whether a folder contains a finished run."""
    try:
        return read_record(path, series=False).status == "ok"
    except (RecordError, OSError):
        return False


def find_records(root: Path, series: bool = True) -> tuple[list[Record], list[str]]:
    """Read every run below a folder, in order of name. Also returns one line for each unreadable folder.

    series: as in read_record.
    """
    records, problems = [], []
    for config_file in sorted(root.glob("*/seed-*/config.json")):
        try:
            records.append(read_record(config_file.parent, series))
        except (RecordError, OSError) as error:
            problems.append(one_line(error))
    return records, problems


def count_epochs(path: Path) -> int:
    """Count the complete lines of a run's history without reading its values."""
    try:
        return max(0, read_bytes(path / "history.csv", storage.MOST_SERIES).count(b"\n") - 1)
    except RecordError:
        return 0


def check_same(path: Path, config: RunConfig) -> None:
    """Raise RecordError, naming the fields that differ, if a run folder contains a run of other parameters."""
    changed = differences(read_config(path), config, ignore=FREE)
    if changed:
        listed = ", ".join(f"{name} = {there!r} there, {here!r} here" for name, (there, here) in changed.items())
        raise RecordError(f"{path} holds a run of other parameters ({listed}): use --fresh to replace it")


def check_images(path: Path, data_sha256: str) -> None:
    """Raise RecordError if a finished run was trained on other images than its source has now."""
    machine = read_json(path / "machine.json", missing={})
    if "images" in machine and machine.get("data_sha256") != data_sha256:
        raise RecordError(f"{path} holds a run of other images (they were changed since): use --fresh to replace it")


def load_weights(network: "nn.Module", path: Path) -> None:
    """Load a network's weights from a safetensors file, which cannot run code. Raises RecordError if they do not fit."""
    if not path.exists():
        raise RecordError(f"{path} does not exist: this run kept no weights (a reference run keeps a small generator alone)")
    weights, _ = unpack(path, 2 * sum(tensor.nbytes for tensor in network.state_dict().values()) + 2**26)
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    wrong = sorted(name for name in expected.keys() | shapes.keys() if expected.get(name) != shapes.get(name))
    if wrong:
        name = wrong[0]
        raise RecordError(
            f"{path} does not fit the model: {name} must be {expected.get(name, 'absent')}, got {shapes.get(name, 'none')}"
            f"{f' ({len(wrong) - 1} more differ)' if len(wrong) > 1 else ''}"
        )
    network.load_state_dict(weights)


def lock_holder(path: Path) -> int | None:
    """Return the process that is writing a run folder now, 0 if its number is unknown, or None."""
    return holder(path / "run.lock")


def copy_records(source: Path, target: Path) -> list[str]:
    """Copy every finished paper-length run below a folder to another; returns their names.

    Of the weights, only the sampled generator's are copied, in half precision, if they take at most MOST_KEPT bytes.
    """
    copied = []
    for record in find_records(source, series=False)[0]:
        if record.status == "ok" and not record.variant:
            kept = target / record.name
            shutil.copytree(record.path, kept, dirs_exist_ok=True, ignore=_unkept)
            (kept / "generator.safetensors").unlink(missing_ok=True)  # of an earlier run
            if (weights := record.path / "generator.safetensors").exists() and len(content := _halved(weights)) <= MOST_KEPT:
                write_bytes(kept / weights.name, content)
            if (report := kept / "report.html").is_file():
                page = report.read_bytes()
                for link, kept_link in _KEPT_LINKS.items():
                    page = page.replace(link, kept_link)
                write_bytes(report, page)
            copied.append(record.name)
    return copied


def _unkept(folder: str, names: list[str]) -> set[str]:
    """Return the files that are not kept with a reference run. Links are not kept either: they may lead to anybody's files."""
    links = {name for name in names if Path(folder, name).is_symlink()}
    return links | shutil.ignore_patterns("*.safetensors", "*.lock", "run.log", ".*")(folder, names)


def _halved(weights: Path) -> bytes:
    """Return a file of weights in half precision. A tensor with values beyond its range stays as it is."""
    tensors, facts = unpack(weights)
    halves = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    return pack({name: half if half.isfinite().all() else tensors[name] for name, half in halves.items()}, facts)


def now() -> str:
    """Return the time in UTC, to the second: "2026-05-04T13:02:01+00:00"."""
    return datetime.now(UTC).isoformat(timespec="seconds")
