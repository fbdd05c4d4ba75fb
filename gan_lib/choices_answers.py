"""What runs under combinations of the paper's unsaid choices say: which ends where the paper does, what each choice does."""

from collections.abc import Iterable, Sequence
from statistics import mean

from gan_lib.balance import WINDOW
from gan_lib.choices_study import EPOCHS, Choice, Fit, by_choice, fit, papers_epochs, why_missing
from gan_lib.record import Record
from gan_lib.tables import Table, table
from gan_lib.words import show

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
        for model in EPOCHS:
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


def ranked(records: Sequence[Record], models: Iterable[str] = EPOCHS, if_sum: bool = False) -> list[tuple[Choice, float]]:
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
    said = [sentence for model in EPOCHS if (sentence := _nearest(records, model))]
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


def _lengths(records: Sequence[Record], models: Iterable[str] = EPOCHS) -> str:
    epochs = {record.config.model: record.config.epochs for record in records}
    return " and ".join(f"{model.upper()}, {epochs[model]:,} epochs" for model in models if model in epochs) or "no runs"
