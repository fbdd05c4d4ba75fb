"""The named configurations, the presets of their length, and what a run of them is called."""

import contextlib
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from gan_lib.config import RunConfig, differences
from gan_lib.errors import ConfigurationError
from gan_lib.text import nearest, shorten

# The paper's four: which network, and which of its two machines the name stands for.
CONFIGURATIONS: dict[str, dict[str, str]] = {
    "gan-cpu": {"model": "gan", "machine": "cpu"},
    "cgan-cpu": {"model": "cgan", "machine": "cpu"},
    "gan-gpu": {"model": "gan", "machine": "gpu"},
    "cgan-gpu": {"model": "cgan", "machine": "gpu"},
}

# Further ones, which the paper names as future work: the same networks, trained with a Wasserstein loss. Run when asked for.
WASSERSTEIN_CONFIGURATIONS: dict[str, dict[str, str]] = {
    "wgan-cpu": {"model": "gan", "machine": "cpu"},
    "cwgan-cpu": {"model": "cgan", "machine": "cpu"},
    "wgan-gpu": {"model": "gan", "machine": "gpu"},
    "cwgan-gpu": {"model": "cgan", "machine": "gpu"},
}
ALL_CONFIGURATIONS = {**CONFIGURATIONS, **WASSERSTEIN_CONFIGURATIONS}

# After their articles. wgan-gp: Gulrajani et al. 2017, algorithm 1, with three times its learning rate, because a run here has
# a small part of the updates there. wgan: Arjovsky et al. 2017, algorithm 1, whose RMSProp is Adam without the mean of
# gradients, but for a correction in the first steps. No dropout, in either: the critic's two mean scores, and the slope that
# the penalty or the clip holds, are to be those of one function, not of another each pass.
WASSERSTEIN_LOSS = "wgan-gp"  # what the names above stand for
WASSERSTEIN_TRAINING: dict[str, dict[str, float]] = {
    "wgan-gp": {"learning_rate": 0.0003, "adam_beta1": 0.0, "adam_beta2": 0.9, "dropout": 0.0},
    "wgan": {"learning_rate": 0.00005, "adam_beta1": 0.0, "adam_beta2": 0.99, "dropout": 0.0},
}

# PyTorch draws a transposed convolution's weights as though each pixel were the sum of 16 values, and here 256 go into it. With
# pixels that large a critic's first wishes drive every fourth one of every fourth row to white, where tanh is flat, and there
# they stay. Glorot's start is a third as large, and is that of the paper's own library.
WASSERSTEIN_NETWORKS: dict[str, dict[str, str]] = {"gan": {}, "cgan": {"initialisation": "glorot"}}

# paper: the paper's schedule. Its Adam betas are not stated; (0.9, 0.999), the default of the authors' library, gives the
# shapes of its curves. wgan and cwgan are not in the paper: they get its epochs, in which the generator has a fifth of the
# updates, 3,840 for gan's 19,200 and 960 for cgan's 4,800. quick: minutes instead of an hour; betas (0.5, 0.999), the
# DCGAN article's, bring the paper's two to digits that early, cgan with Glorot's start only (results/choices: after 25 epochs
# a Fréchet distance of 51.5 instead of PyTorch's 198).
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "paper": {
        "gan": {"epochs": 1200, "sample_every": 20, "evaluate_every": 100},
        "cgan": {"epochs": 300, "sample_every": 5, "evaluate_every": 25},
        "wgan": {"epochs": 1200, "sample_every": 20, "evaluate_every": 100},
        "cwgan": {"epochs": 300, "sample_every": 5, "evaluate_every": 25},
    },
    "quick": {
        "gan": {"epochs": 150, "sample_every": 5, "evaluate_every": 50, "adam_beta1": 0.5},
        "cgan": {"epochs": 30, "sample_every": 1, "evaluate_every": 10, "adam_beta1": 0.5, "initialisation": "glorot"},
        "wgan": {"epochs": 300, "sample_every": 10, "evaluate_every": 100},
        "cwgan": {"epochs": 60, "sample_every": 2, "evaluate_every": 20},
    },
}


def configure(configuration: str, preset: str = "paper", **changes: Any) -> RunConfig:
    """The RunConfig of one named configuration, at a preset's length, with single parameters changed.

    Raises ConfigurationError for an unknown name (the nearest is suggested) or value.
    """
    if configuration not in ALL_CONFIGURATIONS:
        raise ConfigurationError(f"unknown configuration {shorten(configuration)}{nearest(configuration, ALL_CONFIGURATIONS)}")
    if preset not in PRESETS:
        raise ConfigurationError(f"unknown preset {shorten(preset)}{nearest(preset, PRESETS)}")
    named = ALL_CONFIGURATIONS[configuration]
    for name in named.keys() & changes.keys():
        raise ConfigurationError(f"{name} is part of the configuration's name ({configuration}): choose another configuration")
    values = {**named, **PRESETS[preset][configuration.partition("-")[0]]}
    if configuration in WASSERSTEIN_CONFIGURATIONS:
        loss = changes.get("loss", WASSERSTEIN_LOSS)
        values |= {"loss": loss, **WASSERSTEIN_TRAINING.get(str(loss), {}), **WASSERSTEIN_NETWORKS[named["model"]]}
    config = RunConfig(**{**values, **changes})
    if config.configuration != configuration:
        raise ConfigurationError(
            f"loss {config.loss} is not for {configuration}: choose {config.configuration}, or a loss that belongs to the name"
        )
    return config


def variant(config: RunConfig) -> str:
    """What sets a run apart from the paper's schedule, as a short name: "" for the paper's own, "quick", "quick-epochs-5".

    Seeds of one variant are repetitions of one experiment, and every variant has folders of its own.
    """
    candidates = {preset: differences(config, configure(config.configuration, preset, data=config.data)) for preset in PRESETS}
    preset = min(candidates, key=lambda name: len(candidates[name]))  # the first, paper, wins a tie
    parts = [] if preset == "paper" else [preset]
    parts += [] if config.data == "digits" else [f"data-{config.data}"]
    parts += [f"{name.replace('_', '-')}-{value}" for name, (value, _) in candidates[preset].items()]
    exact = "-".join(parts)
    name = re.sub(r"[^a-z0-9.]+|\.\.+", "-", exact.lower()).strip("-.")
    if name != exact or len(name) > 60:  # two variants never share a name, and every file system takes it
        name = f"{name[:50].rstrip('-.')}-{hashlib.sha256(exact.encode()).hexdigest()[:8]}"
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
            raise ConfigurationError(f"--set must be NAME=VALUE, got {setting!r}")
        if name not in RunConfig.model_fields:
            raise ConfigurationError(f"unknown parameter {name!r}{nearest(name, RunConfig.model_fields)}")
        if name == "seed":
            raise ConfigurationError("seed is not set with --set: use --seeds")
        try:
            changes[name] = json.loads(value)
        except ValueError:
            changes[name] = value
        if value.startswith("folder:") and (folder := value.removeprefix("folder:").strip()):
            with contextlib.suppress(RuntimeError, OSError, ValueError):  # ~nobody, a loop, a NUL: refused when it is read
                changes[name] = f"folder:{Path(folder).expanduser().resolve()}"  # the notebooks run in a folder of their own
    return changes
