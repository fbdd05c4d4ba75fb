"""The two doors for new ideas: LOSSES and MODELS. An entry is all that a new loss or a new network needs, besides its test.

What an entry computes with is named as "module:function" and imported when it is used (or given as the function itself), so
that reading a record, listing runs and drawing tables never wait for PyTorch. RunConfig's choices, what a choice implies,
presets, FLOPs, benchmarks, tables, titles and colours come from here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import Any

Function = str | Callable[..., Any]  # "module:function", or the function itself

_LOSS, _MODEL, _BASELINE = "gan_lib.training.losses:", "gan_lib.training.models:", "gan_lib.studies.baseline:"


@dataclass(frozen=True)
class Loss:
    """What the two networks descend on. Logits are (N, 1), losses are means over the batch."""

    title: str  # for tables and figures
    discriminator: Function  # (real logits, generated logits) -> scalar
    generator: Function  # (generated logits) -> scalar; with pairs (generated logits, real logits) -> scalar
    penalty: Function | None = None  # (network, real, generated, random numbers) -> scalar, times penalty_weight
    pairs: bool = False  # the generator's loss needs the logits of real images too
    scores: bool = False  # logits are scores without bound, and no belief between 0 and 1
    band: bool = False  # whether the paper's balance band, which is of cross-entropy, applies
    implies: Mapping[str, Any] = field(default_factory=dict)  # defaults of RunConfig fields, after its article
    implies_for: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # the same, with one model
    uses: tuple[str, ...] = ()  # the fields that only some losses have a use for


@dataclass(frozen=True)
class Architecture:
    """A generator and a discriminator that fit each other."""

    title: str
    build: Function  # RunConfig -> Pair
    colour: str = "#999999"  # in figures; of Okabe and Ito's palette, which colour-blind readers can tell apart
    multiple: int = 1  # image_size must be a multiple of this
    smallest: int = 4  # image_size must be at least this
    classes: bool = False  # whether it can be conditioned on classes
    plain: Function | None = None  # RunConfig -> (generator, discriminator) of PyTorch's own layers: the baseline of bench
    implies: Mapping[str, Any] = field(default_factory=dict)  # defaults of RunConfig fields
    uses: tuple[str, ...] = ()  # the fields that only some models have a use for


@dataclass(frozen=True)
class Family:
    """A model and a loss that have a name together: "wgan" in "wgan-cpu"."""

    model: str
    losses: tuple[str, ...]  # the first is the one that the name stands for
    named: str = ""  # its title, where that is not the model's
    hue: str = ""  # its colour, where that is not the model's
    paper: bool = False  # one of the paper's own two

    @property
    def loss(self) -> str:
        """The loss that the name stands for."""
        return self.losses[0]

    @property
    def title(self) -> str:
        """For tables and figures: "WGAN"."""
        return self.named or MODELS[self.model].title

    @property
    def colour(self) -> str:
        """For figures."""
        return self.hue or MODELS[self.model].colour


# Both articles' critics take five steps for one of the generator. wgan-gp: Gulrajani et al. 2017, algorithm 1, with three times
# its learning rate, because a run here has a small part of the updates there. wgan: Arjovsky et al. 2017, algorithm 1, whose
# RMSProp is Adam without the mean of gradients, but for a correction in the first steps. No dropout: the critic's two mean
# scores, and the slope that is held to 1, are to be those of one function. PyTorch's start makes CGAN's pixels three times too
# large for a critic: every fourth one goes to white, where tanh is flat, and stays there; Glorot's does not.
_CRITIC = {"critic_steps": 5, "dropout": 0.0, "adam_beta1": 0.0}
_GLOROT_FOR_CGAN = {"cgan": {"initialisation": "glorot"}}

LOSSES: dict[str, Loss] = {
    "bce": Loss(
        "cross-entropy",
        _LOSS + "discriminator_loss",
        _LOSS + "generator_loss",
        band=True,
    ),
    "wgan": Loss(
        "Wasserstein, clipped weights",
        _LOSS + "critic_loss",
        _LOSS + "critic_generator_loss",
        scores=True,
        implies={**_CRITIC, "learning_rate": 0.00005, "adam_beta2": 0.99, "clip": 0.01},
        implies_for=_GLOROT_FOR_CGAN,
        uses=("clip", "critic_steps"),
    ),
    "wgan-gp": Loss(
        "Wasserstein, gradient penalty",
        _LOSS + "critic_loss",
        _LOSS + "critic_generator_loss",
        penalty=_LOSS + "slope_penalty",
        scores=True,
        implies={**_CRITIC, "learning_rate": 0.0003, "adam_beta2": 0.9, "penalty_weight": 10.0},
        implies_for=_GLOROT_FOR_CGAN,
        uses=("penalty_weight", "critic_steps"),
    ),
    # Lim and Ye 2017, Miyato et al. 2018.
    "hinge": Loss(
        "hinge",
        _LOSS + "hinge_loss",
        _LOSS + "critic_generator_loss",
        scores=True,
        implies={"adam_beta1": 0.0},
    ),
    # Huang et al. 2024 (R3GAN): each real image against a generated one, both slopes held down by R1 and R2.
    "rpgan": Loss(
        "relativistic pairing",
        _LOSS + "relativistic_loss",
        _LOSS + "relativistic_generator_loss",
        pairs=True,
        scores=True,
        implies={
            "learning_rate": 0.0005,
            "adam_beta1": 0.0,
            "adam_beta2": 0.99,
            "dropout": 0.0,
            "initialisation": "kaiming",
            "r1_weight": 1.0,
            "r2_weight": 1.0,
        },
    ),
}

MODELS: dict[str, Architecture] = {
    "gan": Architecture(
        "GAN",
        _MODEL + "build_gan",
        "#0072B2",
        plain=_BASELINE + "plain_gan",
    ),
    "cgan": Architecture(
        "CGAN",
        _MODEL + "build_cgan",
        "#D55E00",
        multiple=4,
        classes=True,
        plain=_BASELINE + "plain_cgan",
    ),
    "small": Architecture(
        "small",
        _MODEL + "build_small",
        "#009E73",
        multiple=4,
        smallest=16,
        classes=True,
        implies={"latent_size": 64, "batch_size": 64, "width": 24},
        uses=("width",),
    ),
}

FAMILIES: dict[str, Family] = {
    "gan": Family("gan", ("bce",), paper=True),
    "cgan": Family("cgan", ("bce",), paper=True),
    "wgan": Family("gan", ("wgan-gp", "wgan"), "WGAN", "#56B4E9"),
    "cwgan": Family("cgan", ("wgan-gp", "wgan"), "CWGAN", "#E69F00"),
    "optimal": Family("small", ("rpgan",), "optimal"),
}


def resolve(function: Function) -> Callable[..., Any]:
    """The function that an entry names, imported now."""
    resolved: Callable[..., Any] = resolve_name(function) if isinstance(function, str) else function
    return resolved


def implied(model: str, loss: str) -> dict[str, Any]:
    """What a model and a loss imply for other fields. The loss's own choices win over the model's."""
    entry = LOSSES[loss]
    return {**MODELS[model].implies, **entry.implies, **entry.implies_for.get(model, {})}


def family_name(model: str, loss: str) -> str:
    """The name of a model and a loss together: "wgan", or "gan-hinge" for two that have no name of their own."""
    named = (name for name, family in FAMILIES.items() if family.model == model and loss in family.losses)
    return next(named, f"{model}-{loss}")


def find_family(name: str) -> Family | None:
    """The family of a name that `family_name` gives; None where there is none."""
    if name in FAMILIES:
        return FAMILIES[name]
    pairs = ((model, loss) for model in MODELS for loss in LOSSES)
    model, loss = next((pair for pair in pairs if family_name(*pair) == name), ("", ""))
    return Family(model, (loss,), f"{MODELS[model].title}, {LOSSES[loss].title}", "#CC79A7") if model else None
