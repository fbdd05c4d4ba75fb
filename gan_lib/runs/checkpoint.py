"""Checkpoints of a run: the newest and the one before it, so that one damaged file loses no run."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gan_lib.config import FREE, RunConfig, differences
from gan_lib.errors import ConfigurationError, RecordError
from gan_lib.runs.storage import pack, unpack, write_bytes

if TYPE_CHECKING:
    from torch import Tensor


NEWEST, PREVIOUS = "checkpoint.safetensors", "checkpoint.previous.safetensors"
NAMES = (NEWEST, PREVIOUS)
MAX_FRAMES = 120  # of progress.gif, all of which a checkpoint keeps


class Checkpoint(NamedTuple):
    """The state that a run resumes from: tensors by name, and JSON values."""

    tensors: "dict[str, Tensor]"
    facts: dict[str, Any]


def save(folder: Path, config: RunConfig, tensors: "Mapping[str, Tensor]", facts: Mapping[str, Any]) -> None:
    """Write a checkpoint and keep the one before it. At least one valid checkpoint exists at any moment. Raises OSError."""
    content = pack(tensors, {**facts, "config": config.model_dump(mode="json")})
    write_bytes(folder / NEWEST, content, durable=True, keep=folder / PREVIOUS)


def load(folder: Path, config: RunConfig) -> tuple[Checkpoint | None, list[str]]:
    """Load the newest valid checkpoint, or None. Also returns one line for each damaged one.

    Raises RecordError, naming the fields, when it was made with other parameters.
    """
    notes = []
    for name in NAMES:
        path = folder / name
        if not path.exists():
            continue
        try:
            tensors, facts = unpack(path, _most_bytes(config))
            saved = RunConfig(**facts.pop("config"))
        except (RecordError, ConfigurationError, KeyError, TypeError) as error:
            notes.append(f"{error if isinstance(error, RecordError) else f'{path} is no checkpoint of this version'}; left out")
            continue
        if changed := differences(saved, config, ignore=FREE):
            listed = ", ".join(f"{field} = {there!r} there, {here!r} here" for field, (there, here) in changed.items())
            raise RecordError(f"{path} is of a run with other parameters ({listed}): use --fresh to start again")
        return Checkpoint(tensors, facts), notes
    return None, notes


def last(folder: Path, config: RunConfig) -> str:
    """Say in words which epoch the newest valid checkpoint belongs to."""
    for name in NAMES:
        try:
            trainer = unpack(folder / name, _most_bytes(config))[1]["trainer"]
            return f"the last good checkpoint is after epoch {int(trainer['epochs_done'])}"
        except (RecordError, KeyError, TypeError, ValueError):
            continue
    return "there is no checkpoint yet"


def _most_bytes(config: RunConfig) -> int:
    """Return an upper bound for the bytes of a checkpoint. A larger file is no checkpoint of this run and is not read."""
    import torch

    from gan_lib.training.models import build_pair, parameter_count

    with torch.device("meta"):  # only shapes, no values
        weights = 4 * parameter_count(*build_pair(config))
    frames = MAX_FRAMES * config.channels * (3 * (config.image_size + 2)) ** 2
    return 16 * weights + frames + 1000 * config.epochs + 2**26


def remove(folder: Path) -> None:
    """Delete a folder's checkpoints."""
    for name in NAMES:
        (folder / name).unlink(missing_ok=True)
