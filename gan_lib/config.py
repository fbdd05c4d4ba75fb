"""RunConfig: every choice that somebody might vary between two runs, validated; the named configurations; the presets."""

import hashlib
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from gan_lib.errors import ConfigurationError
from gan_lib.words import nearest, shorten

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

# What their articles train with. wgan-gp: Gulrajani et al. 2017, algorithm 1. wgan: Arjovsky et al. 2017, algorithm 1, whose
# RMSProp is Adam without the mean of gradients, but for a correction in the first steps. No dropout, in either: the critic's
# two mean scores, and the slope that the penalty or the clip holds, are to be those of one function, not of another each pass.
WASSERSTEIN_LOSS = "wgan-gp"  # what the names above stand for
WASSERSTEIN_TRAINING: dict[str, dict[str, float]] = {
    "wgan-gp": {"learning_rate": 0.0001, "adam_beta1": 0.0, "adam_beta2": 0.9, "dropout": 0.0},
    "wgan": {"learning_rate": 0.00005, "adam_beta1": 0.0, "adam_beta2": 0.99, "dropout": 0.0},
}

# paper: the paper's schedule. Its Adam betas are not stated; (0.9, 0.999), the default of the authors' library, gives the
# shapes of its curves. wgan and cwgan are not in the paper: 1,200 epochs of either are 3,840 updates of the generator, where
# the paper's own have 19,200 (gan) and 4,800 (cgan), one a batch. quick: minutes instead of an hour; betas (0.5, 0.999), the
# DCGAN article's, bring the paper's two to digits that early.
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "paper": {
        "gan": {"epochs": 1200, "sample_every": 20, "evaluate_every": 100},
        "cgan": {"epochs": 300, "sample_every": 5, "evaluate_every": 25},
        "wgan": {"epochs": 1200, "sample_every": 20, "evaluate_every": 100},
        "cwgan": {"epochs": 1200, "sample_every": 20, "evaluate_every": 100},
    },
    "quick": {
        "gan": {"epochs": 150, "sample_every": 5, "evaluate_every": 50, "adam_beta1": 0.5},
        "cgan": {"epochs": 60, "sample_every": 2, "evaluate_every": 20, "adam_beta1": 0.5},
        "wgan": {"epochs": 300, "sample_every": 10, "evaluate_every": 100},
        "cwgan": {"epochs": 120, "sample_every": 4, "evaluate_every": 40},
    },
}


def _because(bound: str, reason: str) -> dict[str, Any]:
    """Why one of a field's bounds is where it is; the other bounds are explained by the field's description."""
    return {"reason": {bound: reason}}


