"""What the paper leaves open: both models under combinations of the choices that it does not state, and how each ends.

Four choices: Adam's betas, the weights' initialisation, fresh noise or reused images in the generator's step, and whether the
discriminator's dropout is active in that step. Sixteen of the 24 combinations: dropout is off with one initialisation only.
"""

from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from gan_lib import paper
from gan_lib.batch import pages, runner
from gan_lib.batch.notebooks import NOTEBOOKS, relative
from gan_lib.batch.progress import ProgressLine
from gan_lib.config import RunConfig
from gan_lib.presets import configure
from gan_lib.quality import measures
from gan_lib.reporting import claims, quality
from gan_lib.reporting.convergence import WINDOW, find_balance, median_epoch, roughness, trailing_mean
from gan_lib.reporting.style import (
    BAND,
    FAINT,
    INK,
    LABEL,
    Chart,
    balance_bands,
    colour_of,
    epoch_numbers,
    log_numbers,
    say_missing,
    set_title,
    tidy,
)
from gan_lib.reporting.tables import Table, _markdown, table
from gan_lib.runs.record import Record, find_records
from gan_lib.text import show

LENGTHS = {"gan": 200, "cgan": 25}  # where combinations go apart; the paper's own length is for the best ones


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
    length = LENGTHS[model]
    settings = {"epochs": length, "sample_every": length, "evaluate_every": length, "threads": 1}
    return [configure(f"{model}-cpu", "paper", **settings, **choice._asdict()) for choice in choices]


def choice_of(record: Record) -> Choice:
    """The combination that a run was made with."""
    return Choice(*(getattr(record.config, name) for name in Choice._fields))


def by_choice(records: Sequence[Record]) -> Runs:
    """The runs of each combination, one for each model and seed, in the order of CHOICES; also those that failed."""
    found: Runs = {choice: {} for choice in CHOICES}
    for record in records:
        if not record.config.band:
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
    distances = [value for record in done if (value := quality.last(record).get(measures.FRECHET)) is not None]
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

    short: list[Record]  # of the lengths in LENGTHS
    long: list[Record]  # of the paper's, reference runs first
    unreadable: list[str]  # one line for each folder that is not readable


def read_study(choices: Path, reference: Path) -> Study:
    """The runs below results/choices/runs, and with them the reference runs, which are combinations too."""
    records, unreadable = find_records(choices)
    papers = {model: papers_epochs(model) for model in LENGTHS}
    return Study(at_length(records, LENGTHS), at_length([*find_records(reference)[0], *records], papers), unreadable)


def at_length(records: Sequence[Record], lengths: dict[str, int]) -> list[Record]:
    """Those of some runs that are meant to train for a model's number of epochs."""
    return [record for record in records if record.config.epochs == lengths[record.config.model]]


def why_missing(records: Sequence[Record]) -> str:
    """What became of the runs of a combination where none is ok."""
    return "; ".join(f"{run.status}: {run.reason}" if run.reason else run.status for run in records) or "not run"


def choices_text(study: Study) -> str:
    """README's answer on what the paper leaves open: which combination fits, and what each choice does, in Markdown."""
    said, long = ("\n".join(f"- {line}" for line in answers(runs)) for runs in (study.short, study.long))
    stop = claims.balance_answer(study.long)
    table = _markdown(effects(study.short))
    return f"{said}\n\n{table}\n\nAt the paper's length:\n\n{long}\n- {stop}"


def make_choices(adam_beta1: float, folder: Path) -> None:
    """Make one half of the study of what the paper leaves open, both models with these betas, where runs are not there yet.

    A run that fails is part of the answer: it is named here and in the report, and stops nothing.
    """
    choices = [choice for choice in CHOICES if choice.adam_beta1 == adam_beta1]
    made = [config for model in LENGTHS for config in configs(model, choices)]
    line = ProgressLine()
    try:
        records = runner.run_batch(runner.plan(made, folder), show=line.show)
    finally:
        line.end()
    for record in records:
        if record.status != "ok":
            print(f"{record.name}: {record.status}: {record.reason}")
    print(
        f"{sum(record.status == 'ok' for record in records)} of {len(records)} runs with betas ({adam_beta1:g}, 0.999) are ok"
    )


