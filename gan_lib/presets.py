"""The named configurations, the presets, and the names of runs."""

import contextlib
import hashlib
import itertools
import json
import math
import os
import re
from pathlib import Path
from typing import Any, get_args

from gan_lib.config import SOURCES, RunConfig, differences
from gan_lib.errors import ConfigurationError
from gan_lib.registry import FAMILIES, LOSSES, family_name, find_family
from gan_lib.text import nearest, shorten

MACHINES: tuple[str, ...] = get_args(RunConfig.model_fields["machine"].annotation)

# The paper's four: which network, and which of its two machines the name stands for.
CONFIGURATIONS = tuple(f"{name}-{machine}" for machine in MACHINES for name, family in FAMILIES.items() if family.paper)
# The optimal one, which `gan-lib run` also trains, and the critics that the paper names as future work, run on request.
ALL_CONFIGURATIONS = (
    *CONFIGURATIONS,
    *(f"{name}-{machine}" for machine in MACHINES for name, family in FAMILIES.items() if not family.paper),
)

# The configurations of a run without names.
DEFAULT_CONFIGURATIONS = (*CONFIGURATIONS, *(f"optimal-{machine}" for machine in MACHINES))

# paper: the paper's schedule. It states neither Adam's betas nor the initialisation. Its two models get the defaults of the
# authors' library, Flux: betas of (0.9, 0.999), Glorot's initialisation and biases of zero (results/choices). wgan and cwgan
# are not in the paper. They get its epochs, in which the generator has a fifth of the updates: 3,840 for gan's 19,200 and 960
# for cgan's 4,800.
# quick: minutes instead of an hour. Betas of (0.5, 0.999), the DCGAN article's, bring the paper's two models to digits that
# early, cgan with Glorot's initialisation only: a Fréchet distance of 51.5 after 25 epochs, not 198 (results/choices).
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "paper": {
        "gan": {"epochs": 1200, "sample_every": 20, "evaluate_every": 100, "initialisation": "glorot"},
        "cgan": {"epochs": 300, "sample_every": 5, "evaluate_every": 25, "initialisation": "glorot"},
        "wgan": {"epochs": 1200, "sample_every": 20, "evaluate_every": 100},
        "cwgan": {"epochs": 300, "sample_every": 5, "evaluate_every": 25},
        "optimal": {"epochs": 300, "sample_every": 5, "evaluate_every": 25},
    },
    "quick": {
        "gan": {"epochs": 150, "sample_every": 5, "evaluate_every": 50, "adam_beta1": 0.5},
        "cgan": {"epochs": 30, "sample_every": 1, "evaluate_every": 10, "adam_beta1": 0.5, "initialisation": "glorot"},
        "wgan": {"epochs": 300, "sample_every": 10, "evaluate_every": 100},
        "cwgan": {"epochs": 60, "sample_every": 2, "evaluate_every": 20},
        "optimal": {"epochs": 60, "sample_every": 2, "evaluate_every": 20},
    },
}
_MOST_COMBINATIONS = 1000
_SCHEDULE = ("epochs", "sample_every", "evaluate_every")
# The parameters of the optimal configuration, besides its model and loss.
OPTIMAL = {
    "width": 16,
    "learning_rate": 0.003,
    "penalty_every": 4,
    "average_decay": 0.999,
    "schedule": "linear",
    "augmentation": "shift",
    "generator_noise": "reused",
}


def parts(configuration: str) -> dict[str, str]:
    """What a configuration's name stands for: {"model": "gan", "machine": "cpu", "loss": "bce"}.

    Raises ConfigurationError for an unknown name; the nearest is suggested.
    """
    name, _, machine = configuration.rpartition("-")
    family = find_family(name)
    if family is None or machine not in MACHINES:
        raise ConfigurationError(f"unknown configuration {shorten(configuration)}{nearest(configuration, ALL_CONFIGURATIONS)}")
    return {"model": family.model, "machine": machine, "loss": family.loss}


def title(configuration: str) -> str:
    """A configuration for tables and figures: "GAN, CPU"."""
    name, _, machine = configuration.rpartition("-")
    family = find_family(name)
    return f"{family.title if family else name}, {machine.upper()}"


def schedule(preset: str, family: str, model: str) -> dict[str, Any]:
    """Return a preset's parameters for a family; for an unknown one, the length of another family of the same model."""
    presets = PRESETS[preset]
    if family in presets:
        return {**presets[family], **(OPTIMAL if family == "optimal" else {})}
    alike = next((name for name, entry in FAMILIES.items() if entry.model == model), "gan")
    return {name: presets[alike][name] for name in _SCHEDULE}


def epochs_for_few(config: RunConfig, images: int) -> int | None:
    """Return the epochs that give as many steps on few images as the preset has on the paper's 2,000.

    None for 1,000 images or more, and for a number of epochs that is not from a preset.
    """
    usual = int(RunConfig.model_fields["training_images"].default)
    lengths = {schedule(preset, config.family, config.model)["epochs"] for preset in PRESETS}
    return round(config.epochs * usual / images) if config.epochs in lengths and images < usual / 2 else None