class RunConfig(BaseModel):
    """One training run, completely. Defaults are the paper's; where it is silent, see README "What the paper leaves open".

    Raises ConfigurationError, one line, on anything unknown or out of bounds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: Annotated[
        Literal["gan", "cgan"],
        Field(description="gan: fully connected; cgan: convolutional (the paper's name; not a conditional GAN)"),
    ] = "gan"
    machine: Annotated[Literal["cpu", "gpu"], Field(description="the device to train on: cpu, or gpu (one CUDA GPU)")] = "cpu"
    data: Annotated[
        str,
        Field(
            pattern=r"^(digits|mnist|fashion-mnist|folder:.+)$",
            description="digits (5,000 MNIST digits, no download), mnist, fashion-mnist or folder:PATH (your own images)",
        ),
    ] = "digits"
    training_images: Annotated[
        int,
        Field(
            ge=2,
            le=1_000_000,
            description="images",
            json_schema_extra=_because("greater_than_equal", "batch norm needs a spread"),
        ),
    ] = 2000
    selection: Annotated[
        Literal["seeded", "first"],
        Field(description="which training images: seeded (drawn by data_seed, as many of each class) or first (in file order)"),
    ] = "seeded"
    data_seed: Annotated[int, Field(ge=0, le=2**31 - 1, description="seed of the choice of training images")] = 0
    image_size: Annotated[int, Field(ge=4, le=256, description="pixels a side; cgan needs a multiple of 4")] = 28
    channels: Annotated[Literal[1, 3], Field(description="1: grey; 3: red, green, blue")] = 1
    epochs: Annotated[int, Field(ge=1, le=1_000_000, description="passes over the training images")] = 300
    batch_size: Annotated[
        int,
        Field(
            ge=2,
            le=100_000,
            description="images a step",
            json_schema_extra=_because("greater_than_equal", "batch norm needs a spread"),
        ),
    ] = 128
    latent_size: Annotated[
        int, Field(ge=1, le=10_000, description="values, uniform in [-1, 1], that one image is generated from")
    ] = 100
    loss: Annotated[
        Literal["bce", "wgan", "wgan-gp"],
        Field(
            description="bce (cross-entropy, the paper's), wgan (Wasserstein, clipped weights) or wgan-gp (gradient penalty)"
        ),
    ] = "bce"
    critic_steps: Annotated[
        int,
        Field(
            ge=1, le=1000, description="updates of the discriminator for one of the generator; wgan's and wgan-gp's articles: 5"
        ),
    ] = 1
    clip: Annotated[
        float, Field(gt=0, le=1000, description="wgan only: the critic's weights stay within plus and minus this")
    ] = 0.01
    penalty_weight: Annotated[
        float, Field(ge=0, le=1_000_000, description="wgan-gp only: weight of the gradient penalty in the critic's loss")
    ] = 10.0
    learning_rate: Annotated[float, Field(gt=0, le=1, description="Adam's step size, both networks")] = 0.0002
    adam_beta1: Annotated[float, Field(ge=0, lt=1, description="Adam's decay of the mean gradient")] = 0.9
    adam_beta2: Annotated[float, Field(ge=0, lt=1, description="Adam's decay of the squared gradient")] = 0.999
    initialisation: Annotated[
        Literal["pytorch", "glorot", "dcgan"],
        Field(description="weights: pytorch (its layers' defaults), glorot (uniform, as in Flux) or dcgan (N(0, 0.02))"),
    ] = "pytorch"
    dropout: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            description="share of the discriminator's activations set to 0 in training",
            json_schema_extra=_because("less_than", "at 1 nothing is left to learn from"),
        ),
    ] = 0.3
    leaky_slope: Annotated[float, Field(ge=0, le=1, description="LeakyReLU's slope below 0")] = 0.2
    generator_noise: Annotated[
        Literal["fresh", "reused"],
        Field(description="the generator's step judges fresh images, or reuses those of the discriminator's step"),
    ] = "fresh"
    seed: Annotated[int, Field(ge=0, le=2**31 - 1, description="seed of weights, latents, order and dropout")] = 0
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"],
        Field(description="of the arithmetic; weights stay float32. auto: bf16 where the hardware multiplies it, else fp32"),
    ] = "auto"
    threads: Annotated[int, Field(ge=0, le=1024, description="CPU threads; 0: one for each physical core")] = 0
    sample_every: Annotated[int, Field(ge=1, le=1_000_000, description="epochs between two frames of progress.gif")] = 10
    evaluate_every: Annotated[
        int,
        Field(ge=0, le=1_000_000, description="epochs between two measurements of image quality, and one at the end; 0: none"),
    ] = 25
    checkpoint_seconds: Annotated[
        float, Field(ge=0, le=86_400, description="seconds between two checkpoints, from which a stopped run goes on")
    ] = 30.0

    @property
    def configuration(self) -> str:
        """The name for this network and loss on this machine, such as the paper's "cgan-gpu"; "cwgan-gpu" with a critic."""
        network = self.model.replace("gan", "wgan") if self.wasserstein else self.model
        return f"{network}-{self.machine}"

    @property
    def wasserstein(self) -> bool:
        """Whether the discriminator is a critic: what it returns is a score without bound, and no belief."""
        return self.loss != "bce"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.channels, self.image_size, self.image_size

    @model_validator(mode="wrap")
    @classmethod
    def _checked(cls, data: Any, handler: Any) -> "RunConfig":
        for name, value in data.items() if isinstance(data, dict) else ():
            if isinstance(value, bool):  # no field is one, and Python would take True for the number 1
                raise ConfigurationError(f"{name} must be a number or text, got {value}")
        if isinstance(data, dict) and data.get("loss", "bce") != "bce":
            data = {"critic_steps": 5, **data}  # both articles'
        try:
            config: RunConfig = handler(data)
        except ValidationError as error:
            raise ConfigurationError("; ".join(map(_explain, error.errors()))) from None
        _check_together(config)
        _check_loss(config)
        return config


