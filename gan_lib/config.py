"""RunConfig: every choice that somebody might vary between two runs, validated."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from gan_lib.errors import ConfigurationError
from gan_lib.text import nearest, shorten


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
        Annotated[int, Field(ge=2, le=1_000_000)] | Literal["all"],
        Field(
            description="images; all: every one but a held-out tenth, as for a folder without a number",
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
    background: Annotated[
        Literal["black", "white"], Field(description="what transparent parts of a folder's images show: black or white")
    ] = "black"
    skip_broken: Annotated[
        int, Field(ge=0, le=1_000_000, description="broken files of a folder that are left out, at most; 0: any is refused")
    ] = 0
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
    generator_dropout: Annotated[
        Literal["active", "off"],
        Field(description="the discriminator's dropout in the generator's step: active, as in its own step, or off"),
    ] = "active"
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
        if isinstance(data, dict) and data.get("training_images") is None:
            source = data.get("data")
            own = isinstance(source, str) and source.startswith("folder:")  # nobody counts their own images first
            data = {**data, "training_images": "all" if own else cls.model_fields["training_images"].default}
        try:
            config: RunConfig = handler(data)
        except ValidationError as error:
            problems = {problem["loc"][:1]: problem for problem in reversed(error.errors())}  # the first one of each field
            raise ConfigurationError("; ".join(map(_explain, reversed(problems.values())))) from None
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
    if config.training_images != "all":  # else counted when they are read, and checked then
        _check_batches(config, config.training_images)


def _check_batches(config: RunConfig, images: int) -> None:
    """What the number of training images must be for their batches."""
    if images < config.batch_size:
        raise ConfigurationError(
            f"training_images must be at least batch_size = {config.batch_size} (one whole batch), got {images}"
        )
    if images % config.batch_size == 1:
        raise ConfigurationError(
            f"training_images must not leave a last batch of 1 (batch norm needs a spread), "
            f"got {images} in batches of {config.batch_size}"
        )
    batches = -(-images // config.batch_size)
    if config.critic_steps > batches:
        raise ConfigurationError(
            f"critic_steps must be at most {batches}, the batches of an epoch (each epoch corrects the generator too), "
            f"got {config.critic_steps}"
        )


def _check_loss(config: RunConfig) -> None:
    """What depends on the loss and on dropout: a field without a use keeps its default, so that no run is named after it."""
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
    if not config.dropout and config.generator_dropout != "active":
        raise ConfigurationError(
            f"generator_dropout must stay active for dropout 0 (there is none to turn off), got {config.generator_dropout!r}"
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