def publish_choices(folder: Path) -> Path:
    """Write the report on what the paper leaves open from its runs, choices.html, and its figures in README: choices.png,
    stop.png."""
    study = read_study(folder / "runs", pages.REFERENCE)
    (folder / "choices.png").write_bytes(loss_against_quality(study.short).png())
    (folder / "stop.png").write_bytes(quality_and_balance(study.long).png())
    parameters = {
        "choices_dir": relative(folder / "runs", NOTEBOOKS),
        "reference_dir": relative(pages.REFERENCE, NOTEBOOKS),
    }
    return pages.report("04_unsaid_choices.ipynb", parameters, folder / "choices.html", "What the paper leaves open")


_NAMES = {
    "adam_beta1": "Adam's betas",
    "initialisation": "initialisation",
    "generator_noise": "G's step judges",
    "generator_dropout": "D's dropout in it",
}
_CHANGES = [  # one choice at a time, from RunConfig's default to something else
    ("adam_beta1", 0.9, 0.5),
    ("initialisation", "pytorch", "glorot"),
    ("initialisation", "pytorch", "dcgan"),
    ("generator_noise", "fresh", "reused"),
    ("generator_dropout", "active", "off"),
]
_EFFECTS = {"D's loss": "discriminator_loss", "G's loss": "generator_loss", "Fréchet distance": "frechet"}


def choices_table(records: Sequence[Record], model: str) -> Table:
    """Every combination that a model was run with: the last losses, how far outside the paper's bands, balance, quality."""
    lines: list[dict[str, object]] = []
    for choice, models in by_choice(records).items():
        if model not in models:
            continue
        found = fit(models[model])
        line: dict[str, object] = {title: _shown(name, getattr(choice, name)) for name, title in _NAMES.items()}
        line["last D loss"] = found.discriminator_loss if found else why_missing(models[model])
        line["last G loss"] = found and found.generator_loss
        line["outside by"] = found and found.outside
        line["scatter of G"] = found and found.scatter
        line["first in balance"] = found and (found.balance_epoch or "never")
        line["Fréchet distance"] = found and found.frechet
        line["runs"] = found and found.runs
        lines.append(line)
    return table(
        lines or [{"combination": "none was run"}],
        f"{_lengths(records, [model])}: mean losses of the last {WINDOW} epochs, and how far outside the paper's bands",
    )


def effects(records: Sequence[Record]) -> Table:
    """What each choice does by itself: the change between two combinations that differ in it alone.

    The mean over all such pairs, and the lowest and highest of them. Each number is of one seed, so small changes are chance:
    of four pairs all have one sign in one case of eight, of eight in one of 128.
    """
    found = {choice: {m: fit(runs) for m, runs in models.items()} for choice, models in by_choice(records).items()}
    lines: list[dict[str, object]] = []
    for name, before, after in _CHANGES:
        line: dict[str, object] = {"choice": _NAMES[name], "from": _shown(name, before), "to": _shown(name, after)}
        for model in LENGTHS:
            pairs = [
                (one, other)
                for choice, fits in found.items()
                if getattr(choice, name) == before
                and (one := fits.get(model))
                and (other := found.get(Choice(**{**choice._asdict(), name: after}), {}).get(model))
            ]
            for title, number in _EFFECTS.items():
                line[f"{model.upper()}, {title}"] = _change(pairs, number)
            line[f"{model.upper()}, pairs"] = len(pairs)
        lines.append(line)
    return table(
        lines, f"What one choice changes, all else equal ({_lengths(records)}): mean over the pairs (lowest to highest)"
    )


