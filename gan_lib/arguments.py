"""What is typed on the command line -> values: seeds, parameters, numbers of images."""

import json
from pathlib import Path
from typing import Any

from gan_lib.config import RunConfig
from gan_lib.configurations import configure
from gan_lib.errors import ConfigurationError
from gan_lib.words import nearest


def parse_counts(text: str) -> list[int]:
    """ "2000,20000" -> the numbers of images. Raises ConfigurationError."""
    try:
        counts = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        counts = [0]
    if any(not 128 <= count <= 1_000_000 for count in counts):
        raise ConfigurationError(f"images must be whole numbers from 128 to 1,000,000 (such as 2000,20000), got {text!r}")
    for count in counts:
        configure("gan-cpu", training_images=count)  # refuses what would leave a last batch of one
    return counts


def parse_seeds(text: str) -> list[int]:
    """ "0-4" or "0,2,5" -> the seeds, in order. Raises ConfigurationError."""
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if len(part) > 20 or not first.isascii() or not first.isdigit() or (dash and not (last.isascii() and last.isdigit())):
            raise ConfigurationError(f"seeds must be whole numbers or ranges (such as 0-4 or 0,2,5), got {text!r}")
        begin, end = int(first), int(last or first)
        if not begin <= end < begin + 1000:
            raise ConfigurationError(f"seeds must be a range from low to high (of at most 1,000 seeds), got {text!r}")
        seeds += range(begin, end + 1)
    return list(dict.fromkeys(seeds))


def parse_changes(settings: list[str]) -> dict[str, Any]:
    """["epochs=50"] -> {"epochs": 50}. Raises ConfigurationError for an unknown name or a missing value."""
    changes: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        name = name.strip()
        if not equals:
            raise ConfigurationError(f"--set must be NAME=VALUE, got {setting!r}")
        if name not in RunConfig.model_fields:
            raise ConfigurationError(f"unknown parameter {name!r}{nearest(name, RunConfig.model_fields)}")
        if name == "seed":
            raise ConfigurationError("seed is not set with --set: use --seeds")
        try:
            changes[name] = json.loads(value)
        except ValueError:
            changes[name] = value
        if value.startswith("folder:"):  # from here; the notebooks run in a folder of their own
            changes[name] = f"folder:{Path(value.removeprefix('folder:')).expanduser().resolve()}"
    return changes
