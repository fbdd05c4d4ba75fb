"""What the runs under combinations of the paper's unsaid choices say: which one is the paper's, and what each choice does."""

from collections.abc import Iterable, Sequence
from statistics import mean
from typing import NamedTuple

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
_EFFECTS = {"D": "discriminator_loss", "G": "generator_loss", "Fréchet distance": "frechet"}


class Standing(NamedTuple):
    """A combination that both models were run with."""

    choice: Choice
    early: list[str]  # the models that it balances too early to be the paper's
    outside: float  # the larger of both models' distances from the paper's bands at the end
    runs: int  # seeds, the fewer of both models'


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
        line["in balance at epoch"] = found and (found.balance_epoch or "never")
        line["Fréchet distance"] = found and found.frechet
        line["runs"] = found and found.runs
        lines.append(line)
    return table(
        lines or [{"combination": "none was run"}],
        f"{_lengths(records, [model])}: mean losses of the last {WINDOW} epochs, and how far outside the paper's bands",
    )


def effects(records: Sequence[Record]) -> Table:
    """What each choice does by itself: the change between two combinations that differ in it alone.

    The mean over all such pairs, and the lowest and highest of them: a choice whose changes all have one sign does something,
    whatever the others are.
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


def ranked(records: Sequence[Record]) -> list[Standing]:
    """The combinations that both models were run with: those not in balance too early first, nearest to the bands first."""
    found = []
    for choice, models in by_choice(records).items():
        fits = {model: each for model in EPOCHS if (each := fit(models.get(model, [])))}
        if len(fits) == len(EPOCHS):
            early = [model for model, each in fits.items() if each.early]
            outside, runs = max(each.outside for each in fits.values()), min(each.runs for each in fits.values())
            found.append(Standing(choice, early, outside, runs))
    return sorted(found, key=lambda each: (bool(each.early), each.outside))


def answers(records: Sequence[Record]) -> list[str]:
    """In sentences: which combinations cannot be the paper's, and which of the others ends nearest to what it reports."""
    order = ranked(records)
    if len(order) < 2:
        return [f"Nothing can be said yet: {len(order)} of at least two combinations were run with both models."]
    said = [sentence for model in EPOCHS if (sentence := _early(order, model, records))]
    late = [each for each in order if not each.early]
    if not late:
        return [*said, f"None of the {len(order)} combinations takes as long as the paper's."]
    said.append(
        f"Of the {len(late)} {'other ' if said else ''}combinations {late[0].choice} ends nearest to the paper's bands in both "
        f"models, outside by {show(late[0].outside)} (n = {late[0].runs} of each model)."
    )
    if len(late) > 1:
        said.append(f"Next comes {late[1].choice}, with {show(late[1].outside)}.")
    fits = {each.choice: [fit(runs) for runs in by_choice(records)[each.choice].values()] for each in order}
    as_sum = {choice: max(each.outside_if_sum for each in both if each) for choice, both in fits.items()}
    best = min(as_sum, key=lambda choice: as_sum[choice])
    said.append(
        f"Were the paper's D loss the sum of its two halves and not their mean, {best} would end nearest, outside by "
        f"{show(as_sum[best])}."
    )
    return said


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


def _early(order: Sequence[Standing], model: str, records: Sequence[Record]) -> str:
    """What the combinations that balance a model too early have in common; "" where there are none."""
    early = [each.choice for each in order if model in each.early]
    if not early:
        return ""
    runs = by_choice(records)
    epochs = [found.balance_epoch for choice in early if (found := fit(runs[choice][model])) and found.balance_epoch]
    when = f"at epoch {min(epochs)}" + (f" to {max(epochs)}" if max(epochs) > min(epochs) else "")
    shared = _shared(early, [each.choice for each in order if model not in each.early])
    return (
        f"{model.upper()} is in balance {when} with {len(early)} of {len(order)} combinations"
        f"{f', all those with {shared} and no others' if shared else ''}. The paper needs {papers_epochs(model):,} epochs: "
        f"less than a third of that is not what its Table 3 reports."
    )


def _shared(some: Iterable[Choice], others: Iterable[Choice]) -> str:
    """The one choice that some combinations have in common and others do not have, in words; "" where there is none."""
    some, others = list(some), list(others)
    for name in Choice._fields:
        values = {getattr(choice, name) for choice in some}
        if len(values) == 1 and others and not values & {getattr(choice, name) for choice in others}:
            return f"{_NAMES[name]} {_shown(name, values.pop())}".replace("Adam's ", "")
    return ""


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
