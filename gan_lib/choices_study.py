"""What the paper leaves open: both models under combinations of the choices that it does not state, and how each ends.

Four choices: Adam's betas, the weights' initialisation, fresh noise or reused images in the generator's step, and whether the
discriminator's dropout is active in that step. Sixteen of the 24 combinations: dropout is off with one initialisation only.
"""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from gan_lib import paper, quality
from gan_lib.balance import WINDOW, find_balance, median_epoch, roughness
from gan_lib.config import RunConfig
from gan_lib.configurations import configure
from gan_lib.record import Record, find_records

EPOCHS = {"gan": 200, "cgan": 25}  # where combinations go apart; the paper's own length is for the best ones


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
    """How one model's runs (seeds) of one combination end. Losses are means over the last ten epochs."""

    discriminator_loss: float
    generator_loss: float
    outside: float  # the larger of both losses' distances from the paper's band; 0 inside
    outside_if_sum: float  # the same, were the paper's D loss the sum of its two halves and not their mean
    balance_epoch: (
        int | None
    )  # first, by balance.find_balance, the median over the runs; None when half or more never came there
    scatter: float  # of G's loss, by balance.roughness
    frechet: float | None
    runs: int


Runs = dict[Choice, dict[str, list[Record]]]  # by combination and model


def configs(model: str, choices: Sequence[Choice] = CHOICES) -> list[RunConfig]:
    """The runs of a model, short ones on one CPU thread each, so that two runs can be made side by side."""
    length = EPOCHS[model]
    settings = {"epochs": length, "sample_every": length, "evaluate_every": length, "threads": 1}
    return [configure(f"{model}-cpu", "paper", **settings, **choice._asdict()) for choice in choices]


def choice_of(record: Record) -> Choice:
    """The combination that a run was made with."""
    return Choice(*(getattr(record.config, name) for name in Choice._fields))


def by_choice(records: Sequence[Record]) -> Runs:
    """The runs of each combination, one for each model and seed, in the order of CHOICES; also those that failed."""
    found: Runs = {choice: {} for choice in CHOICES}
    for record in records:
        if record.config.wasserstein:
            continue
        runs = found.setdefault(choice_of(record), {}).setdefault(record.config.model, [])
        if record.config.seed not in [run.config.seed for run in runs]:
            runs.append(record)
    return {choice: models for choice, models in found.items() if models}


def fit(records: Sequence[Record]) -> Fit | None:
    """Hold the runs (seeds) of one combination and one model against the paper's bands, in the mean; None where none is ok."""
    done = [record for record in records if record.status == "ok"]
    if not done:
        return None
    d_losses, g_losses = ([record.history[f"{name}_loss"] for record in done] for name in ("discriminator", "generator"))
    ends = [(mean(d[-WINDOW:]), mean(g[-WINDOW:])) for d, g in zip(d_losses, g_losses, strict=True)]
    balance_epoch = median_epoch([find_balance(d, g) for d, g in zip(d_losses, g_losses, strict=True)])
    distances = [value for record in done if (value := quality.last(record).get(quality.FRECHET)) is not None]
    return Fit(
        mean(d for d, _ in ends),
        mean(g for _, g in ends),
        mean(outside(d, g) for d, g in ends),
        mean(outside(2 * d, g) for d, g in ends),
        balance_epoch,
        mean(roughness(g) for g in g_losses),
        mean(distances) if distances else None,
        len(done),
    )


def papers_epochs(model: str) -> int:
    """The paper's epochs to balance, Table 3: the same on either machine."""
    return paper.RESULTS[f"{model}-cpu"].epochs_to_balance


def outside(discriminator_loss: float, generator_loss: float) -> float:
    """The larger of both losses' distances from the paper's bands; 0 where both are inside."""
    bands = ((discriminator_loss, paper.DISCRIMINATOR_BAND), (generator_loss, paper.GENERATOR_BAND))
    return max(0.0, *(max(band.low - value, value - band.high) for value, band in bands))


class Study(NamedTuple):
    """All runs that there are of combinations."""

    short: list[Record]  # of the lengths in EPOCHS
    long: list[Record]  # of the paper's, reference runs first
    unreadable: list[str]  # one line for each folder that is not readable


def read_study(choices: Path, reference: Path) -> Study:
    """The runs below results/choices/runs, and with them the reference runs, which are combinations too."""
    records, unreadable = find_records(choices)
    papers = {model: papers_epochs(model) for model in EPOCHS}
    return Study(at_length(records, EPOCHS), at_length([*find_records(reference)[0], *records], papers), unreadable)


def at_length(records: Sequence[Record], lengths: dict[str, int]) -> list[Record]:
    """Those of some runs that are meant to train for a model's number of epochs."""
    return [record for record in records if record.config.epochs == lengths[record.config.model]]


def why_missing(records: Sequence[Record]) -> str:
    """What became of the runs of a combination where none is ok."""
    return "; ".join(f"{run.status}: {run.reason}" if run.reason else run.status for run in records) or "not run"
