"""What the paper leaves open: both models under combinations of the choices that it does not state, held against what it does.

Four choices: Adam's betas, the weights' initialisation, fresh noise or reused images in the generator's step, and whether the
discriminator's dropout is active in that step.
"""

from collections.abc import Sequence
from itertools import product
from statistics import mean
from typing import NamedTuple

from gan_lib import paper, quality
from gan_lib.balance import WINDOW, find_balance
from gan_lib.config import RunConfig
from gan_lib.configurations import configure
from gan_lib.record import Record
from gan_lib.tables import Table, table
from gan_lib.words import show

EPOCHS = {"gan": 150, "cgan": 40}  # where combinations go apart; the paper's own length is for the best ones
NAMES = {
    "adam_beta1": "Adam's betas",
    "initialisation": "initialisation",
    "generator_noise": "G's step judges",
    "generator_dropout": "D's dropout in it",
}


class Choice(NamedTuple):
    """One combination of what the paper does not state; the defaults of RunConfig."""

    adam_beta1: float = 0.9
    initialisation: str = "pytorch"
    generator_noise: str = "fresh"
    generator_dropout: str = "active"

    def __str__(self) -> str:
        """ "betas (0.9, 0.999), pytorch, fresh noise, dropout active"."""
        noise = "fresh noise" if self.generator_noise == "fresh" else "reused images"
        return f"betas ({self.adam_beta1:g}, 0.999), {self.initialisation}, {noise}, dropout {self.generator_dropout}"


CHOICES = [
    *(Choice(*each) for each in product((0.9, 0.5), ("pytorch", "glorot", "dcgan"), ("fresh", "reused"))),
    *(Choice(beta, "pytorch", noise, "off") for beta, noise in product((0.9, 0.5), ("fresh", "reused"))),
]


class Fit(NamedTuple):
    """How near one run ends to what the paper reports. Losses are means over the last ten epochs."""

    discriminator_loss: float
    generator_loss: float
    outside: float  # the larger of both losses' distances from the paper's band; 0 inside
    outside_if_sum: float  # the same, were the paper's D loss the sum of its two halves and not their mean
    balance_epoch: int | None  # by balance.find_balance
    scatter: float  # standard deviation of G's loss over the second half of the run
    frechet: float | None


def configs(model: str, choices: Sequence[Choice] = CHOICES) -> list[RunConfig]:
    """The runs of a model, short ones on one CPU thread each, so that two models can learn side by side."""
    length = EPOCHS[model]
    settings = {"epochs": length, "sample_every": length, "evaluate_every": length, "threads": 1}
    return [configure(f"{model}-cpu", "paper", **settings, **choice._asdict()) for choice in choices]


def choice_of(record: Record) -> Choice:
    """The combination that a run was made with."""
    return Choice(*(getattr(record.config, name) for name in Choice._fields))


def fit(record: Record) -> Fit:
    """Hold a run against the paper's Table 3 and its bands."""
    d, g = record.history["discriminator_loss"], record.history["generator_loss"]
    d_loss, g_loss = mean(d[-WINDOW:]), mean(g[-WINDOW:])
    half = g[len(g) // 2 :]
    return Fit(
        d_loss,
        g_loss,
        max(_outside(d_loss, paper.DISCRIMINATOR_BAND), _outside(g_loss, paper.GENERATOR_BAND)),
        max(_outside(2 * d_loss, paper.DISCRIMINATOR_BAND), _outside(g_loss, paper.GENERATOR_BAND)),
        find_balance(d, g).epoch,
        mean((value - mean(half)) ** 2 for value in half) ** 0.5,
        quality.last(record).get(quality.FRECHET),
    )


def by_choice(records: Sequence[Record]) -> dict[Choice, dict[str, Record]]:
    """The runs of each combination by model, in the order of CHOICES; of several, the one that trained longest."""
    found: dict[Choice, dict[str, Record]] = {choice: {} for choice in CHOICES}
    for record in sorted(records, key=lambda record: record.config.epochs):
        if record.status == "ok" and not record.config.wasserstein:
            found.setdefault(choice_of(record), {})[record.config.model] = record
    return {choice: models for choice, models in found.items() if models}


def at_length(records: Sequence[Record], lengths: dict[str, int]) -> list[Record]:
    """Those of some runs that trained for a model's number of epochs."""
    return [record for record in records if record.config.epochs == lengths[record.config.model]]


def choices_table(records: Sequence[Record]) -> Table:
    """Every combination with its two models: the last losses, how far outside the paper's bands, balance, Fréchet distance."""
    lines: list[dict[str, object]] = []
    for choice, models in by_choice(records).items():
        line: dict[str, object] = {NAMES["adam_beta1"]: f"({choice.adam_beta1:g}, 0.999)"}
        line |= {title: getattr(choice, name) for name, title in NAMES.items() if name != "adam_beta1"}
        for model in EPOCHS:
            found, words = fit(models[model]) if model in models else None, model.upper()
            line[f"{words}, D / G"] = found and f"{show(found.discriminator_loss)} / {show(found.generator_loss)}"
            line[f"{words}, outside by"] = found and found.outside
            line[f"{words}, scatter of G"] = found and found.scatter
            line[f"{words}, balance at epoch"] = found and (found.balance_epoch or "never")
            line[f"{words}, Fréchet distance"] = found and found.frechet
        lines.append(line)
    epochs = {record.config.model: record.config.epochs for record in records}
    lengths = " and ".join(f"{model.upper()} {epochs[model]:,} epochs" for model in EPOCHS if model in epochs)
    return table(lines, f"Mean losses of the last {WINDOW} epochs ({lengths}); outside the paper's bands by how much")


def ranked(records: Sequence[Record], if_sum: bool = False) -> list[tuple[Choice, float]]:
    """The combinations that both models were run with and the larger of both distances, nearest to the paper's bands first."""
    name = "outside_if_sum" if if_sum else "outside"
    distances = [
        (choice, max(float(getattr(fit(record), name)) for record in models.values()))
        for choice, models in by_choice(records).items()
        if len(models) == len(EPOCHS)
    ]
    return sorted(distances, key=lambda pair: pair[1])


def answers(records: Sequence[Record]) -> list[str]:
    """In sentences: which combination ends nearest to what the paper reports, and how sure that is."""
    nearest = ranked(records)
    if not nearest:
        return ["Nothing can be said yet: no combination was run with both models."]
    (best, distance), (sum_best, sum_distance) = nearest[0], ranked(records, if_sum=True)[0]
    said = [f"Nearest to the paper's bands in both models: {best}, outside by {show(distance)} at most."]
    if len(nearest) > 1:
        said.append(f"Next comes {nearest[1][0]}, with {show(nearest[1][1])}.")
    said.append(f"Were the paper's D loss the sum of its two halves, it would be {sum_best}, with {show(sum_distance)}.")
    return said


def spread(records: Sequence[Record]) -> list[str]:
    """How far seeds of one combination go apart, a sentence where a model has several: no ranking sees through that."""
    said = []
    for model in EPOCHS:
        kinds: dict[Choice, list[float]] = {}
        for record in records:
            if record.config.model == model and record.status == "ok" and not record.config.wasserstein:
                kinds.setdefault(choice_of(record), []).append(fit(record).outside)
        for choice, distances in kinds.items():
            if len(distances) > 1:
                said.append(
                    f"{model.upper()}, {choice}: {len(distances)} seeds are outside by {show(min(distances))} to "
                    f"{show(max(distances))}; of combinations nearer to each other than that none is better."
                )
    return said


def _outside(value: float, band: paper.Band) -> float:
    return max(band.low - value, value - band.high, 0.0)
