"""What the paper leaves open: both models under combinations of the choices that it does not state, held against what it does.

Four choices: Adam's betas, the weights' initialisation, fresh noise or reused images in the generator's step, and whether the
discriminator's dropout is active in that step. Sixteen of the 24 combinations: dropout is off with one initialisation only.
"""

from collections.abc import Sequence
from itertools import product
from statistics import mean, pstdev
from typing import NamedTuple

from gan_lib import paper, quality
from gan_lib.balance import WINDOW, find_balance
from gan_lib.config import RunConfig
from gan_lib.configurations import configure
from gan_lib.record import Record
from gan_lib.tables import Table, table
from gan_lib.words import show

EPOCHS = {"gan": 200, "cgan": 25}  # where combinations go apart; the paper's own length is for the best ones
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
    """How near a combination's runs (seeds) end to what the paper reports. Losses are means over the last ten epochs."""

    discriminator_loss: float
    generator_loss: float
    outside: float  # the larger of both losses' distances from the paper's band; 0 inside
    outside_if_sum: float  # the same, were the paper's D loss the sum of its two halves and not their mean
    balanced: int  # how many of the runs were ever in balance, by balance.find_balance
    scatter: float  # standard deviation of G's loss over the second half of a run
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
    distances = [value for record in done if (value := quality.last(record).get(quality.FRECHET)) is not None]
    return Fit(
        mean(d for d, _ in ends),
        mean(g for _, g in ends),
        mean(outside(d, g) for d, g in ends),
        mean(outside(2 * d, g) for d, g in ends),
        sum(find_balance(d, g).epoch is not None for d, g in zip(d_losses, g_losses, strict=True)),
        mean(pstdev(g[len(g) // 2 :]) for g in g_losses),
        mean(distances) if distances else None,
        len(done),
    )


def outside(discriminator_loss: float, generator_loss: float) -> float:
    """The larger of both losses' distances from the paper's bands; 0 where both are inside."""
    bands = ((discriminator_loss, paper.DISCRIMINATOR_BAND), (generator_loss, paper.GENERATOR_BAND))
    return max(0.0, *(max(band.low - value, value - band.high) for value, band in bands))


def at_length(records: Sequence[Record], lengths: dict[str, int]) -> list[Record]:
    """Those of some runs that are meant to train for a model's number of epochs."""
    return [record for record in records if record.config.epochs == lengths[record.config.model]]


def why_missing(records: Sequence[Record]) -> str:
    """What became of the runs of a combination where none is ok."""
    return "; ".join(f"{run.status}: {run.reason}" if run.reason else run.status for run in records) or "not run"


def choices_table(records: Sequence[Record]) -> Table:
    """Every combination that was run: the last losses, how far outside the paper's bands, balance, Fréchet distance."""
    lines: list[dict[str, object]] = []
    for choice, models in by_choice(records).items():
        line: dict[str, object] = {NAMES["adam_beta1"]: f"({choice.adam_beta1:g}, 0.999)"}
        line |= {title: getattr(choice, name) for name, title in NAMES.items() if name != "adam_beta1"}
        for model in EPOCHS:
            runs, words = models.get(model, []), model.upper()
            found = fit(runs)
            line[f"{words}, D / G"] = (
                f"{show(found.discriminator_loss)} / {show(found.generator_loss)}" if found else why_missing(runs)
            )
            line[f"{words}, outside by"] = found and found.outside
            line[f"{words}, scatter of G"] = found and found.scatter
            line[f"{words}, in balance"] = found and f"{found.balanced} of {found.runs}"
            line[f"{words}, Fréchet distance"] = found and found.frechet
        lines.append(line)
    epochs = {record.config.model: record.config.epochs for record in records}
    lengths = " and ".join(f"{model.upper()} {epochs[model]:,} epochs" for model in EPOCHS if model in epochs)
    return table(
        lines or [{"combination": "none was run"}],
        f"Mean losses of the last {WINDOW} epochs ({lengths or 'no runs'}), and how far they are outside the paper's bands",
    )


def ranked(records: Sequence[Record], if_sum: bool = False) -> list[tuple[Choice, float, int]]:
    """The combinations that both models were run with, nearest to the paper's bands first.

    With each the larger of both models' distances, by the mean over their seeds, and of how many seeds, the fewer of both.
    """
    found = []
    for choice, models in by_choice(records).items():
        fits = [each for model in EPOCHS if (each := fit(models.get(model, [])))]
        if len(fits) == len(EPOCHS):
            distance = max(each.outside_if_sum if if_sum else each.outside for each in fits)
            found.append((choice, distance, min(each.runs for each in fits)))
    return sorted(found, key=lambda each: each[1])


def answers(records: Sequence[Record]) -> list[str]:
    """In sentences: which combination ends nearest to what the paper reports, and from how many runs."""
    nearest = ranked(records)
    if len(nearest) < 2:
        return [f"Nothing can be said yet: {len(nearest)} of at least two combinations were run with both models."]
    (best, distance, runs), (second, more, _) = nearest[:2]
    sum_best, sum_distance, _ = ranked(records, if_sum=True)[0]
    return [
        f"Nearest to the paper's bands in both models: {best}, outside by {show(distance)} (n = {runs} of each model).",
        f"Next comes {second}, with {show(more)}.",
        f"Were the paper's D loss the sum of its two halves, it would be {sum_best}, with {show(sum_distance)}.",
    ]


def spread(records: Sequence[Record]) -> list[str]:
    """How far seeds of one combination go apart, a sentence where a model has several: no ranking sees through that."""
    said = []
    for choice, models in by_choice(records).items():
        for model, runs in models.items():
            distances = [found.outside for run in runs if (found := fit([run]))]
            if len(distances) > 1:
                said.append(
                    f"{model.upper()}, {choice}: {len(distances)} seeds are outside by {show(min(distances))} to "
                    f"{show(max(distances))}; of combinations nearer to each other than that none is better."
                )
    return said or ["How far seeds of one combination go apart is not known: none was run with two."]