def ranked(records: Sequence[Record], models: Iterable[str] = LENGTHS, if_sum: bool = False) -> list[tuple[Choice, float]]:
    """The combinations that all of these models were run with, those first that end nearest to the paper's bands.

    With each the largest of the models' distances from the bands, by the mean over their seeds. if_sum: were the paper's D loss
    the sum of its two halves.
    """
    models, found = list(models), []
    for choice, runs in by_choice(records).items():
        fits = [each for model in models if (each := fit(runs.get(model, [])))]
        if len(fits) == len(models):
            found.append((choice, max(each.outside_if_sum if if_sum else each.outside for each in fits)))
    return sorted(found, key=lambda each: each[1])


def answers(records: Sequence[Record]) -> list[str]:
    """In sentences: which combination ends nearest to the paper's bands, in each model and in both, and when it was there."""
    said = [sentence for model in LENGTHS if (sentence := _nearest(records, model))]
    both = ranked(records)
    if len(both) > 1:
        (best, distance), (second, more) = both[:2]
        as_sum, as_sum_distance = ranked(records, if_sum=True)[0]
        said += [
            f"In both models at once {best} ends nearest, outside by {show(distance)}; next comes {second}, with {show(more)}.",
            f"Were the paper's D loss the sum of its two halves and not their mean, it would be {as_sum}, with "
            f"{show(as_sum_distance)}.",
        ]
    return said or ["Nothing can be said yet: no model was run with two combinations of this length."]


def _nearest(records: Sequence[Record], model: str) -> str:
    """The best and the worst of a model's combinations; "" where there are not two."""
    order = ranked(records, [model])
    if len(order) < 2:
        return ""
    (best, distance), (worst, most) = order[0], order[-1]
    found = fit(by_choice(records)[best][model])
    when = f"first in balance at epoch {found.balance_epoch:,}" if found and found.balance_epoch else "never in balance"
    return (
        f"Of {len(order)} combinations {model.upper()} ends nearest to the paper's bands with {best}: outside by "
        f"{show(distance)} (n = {found and found.runs}), {when} (the paper: {papers_epochs(model):,}). It ends farthest with "
        f"{worst}, by {show(most)}."
    )


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


def _change(pairs: Sequence[tuple[Fit, Fit]], name: str) -> str | None:
    """How a number changes from the first to the second of each pair, in words; None without pairs that have it."""
    changes = [
        getattr(other, name) - getattr(one, name)
        for one, other in pairs
        if getattr(one, name) is not None and getattr(other, name) is not None
    ]
    if not changes:
        return None
    average, low, high = (f"{'+' if value > 0 else ''}{show(value)}" for value in (mean(changes), min(changes), max(changes)))
    return f"{average} ({low} to {high})"


def _shown(name: str, value: object) -> str:
    return f"({value:g}, 0.999)" if name == "adam_beta1" else str(value)


def _lengths(records: Sequence[Record], models: Iterable[str] = LENGTHS) -> str:
    epochs = {record.config.model: record.config.epochs for record in records}
    return " and ".join(f"{model.upper()}, {epochs[model]:,} epochs" for model in models if model in epochs) or "no runs"


_BETAS = {0.9: "#009E73", 0.5: INK}  # Adam's first beta, and its colour where betas are compared
_LOWEST = 0.02  # where the losses' axis ends: D of 0.002 is as sure of itself as D of 0.02
_SHAPES = {"pytorch": "o", "glorot": "s", "dcgan": "^", "dropout off": "D"}
_GLYPHS = {"o": "●", "s": "■", "^": "▲", "D": "◆"}  # the same in a line of text
_COLUMNS = [(0.9, "fresh"), (0.9, "reused"), (0.5, "fresh"), (0.5, "reused")]
_ROWS = [("pytorch", "active"), ("glorot", "active"), ("dcgan", "active"), ("pytorch", "off")]


