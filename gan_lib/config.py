"""RunConfig: every choice that somebody might vary between two runs, validated."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from gan_lib.errors import ConfigurationError
from gan_lib.registry import LOSSES, MODELS, family_name, implied
from gan_lib.text import nearest, shorten

SOURCES = ("digits", "mnist", "fashion-mnist")  # of images, besides a folder

# The reason for a field's bound, if its description does not give it.
_SPREAD: dict[str, Any] = {"reason": {"greater_than_equal": "batch norm needs a spread"}}


def _one_of(known: Mapping[str, Any]) -> AfterValidator:
    """Return a validator that accepts the names in a registry at the time of the check."""

    def check(name: str) -> str:
        if name not in known:
            raise PydanticCustomError("literal_error", "unknown", {"expected": " or ".join(map(repr, known))})
        return name

    return AfterValidator(check)


def _check_name(name: str) -> str:
    """A group's name is part of a folder's name."""
    if name and (len(name) > 40 or not re.fullmatch(r"[a-z0-9]+([.-][a-z0-9]+)*", name)):
        raise PydanticCustomError("group", "at most 40 lower-case letters, digits, and points or dashes between them")
    return name


class RunConfig(BaseModel):
    """All parameters of one training run. A missing or None field takes the value that its model and loss imply
    (registry.implied), else its default, the paper's. For values that the paper does not state, see results/README.md.

    Raises ConfigurationError, one line, on anything unknown or out of bounds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: Annotated[str, AfterValidator(_check_name)] = Field(
        default="", description="a name for this group of runs, used in the names of their folders"
    )
    model: Annotated[str, _one_of(MODELS)] = Field(default="gan", description=f"the networks: {', '.join(MODELS)}")
    width: int = Field(
        default=24,
        ge=2,
        le=512,
        description="small only: base number of feature maps; the widest layers have four times as many",
    )
    machine: Literal["cpu", "gpu"] = Field(default="cpu", description="the device to train on: cpu, or gpu (one CUDA GPU)")
    data: str = Field(
        default="digits",
        pattern=rf"^({'|'.join(SOURCES)}|folder:.*\S.*)$",
        description="digits (5,000 of MNIST), mnist, fashion-mnist or folder:PATH (your own)",
    )
    training_images: Annotated[int, Field(ge=2, le=1_000_000)] | Literal["all"] = Field(
        default=2000,
        description="number of training images; all: all but a held-out tenth, as is usual for a folder",
        json_schema_extra=_SPREAD,
    )
    selection: Literal["seeded", "first"] = Field(
        default="seeded",
        description="seeded: drawn at random by data_seed, equally many of each class; first: in file order",
    )
    data_seed: int = Field(default=0, ge=0, le=2**31 - 1, description="random seed for the selection of training images")
    image_size: int = Field(
        default=28, ge=4, le=256, description="height and width in pixels; cgan and small need a multiple of 4"
    )
    channels: Literal[1, 3] = Field(default=1, description="1: grey; 3: colour (RGB)")
    background: Literal["black", "white"] = Field(
        default="black", description="colour behind the transparent parts of your images: black or white"
    )
    skip_broken: int = Field(
        default=0, ge=0, le=1_000_000, description="folder only: how many broken files may be left out; 0: none"
    )
    epochs: int = Field(default=300, ge=1, le=1_000_000, description="passes over the training images")
    batch_size: int = Field(default=128, ge=2, le=100_000, description="images in one training step", json_schema_extra=_SPREAD)
    latent_size: int = Field(
        default=100, ge=1, le=10_000, description="length of the latent vector of an image, uniform in [-1, 1]"
    )
    loss: Annotated[str, _one_of(LOSSES)] = Field(default="bce", description=f"the loss function: {', '.join(LOSSES)}")
    critic_steps: int = Field(
        default=1, ge=1, le=1000, description="wgan and wgan-gp only: updates of D for each update of G; the articles use 5"
    )
    clip: float = Field(default=0.01, gt=0, le=1000, description="wgan only: D's weights are clipped to [-clip, clip]")
    penalty_weight: float = Field(
        default=10.0, ge=0, le=1_000_000, description="wgan-gp only: weight of the gradient penalty in D's loss"
    )
    r1_weight: float = Field(
        default=0.0, ge=0, le=1_000_000, description="weight of R1, half the squared gradient norm of D at real images; 0: off"
    )
    r2_weight: float = Field(default=0.0, ge=0, le=1_000_000, description="weight of R2, the same at generated images; 0: off")
    penalty_every: int = Field(
        default=1,
        ge=1,
        le=1000,
        description="R1 and R2 only every so many steps, with so many times the weight (lazy regularisation)",
    )
    learning_rate: float = Field(default=0.0002, gt=0, le=1, description="Adam's learning rate, for both networks")
    discriminator_learning_rate: float | None = Field(
        default=None, gt=0, le=1, description="D's own learning rate; None: learning_rate"
    )
    schedule: Literal["constant", "linear"] = Field(
        default="constant", description="of the learning rate: constant, or linear decay to zero at the end"
    )
    schedule_start: float = Field(
        default=0.5, ge=0, lt=1, description="linear only: the share of the training before the decay begins"
    )
    adam_beta1: float = Field(default=0.9, ge=0, lt=1, description="Adam's beta1, the decay of the mean gradient")
    adam_beta2: float = Field(default=0.999, ge=0, lt=1, description="Adam's beta2, the decay of the squared gradient")
    initialisation: Literal["pytorch", "glorot", "dcgan", "kaiming"] = Field(
        default="pytorch", description="of weights: pytorch (its default), glorot (as in Flux), dcgan (N(0, 0.02)), kaiming"
    )
    dropout: float = Field(
        default=0.3,
        ge=0,
        lt=1,
        description="dropout probability in D",
        json_schema_extra={"reason": {"less_than": "at 1 nothing is left to learn from"}},
    )
    leaky_slope: float = Field(default=0.2, ge=0, le=1, description="negative slope of LeakyReLU")
    generator_noise: Literal["fresh", "reused"] = Field(
        default="fresh", description="images of G's step: fresh ones, or reused from D's step"
    )
    generator_dropout: Literal["active", "off"] = Field(default="active", description="D's dropout in G's step: active or off")
    average_decay: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="decay of the moving average (EMA) of G's weights, which is then sampled; 0: no average",
    )
    augmentation: Literal["none", "shift", "affine", "cutout"] = Field(
        default="none", description="of the images that D sees: none, shift, affine or cutout; never a flip"
    )
    augmentation_pixels: int = Field(
        default=1,
        ge=1,
        le=64,
        description="in pixels: largest shift, movement of a corner (affine), half the side (cutout)",
    )
    classes: int = Field(
        default=0, ge=0, le=1000, description="number of classes of a conditional GAN (digits: 10); 0: unconditional"
    )
    keep: Literal["last", "best"] = Field(
        default="last",
        description="which weights: of the last epoch, or of the best measured one (by half of the held-out images)",
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="random seed of weights, latents, order of images and dropout")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto", description="auto: bf16, on older GPUs fp16, where the hardware multiplies it; fp32, bf16 or fp16"
    )
    threads: int = Field(default=0, ge=0, le=1024, description="CPU threads; 0: as many as there are free physical cores")
    sample_every: int = Field(default=10, ge=1, le=1_000_000, description="epochs between two frames of progress.gif")
    evaluate_every: int = Field(
        default=25, ge=0, le=1_000_000, description="epochs between two measurements of image quality, and at the end; 0: never"
    )
    checkpoint_seconds: float = Field(default=30.0, ge=0, le=86_400, description="seconds between two checkpoints")

    @property
    def family(self) -> str:
        """The name for this network and this loss: "gan", "cwgan"; "gan-hinge" for two without a name of their own."""
        return family_name(self.model, self.loss)

    @property
    def configuration(self) -> str:
        """The name for this network and loss on this machine, such as the paper's "cgan-gpu"."""
        return f"{self.family}-{self.machine}"

    @property
    def scores(self) -> bool:
        """Whether the discriminator's output is an unbounded score, not the logit of a belief."""
        return LOSSES[self.loss].scores

    @property
    def band(self) -> bool:
        """Whether the paper's balance band, which is of cross-entropy, applies to the losses."""
        return LOSSES[self.loss].band

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.channels, self.image_size, self.image_size

    @model_validator(mode="wrap")
    @classmethod
    def _checked(cls, data: Any, handler: Any) -> "RunConfig":
        for name, value in data.items() if isinstance(data, dict) else ():
            if isinstance(value, bool):  # no field is bool, and Python treats True as 1
                raise ConfigurationError(f"{name} must be a number or text, got {value}")
        if isinstance(data, dict):
            given = {name: value for name, value in data.items() if value is not None}
            model, loss = given.get("model", "gan"), given.get("loss", "bce")
            known = isinstance(model, str) and isinstance(loss, str) and model in MODELS and loss in LOSSES
            source = given.get("data")
            own = isinstance(source, str) and source.startswith("folder:")  # nobody counts their own images first
            data = {**({"training_images": "all"} if own else {}), **(implied(model, loss) if known else {}), **given}
        try:
            config: RunConfig = handler(data)
        except ValidationError as error:
            problems = {problem["loc"][:1]: problem for problem in reversed(error.errors())}  # the first one of each field
            raise ConfigurationError("; ".join(map(_explain, reversed(problems.values())))) from None
        _check_together(config)
        _check_used(config)
        return config