def configure(configuration: str, preset: str = "paper", **changes: Any) -> RunConfig:
    """The RunConfig of one configuration, at a preset's length, with single parameters changed.

    configuration: one of ALL_CONFIGURATIONS, or MODEL-LOSS-MACHINE such as "gan-hinge-cpu". A loss that is changed gives the
    configuration of that loss. Raises ConfigurationError for an unknown name (the nearest is suggested) or value.
    """
    named = parts(configuration)
    if preset not in PRESETS:
        raise ConfigurationError(f"unknown preset {shorten(preset)}{nearest(preset, PRESETS)}")
    for name in ("model", "machine"):
        if name in changes:
            raise ConfigurationError(
                f"{name} is part of the configuration's name ({configuration}): choose another configuration"
            )
    changes = {name: value for name, value in changes.items() if value is not None}  # None: the preset's value
    loss = changes.get("loss", named["loss"])
    if not isinstance(loss, str) or loss not in LOSSES:
        return RunConfig(**{**named, **changes})  # raises for the invalid value
    family = family_name(named["model"], loss)
    return RunConfig(**{**named, **schedule(preset, family, named["model"]), **changes})


def variant(config: RunConfig) -> str:
    """What sets a run apart from the paper's schedule, as a short name: "" for the paper's own, "quick", "quick-epochs-5".
    A group's own name comes in its place.

    Seeds of one variant are repetitions of one experiment, and every variant has folders of its own.
    """
    if config.name:
        return config.name
    candidates = {
        preset: differences(config, configure(config.configuration, preset, data=config.data, loss=config.loss))
        for preset in PRESETS
    }
    preset = min(candidates, key=lambda name: len(candidates[name]))  # the first, paper, wins a tie
    words = [] if preset == "paper" else [preset]
    words += [] if config.loss == parts(config.configuration)["loss"] else [f"loss-{config.loss}"]
    words += [] if config.data == "digits" else [f"data-{config.data}"]
    words += [f"{name.replace('_', '-')}-{value}" for name, (value, _) in candidates[preset].items()]
    exact = "-".join(words)
    kept: list[str] = []
    for word in words:  # of a folder its own name; whole words only, so that 150 is never cut to 15
        path = word.removeprefix("data-folder:")
        short = re.sub(r"[^a-z0-9.]+|\.\.+", "-", (f"data-{Path(path).name}" if path != word else word).lower()).strip("-.")
        kept += [short] if len("-".join([*kept, short])) <= 50 else []
    name = "-".join(kept)
    if name != exact:  # two variants never share a name, and every file system takes it
        name = "-".join([*kept, hashlib.sha256(exact.encode()).hexdigest()[:8]])
    return name


def run_name(config: RunConfig) -> str:
    """The run's folder below results/runs: "gan-cpu/seed-0", "gan-cpu--quick/seed-0"."""
    suffix = variant(config)
    return f"{config.configuration}{'--' if suffix else ''}{suffix}/seed-{config.seed}"


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
            raise ConfigurationError(f"--set must be NAME=VALUE, got {shorten(setting)}")
        if name not in RunConfig.model_fields:
            raise ConfigurationError(f"unknown parameter {shorten(name)}{nearest(name, RunConfig.model_fields)}")
        if name == "seed":
            raise ConfigurationError("seed is not set with --set: use --seeds")
        try:
            changes[name] = None if value == "None" else json.loads(value)
        except (ValueError, RecursionError):
            changes[name] = value
        if name == "data":
            changes[name] = _parse_data(value)
    return changes


def parse_sweep(settings: list[str]) -> list[dict[str, Any]]:
    """["width=16,24", "epochs=5"] -> every combination: [{"width": 16, "epochs": 5}, {"width": 24, "epochs": 5}].

    A folder of images is one value, commas or not. Raises ConfigurationError as parse_changes does, and for too many.
    """
    choices = []
    for setting in settings:
        name, equals, value = setting.partition("=")
        values = [value] if value.strip().startswith("folder:") else value.split(",")
        choices.append([f"{name}{equals}{each}" for each in values])
    if (count := math.prod(map(len, choices))) > _MOST_COMBINATIONS:
        raise ConfigurationError(f"a sweep must be of at most {_MOST_COMBINATIONS:,} combinations, got {count:,}")
    return [parse_changes(list(combination)) for combination in itertools.product(*choices)]


def _parse_data(value: str) -> str:
    """A source of images, a folder's as seen from here: notebooks run in a folder of their own. Raises ConfigurationError."""
    kind, colon, path = value.partition(":")
    if kind == "folder" and colon and path.strip():
        with contextlib.suppress(RuntimeError, OSError, ValueError):  # ~nobody, a loop, a NUL: refused when it is read
            return f"folder:{Path(path.strip()).expanduser().resolve()}"
    elif "/" in value or value.startswith(("~", ".")) or (value not in SOURCES and os.path.exists(value)):  # noqa: PTH110
        raise ConfigurationError(
            f"data is read from a folder as folder:PATH, got {shorten(value)}: try data=folder:{value:.80}"
        )
    return value