def small_multiples(records: Sequence[Record], model: str) -> Chart:
    """Both losses of a model by epoch, a panel for each combination, on common logarithmic axes with the paper's bands shaded.

    Of several seeds the first is drawn; the text gives the mean over all.
    """
    found = {choice: models.get(model, []) for choice, models in by_choice(records).items()}
    chart = Chart(figsize=(9.6, 8.4), layout="constrained")
    panels = chart.subplots(len(_ROWS), len(_COLUMNS), sharex=True, sharey=True)
    smooth = [value for runs in found.values() for run in runs if run.status == "ok" for value in _smooth(run)]
    said = []
    for line, (initialisation, dropout) in zip(panels, _ROWS, strict=True):
        for panel, (beta, noise) in zip(line, _COLUMNS, strict=True):
            choice = Choice(beta, initialisation, noise, dropout)
            runs = found.get(choice, [])
            set_title(panel, f"({beta:g}, 0.999), {noise}")
            numbers = fit(runs)
            if numbers is None:
                say_missing(panel, why_missing(runs))
                said += [f"{choice}: {why_missing(runs)}."] if runs else []
                continue
            _draw(panel, next(run for run in runs if run.status == "ok"))
            said.append(f"{choice}: D {show(numbers.discriminator_loss)}, G {show(numbers.generator_loss)}.")
        line[0].set_ylabel(initialisation if dropout == "active" else f"{initialisation}, dropout off", **LABEL)
    log_numbers(panels[0, 0], upright=True)
    panels[0, 0].set_ylim(max(_LOWEST, 0.7 * min(smooth, default=0.1)), 1.4 * max(smooth, default=2.0))
    for panel in panels[-1]:
        panel.set_xlabel("epoch", **LABEL)
    chart.alt = f"{model.upper()}, losses by epoch; the last ten epochs' means. " + (" ".join(said) or "Not run.")
    return chart


def loss_against_quality(records: Sequence[Record]) -> Chart:
    """G's loss at the end against the Fréchet distance, a mark for each combination, a panel for each model.

    Colour: Adam's betas. Shape: initialisation, or dropout off. Filled: fresh images in G's step; hollow: reused ones.
    """
    chart = Chart(figsize=(9.6, 3.7), layout="constrained")
    said = []
    for panel, model in zip(chart.subplots(1, len(LENGTHS)), LENGTHS, strict=True):
        fits = {choice: found for choice, models in by_choice(records).items() if (found := fit(models.get(model, [])))}
        points = {choice: (found.generator_loss, found.frechet) for choice, found in fits.items() if found.frechet is not None}
        epochs = next((record.config.epochs for record in records if record.config.model == model), 0)
        set_title(panel, f"{model.upper()}, {epochs:,} epochs" if points else model.upper())
        if not points:
            say_missing(panel, "not run")
            continue
        panel.axvspan(*paper.GENERATOR_BAND, color=BAND, linewidth=0, zorder=0)
        panel.annotate("the paper's balance", (paper.GENERATOR_BAND.high, 0.97), (2, 0), xycoords=("data", "axes fraction"),
                       textcoords="offset points", va="top", fontsize=7, color=FAINT)  # fmt: skip
        for choice, point in points.items():
            colour = _BETAS[choice.adam_beta1]
            face = colour if choice.generator_noise == "fresh" else "white"
            panel.plot(*point, _shape(choice), color=colour, markerfacecolor=face, markersize=6.5, markeredgewidth=1.2)
        panel.set_ylim(0, 1.15 * max(distance for _, distance in points.values()))
        panel.set_xlim(0, 1.12 * max(loss for loss, _ in points.values()))
        panel.set_xlabel("G's loss, mean of the last ten epochs", **LABEL)
        tidy(panel)
        for beta in _BETAS:
            mine = [point for choice, point in points.items() if choice.adam_beta1 == beta]
            ends = [f"{show(min(values))} to {show(max(values))}" for values in zip(*mine, strict=True)]
            said += [f"{model.upper()}, betas ({beta:g}, 0.999): G's loss {ends[0]}, distance {ends[1]}."] if mine else []
    panels = chart.axes
    panels[0].set_ylabel("Fréchet distance", **LABEL)
    _keys(panels[-1])
    chart.alt = "G's last loss against Fréchet distance, by combination. " + (" ".join(said) or "Not run.")
    return chart