def _check_together(config: RunConfig) -> None:
    """Check the bounds that depend on two fields."""
    model = MODELS[config.model]
    if config.image_size < model.smallest:
        raise ConfigurationError(f"image_size must be at least {model.smallest} for {config.model}, got {config.image_size}")
    if rest := config.image_size % model.multiple:
        below = config.image_size - rest
        raise ConfigurationError(
            f"image_size must be a multiple of {model.multiple} for {config.model} (its layers of stride 2 halve it), "
            f"got {config.image_size}: {below} and {below + model.multiple} would do"
        )
    if config.classes and not model.classes:
        able = " or ".join(name for name, entry in MODELS.items() if entry.classes)
        raise ConfigurationError(f"classes must be 0 for model {config.model} (only {able} takes labels), got {config.classes}")
    if config.training_images != "all":  # else counted when they are read, and checked then
        _check_batches(config, config.training_images)


def _check_batches(config: RunConfig, images: int) -> None:
    """Check the number of training images against the batch size."""
    if images < config.batch_size:
        raise ConfigurationError(
            f"training_images must be at least batch_size = {config.batch_size} (one whole batch), "
            f"got {images}: choose a smaller batch_size"
        )
    if images % config.batch_size == 1:
        raise ConfigurationError(
            f"training_images must not leave a last batch of 1 (batch norm needs a spread), "
            f"got {images} in batches of {config.batch_size}"
        )
    batches = -(-images // config.batch_size)
    if config.critic_steps > batches:
        raise ConfigurationError(
            f"critic_steps must be at most {batches}, the batches of an epoch (each epoch updates the generator too), "
            f"got {config.critic_steps}"
        )


def unused(config: RunConfig) -> dict[str, str]:
    """Return the fields that a run does not use, and why: {"width": "model gan"}."""
    used = {*MODELS[config.model].uses, *LOSSES[config.loss].uses}
    own_images = (config.data.startswith("folder:"), f"data {config.data}")
    switches = {
        "background": own_images,
        "skip_broken": own_images,
        "generator_dropout": (bool(config.dropout), "dropout 0"),
        "schedule_start": (config.schedule == "linear", f"schedule {config.schedule}"),
        "augmentation_pixels": (config.augmentation != "none", f"augmentation {config.augmentation}"),
        "penalty_every": (bool(config.r1_weight or config.r2_weight), "r1_weight and r2_weight 0"),
    }
    for entries, kind, name in ((MODELS, "model", config.model), (LOSSES, "loss", config.loss)):
        for field in {field for entry in entries.values() for field in entry.uses} - used:
            switches.setdefault(field, (False, f"{kind} {name}"))
    return {field: where for field, (in_use, where) in switches.items() if not in_use}


def _check_used(config: RunConfig) -> None:
    """A field without a use keeps its default, so that no run is named after it."""
    for field, where in unused(config).items():
        value, usual = getattr(config, field), RunConfig.model_fields[field].default
        if value != usual:
            raise ConfigurationError(f"{field} must stay {usual} for {where} (nothing there uses it), got {value}")


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


def describe_parameters() -> str:
    """Every parameter with its bounds, for run --help."""
    lines = ["Parameters, for --set:"]
    for name, field in RunConfig.model_json_schema()["properties"].items():
        kinds = [field, *field.get("anyOf", [])]
        bounds = [", ".join(map(str, kind["enum"])) for kind in kinds if "enum" in kind]
        for word, keys in (("from", ("minimum", "exclusiveMinimum")), ("to", ("maximum", "exclusiveMaximum"))):
            bounds += [f"{word} {kind[key]:,}" for kind in kinds for key in keys if key in kind]
        meaning = field["description"]
        if name == "loss":
            meaning = "; ".join(f"{loss}: {entry.title}" for loss, entry in LOSSES.items())
        if name not in ("model", "machine", "seed"):
            lines.append(f"{name} ({' '.join(bounds) or 'text'}): {meaning}")
    return "\n\n".join(lines)


# These fields may change when a run resumes: neither training nor samples depend on them, and each line of
# metrics.csv has its epoch.
FREE = ("checkpoint_seconds", "evaluate_every", "sample_every")


def differences(config: RunConfig, other: RunConfig, ignore: tuple[str, ...] = ("seed", *FREE)) -> dict[str, tuple[Any, Any]]:
    """The fields in which two configs differ, as {name: (value in config, value in other)}."""
    return {
        name: (getattr(config, name), getattr(other, name))
        for name in RunConfig.model_fields
        if name not in ignore and getattr(config, name) != getattr(other, name)
    }