def _check_together(config: RunConfig) -> None:
    """The bounds that two fields share."""
    if config.model == "cgan" and config.image_size % 4:
        below = config.image_size - config.image_size % 4
        raise ConfigurationError(
            f"image_size must be a multiple of 4 for cgan (two layers of stride 2 halve it twice), "
            f"got {config.image_size}: {below} and {below + 4} would do"
        )
    if config.training_images < config.batch_size:
        raise ConfigurationError(
            f"training_images must be at least batch_size = {config.batch_size} (one whole batch), got {config.training_images}"
        )
    if config.training_images % config.batch_size == 1:
        raise ConfigurationError(
            f"training_images must not leave a last batch of 1 (batch norm needs a spread), "
            f"got {config.training_images} in batches of {config.batch_size}"
        )


def _check_loss(config: RunConfig) -> None:
    """What depends on the loss: a field that it does not use keeps its default, so that no run is named after it."""
    if not config.wasserstein and config.critic_steps != 1:
        raise ConfigurationError(
            f"critic_steps must be 1 for loss bce (both networks take turns, once a batch), got {config.critic_steps}"
        )
    for name, loss in (("clip", "wgan"), ("penalty_weight", "wgan-gp")):
        value, usual = getattr(config, name), RunConfig.model_fields[name].default
        if config.loss != loss and value != usual:
            raise ConfigurationError(
                f"{name} must stay {usual} for loss {config.loss} (only {loss} has a use for it), got {value}"
            )
    batches = -(-config.training_images // config.batch_size)
    if config.critic_steps > batches:
        raise ConfigurationError(
            f"critic_steps must be at most {batches}, the batches of an epoch (each epoch corrects the generator too), "
            f"got {config.critic_steps}"
        )


_BOUNDS = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "literal_error": "{expected}",
    "string_pattern_mismatch": "one of these",
    "finite_number": "a finite number",
}
_KINDS = {"int": "a whole number", "float": "a number", "string": "text", "bool": "true or false"}


def _explain(error: ErrorDetails) -> str:
    """One pydantic error as "FIELD must be BOUND (REASON), got VALUE"."""
    kind, value = error["type"], error["input"]
    name = str(error["loc"][0]) if error["loc"] else "parameters"
    if kind == "extra_forbidden":
        return f"unknown parameter {name!r}{nearest(name, RunConfig.model_fields)}"
    bound = _BOUNDS.get(kind, _KINDS.get(kind.split("_")[0], error["msg"])).format(**error.get("ctx", {}))
    field = RunConfig.model_fields.get(name)
    extra = field.json_schema_extra if field else None
    reasons = extra.get("reason") if isinstance(extra, dict) else None
    reason = (isinstance(reasons, dict) and reasons.get(kind)) or (field and field.description)
    return f"{name} must be {bound} ({reason}), got {shorten(value)}"


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
        values |= {"loss": loss, **WASSERSTEIN_TRAINING.get(str(loss), {})}
    config = RunConfig(**{**values, **changes})
    if config.configuration != configuration:
        raise ConfigurationError(
            f"loss {config.loss} is not for {configuration}: choose {config.configuration}, or a loss that belongs to the name"
        )
    return config


# What a run that goes on may have otherwise than when it began: nothing that is learnt or drawn depends on it, and each line of
# metrics.csv says its epoch.
FREE = ("checkpoint_seconds", "evaluate_every")


def differences(
    config: RunConfig, other: RunConfig, ignore: tuple[str, ...] = ("seed", "sample_every", *FREE)
) -> dict[str, tuple[Any, Any]]:
    """The fields in which two configs differ, as {name: (value in config, value in other)}."""
    return {
        name: (getattr(config, name), getattr(other, name))
        for name in RunConfig.model_fields
        if name not in ignore and getattr(config, name) != getattr(other, name)
    }


def variant(config: RunConfig) -> str:
    """What sets a run apart from the paper's schedule, as a short name: "" for the paper's own, "quick", "quick-epochs-5".

    Seeds of one variant are repetitions of one experiment, and every variant has folders of its own.
    """
    candidates = {preset: differences(config, configure(config.configuration, preset)) for preset in PRESETS}
    preset = min(candidates, key=lambda name: len(candidates[name]))  # the first, paper, wins a tie
    parts = [] if preset == "paper" else [preset]
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