def quality_and_balance(records: Sequence[Record]) -> Chart:
    """Fréchet distance by epoch, a line for each run that was measured, and where its losses first came into balance.

    Colour: Adam's betas. Shape: initialisation, or dropout off.
    """
    chart = Chart(figsize=(9.6, 3.7), layout="constrained")
    said = []
    for panel, model in zip(chart.subplots(1, len(LENGTHS)), LENGTHS, strict=True):
        set_title(panel, model.upper())
        ends: list[tuple[float, str, str]] = []
        for choice, models in by_choice(records).items():
            runs = [run for run in models.get(model, []) if run.status == "ok" and quality.curve(run).values]
            shape, colour = _shape(choice), _BETAS[choice.adam_beta1]
            for run in runs:
                found = quality.curve(run)
                panel.plot(found.epochs, found.values, color=colour, linewidth=1.1, marker=shape, markersize=2.5, alpha=0.7)
                balance = find_balance(run.history["discriminator_loss"], run.history["generator_loss"]).epoch
                if balance is not None:
                    panel.axvline(balance, color=colour, linewidth=0.9, linestyle=":")
                when = "never in balance" if balance is None else f"in balance at epoch {balance:,}"
                said.append(f"{run.name}: {when}, distance {show(found.values[-1])} at epoch {found.epochs[-1]:,}.")
            if runs:
                words = f"{_GLYPHS[shape]} ({choice.adam_beta1:g}, 0.999), {choice.initialisation}"
                ends.append((found.values[-1], words, colour))
        if not panel.lines:
            say_missing(panel, "Fréchet distance: " + quality.NOT_MEASURED)
            continue
        panel.set_xlim(left=0)
        panel.set_ylim(bottom=0)
        lowest = -1.0
        for value, words, colour in sorted(ends):  # from below, each where no other one is
            place = max(value, lowest)
            lowest = place + 0.05 * panel.get_ylim()[1]
            panel.annotate(words, (1.0, place), (5, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                           va="center", fontsize=7, color=colour, annotation_clip=False)  # fmt: skip
        panel.set_xlabel("epoch; dotted: first in balance", **LABEL)
        tidy(panel)
    chart.axes[0].set_ylabel("Fréchet distance", **LABEL)
    chart.alt = "Fréchet distance by epoch, and balance. " + (" ".join(said) or "Not measured.")
    return chart


def _shape(choice: Choice) -> str:
    return _SHAPES[choice.initialisation if choice.generator_dropout == "active" else "dropout off"]


def _keys(panel: Axes) -> None:
    """What colour, shape and filling stand for."""
    marks = [
        *(Line2D([], [], color=tint, marker="s", linestyle="", markersize=7, label=f"betas ({beta:g}, 0.999)")
          for beta, tint in _BETAS.items()),
        *(Line2D([], [], color=FAINT, marker=shape, linestyle="", label=name) for name, shape in _SHAPES.items()),
        Line2D([], [], color=FAINT, marker="o", markerfacecolor="white", linestyle="", label="hollow: reused images"),
    ]  # fmt: skip
    panel.legend(handles=marks, fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))


def _draw(panel: Axes, record: Record) -> None:
    balance_bands(panel)
    for name, column, colour, above in (
        ("D", "discriminator_loss", INK, -10),
        ("G", "generator_loss", colour_of(record.config.model), 6),
    ):
        values = record.history[column]
        panel.plot(epoch_numbers(values), values, color=colour, linewidth=0.4, alpha=0.5)
        smooth = trailing_mean(values, min(WINDOW, len(values)))
        panel.plot(epoch_numbers(values)[len(values) - len(smooth) :], smooth, color=colour, linewidth=1.3)
        panel.annotate(
            f"{name} {smooth[-1]:.2f}", (0.97, max(smooth[-1], _LOWEST)), (0, above), xycoords=("axes fraction", "data"),
            textcoords="offset points", ha="right", fontsize=7, color=colour, annotation_clip=True,
        )  # fmt: skip
    tidy(panel)


def _smooth(record: Record) -> list[float]:
    """What the bold lines of a run go through."""
    losses = (record.history[name] for name in ("discriminator_loss", "generator_loss"))
    return [value for values in losses for value in trailing_mean(values, min(WINDOW, len(values)))]
