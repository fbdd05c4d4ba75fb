"""What the paper leaves open: both models under combinations of the choices that it does not state.

Here are the runs; what comes of them is worked out in notebooks/04_unsaid_choices.ipynb. Sixteen of the 24 combinations of four
choices: dropout is off with one initialisation only.
"""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

from gan_lib.batch import pages, runner
from gan_lib.batch.notebooks import NOTEBOOKS, relative
from gan_lib.batch.progress import ProgressLine
from gan_lib.config import RunConfig
from gan_lib.errors import RecordError
from gan_lib.presets import configure
from gan_lib.reporting import paper
from gan_lib.runs.record import Record, find_records

LENGTHS = {"gan": 200, "cgan": 25}  # epochs, where combinations go apart; the paper's own length is for the best ones
PAPERS_LENGTHS = {model: paper.RESULTS[f"{model}-cpu"].epochs_to_balance for model in LENGTHS}  # Table 3

CHOICES = ("adam_beta1", "initialisation", "generator_noise", "generator_dropout")  # fields of RunConfig
COMBINATIONS = [
    *product((0.9, 0.5), ("pytorch", "glorot", "dcgan"), ("fresh", "reused"), ("active",)),
    *product((0.9, 0.5), ("pytorch",), ("fresh", "reused"), ("off",)),
]


class Study(NamedTuple):
    """All runs that there are of combinations."""

    short: list[Record]  # of the lengths in LENGTHS
    long: list[Record]  # of the paper's, reference runs first
    unreadable: list[str]  # one line for each folder that is not readable


def configs(model: str, combinations: Sequence[tuple[object, ...]] = COMBINATIONS) -> list[RunConfig]:
    """The runs of a model, short ones on one CPU thread each, so that two runs can be made side by side."""
    epochs = LENGTHS[model]
    settings = {"epochs": epochs, "sample_every": epochs, "evaluate_every": epochs, "threads": 1}
    return [
        configure(f"{model}-cpu", "paper", **settings, **dict(zip(CHOICES, values, strict=True))) for values in combinations
    ]


def read_study(choices: Path, reference: Path) -> Study:
    """The runs below results/choices/runs, and with them the reference runs, which are combinations too.

    Raises RecordError where there is none of either length.
    """
    records, unreadable = find_records(choices)
    every = [*find_records(reference)[0], *records]
    study = Study(of_length(records, LENGTHS), of_length(every, PAPERS_LENGTHS), unreadable)
    if not study.short or not study.long:
        raise RecordError(
            f"runs in {choices} and {reference} must have both lengths to be compared: make -j2 choices trains them"
        )
    return study


def of_length(records: Sequence[Record], lengths: dict[str, int]) -> list[Record]:
    """Those of some runs that are meant to train for a model's number of epochs."""
    return [record for record in records if record.config.epochs == lengths.get(record.config.model)]


def make_choices(adam_beta1: float, folder: Path) -> str:
    """Train one half of the combinations, both models with these betas, where runs are not there yet; returns what came of it.

    A run that fails is part of the answer: it is named here and in the report, and stops nothing.
    """
    half = [values for values in COMBINATIONS if values[0] == adam_beta1]
    planned = [config for model in LENGTHS for config in configs(model, half)]
    line = ProgressLine()
    try:
        records = runner.run_batch(runner.plan(planned, folder), show=line.show)
    finally:
        line.end()
    failed = [record for record in records if record.status != "ok"]
    lines = [f"{record.name}: {record.status}: {record.reason}" for record in failed]
    ok = len(records) - len(failed)
    return "\n".join([*lines, f"{ok} of {len(records)} runs with betas ({adam_beta1:g}, 0.999) are ok"])


def publish_choices(folder: Path) -> Path:
    """Execute the notebook on the runs that there are; returns its page, choices.html.

    The notebook itself leaves README's parts beside it: answer.md, choices.png and stop.png.
    """
    parameters = {
        "choices_dir": relative(folder / "runs", NOTEBOOKS),
        "reference_dir": relative(pages.REFERENCE, NOTEBOOKS),
        "save_dir": relative(folder, NOTEBOOKS),
    }
    return pages.report("04_unsaid_choices.ipynb", parameters, folder / "choices.html", "What the paper leaves open")
