"""For those who maintain this repository: keep runs as reference results, and write README's tables and figures from them."""

import math
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from gan_lib.batch import notebooks
from gan_lib.batch.pages import publish_comparison
from gan_lib.batch.progress import say
from gan_lib.config import RunConfig
from gan_lib.data import load_images
from gan_lib.quality.classifier import WEIGHTS, save_classifier
from gan_lib.quality.classifier_training import EPOCHS, cross_validate, labelled_images, train_classifier
from gan_lib.quality.measures import FRECHET
from gan_lib.reporting import claims, paper, tables
from gan_lib.reporting.comparison import Comparison, Row, at_paper_length, papers_own
from gan_lib.reporting.stats import with_ends
from gan_lib.reporting.tables import markdown
from gan_lib.runs.record import copy_records
from gan_lib.studies import bench
from gan_lib.studies.ablation import make_ablation
from gan_lib.studies.measure_check import publish_quality
from gan_lib.studies.precision import publish_precision
from gan_lib.studies.search_comparison import NAMES, SEEDS, make_search, publish_searches
from gan_lib.studies.unstated_choices import make_choices, publish_choices
from gan_lib.text import counted, duration, exact, show

README = notebooks.ROOT / "README.md"


def results_table(rows: Comparison) -> str:
    """README's table: the paper's numbers and the reference runs' in Markdown."""
    lines = [
        "| | paper, s/epoch | here | paper, epochs to balance | here | whole run | last losses D / G | measured on |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *(_line(row) for row in rows.values())])


def optimal_answer(rows: Comparison) -> str:
    """README's sentences on the optimal configuration: how good its images are after how long, and the paper's GAN's."""
    best, paper_gan = (rows.get(name) for name in ("optimal-cpu", "gan-cpu"))
    if not best or not paper_gan or not best.numbers(FRECHET) or not paper_gan.numbers(FRECHET):
        return "Not measured yet."
    ends = with_ends(best.numbers(FRECHET), best.mean(FRECHET) or math.nan)
    sizes = [int(row.middle("parameters") or 0) for row in (best, paper_gan)]
    times = [duration(row.middle("training_seconds") or 0.0) for row in (best, paper_gan)]
    return (
        f"The best one here on a CPU is `optimal-cpu`. Its two networks have {sizes[0]:,} parameters, those of the paper's GAN "
        f"{sizes[1]:,}. Its images have a Fréchet distance of {ends} after {times[0]} of training "
        f"({counted(len(best.records), 'run')}). Those of the paper's GAN end at {show(paper_gan.mean(FRECHET))} "
        f"after {times[1]}, and real images have {show(best.floor(FRECHET))}."
    )


def quality_table(rows: Comparison) -> str:
    """README's tables of image quality in Markdown: at the end with the floor, and how soon, with the verdict."""
    measured = {name: row for name, row in rows.items() if row.numbers("noise_level")}
    if not measured:
        return "Not measured yet."
    made = [tables.quality_by_configuration(measured), tables.seconds_to_quality(measured)]
    return "\n\n".join([markdown(made[0]), claims.verdict(measured), f"{made[1].caption}:", markdown(made[1])])


def update(text: str, name: str, table: str) -> str:
    """README's text with the part between two marks of a name replaced. Raises ValueError when a mark is missing."""
    begin, end = marks(name)
    before, _, rest = text.partition(begin)
    _, mark, after = rest.partition(end)
    if not mark:
        raise ValueError(f"the page must hold {begin} and {end}")
    return f"{before}{begin}\n{table}\n{end}{after}"


def marks(name: str) -> tuple[str, str]:
    """What stands before and after a part of README that is written by command."""
    return f"<!-- {name}: make readme -->", f"<!-- /{name} -->"


def publish_classifier(path: Path) -> str:
    """Train the classifier of digits on all 5,000 of them, and measure it by cross-validation: weights and a JSON file beside.

    All digits, training and held-out: every digit is then treated alike, whichever ones a run trains on. Its accuracy cannot
    come from digits that it has seen, hence the cross-validation.
    """
    images, labels = labelled_images(load_images(RunConfig()))
    scores = cross_validate(images, labels)
    facts = {"data": "digits", "epochs": EPOCHS, "seed": 0, "torch": torch.__version__, **scores}
    save_classifier(train_classifier(images, labels), path, **facts)
    return f"accuracy on {scores['images']:,} digits that the classifier was not trained on: {scores['accuracy']:.2%}"


def _line(row: Row) -> str:
    published = paper.RESULTS[row.configuration]
    named = paper.INSTANCES[row.named_machine].name
    head = f"| {row.title} | {exact(published.seconds_per_epoch)} ({named})"
    if not row.records:
        return f"{head} | not measured yet | {published.epochs_to_balance:,} | – | – | – | – |"
    reached, epoch = sum(balance.epoch is not None for balance in row.balances()), row.balance_epoch()
    balance = f"epoch {epoch:,}" if epoch is not None else f"{'not' if reached else 'never'} in {row.epochs:,}"
    balance += f" ({reached} of {len(row.records)} seeds)" if reached and len(row.records) > 1 else ""
    losses = f"{show(row.middle('discriminator_loss'))} / {show(row.middle('generator_loss'))}"
    seconds = row.middle("training_seconds") or 0.0
    return (
        f"{head} | **{show(row.middle('seconds_per_epoch'))}** | {published.epochs_to_balance:,} | {balance} | "
        f"{row.epochs:,} epochs, {duration(seconds)} | {losses} | {row.machine} |"
    )


def write_readme(results: Path) -> str:
    """Write the tables of README.md and of results/README.md from what is in results; returns one line."""
    reference = results / "reference"
    rows = at_paper_length(reference, reference)
    benches, problems = bench.read_benches(results / "bench")
    parts = {
        README: {"optimal": optimal_answer(rows), "results": results_table(papers_own(rows))},
        results / "README.md": {
            "quality": quality_table(rows),
            "claims": markdown(claims.claims_table(claims.claims(rows, rows))),  # judged on the reference runs alone
            "choices": _answer(results / "choices", "make -j2 choices"),
            "ablation": _answer(results / "ablation", "make ablation"),
            "searches": _answer(results / "searches", "make -j2 searches"),
            "speed": markdown(bench.speed_table(benches)),
        },
    }
    for path, tables_of_it in parts.items():
        text = path.read_text(encoding="utf-8")
        for name, part in tables_of_it.items():
            text = update(text, name, part)
        path.write_text(text, encoding="utf-8")
    return "\n".join([f"wrote the tables of {README.name} and results/README.md", *problems])


def _answer(study: Path, command: str) -> str:
    """What a study's notebook left for README."""
    answer = study / "answer.md"
    return answer.read_text(encoding="utf-8").strip() if answer.exists() else f"Not run yet: {command}."


def _published(page: Path) -> str:
    return f"wrote {page.relative_to(notebooks.ROOT)}"


# What each word makes in the folder of results; each returns lines to print.
COMMANDS: dict[str, Callable[[Path], str]] = {
    "records": lambda results: "\n".join(f"kept {name}" for name in copy_records(results / "runs", results / "reference")),
    "comparison": lambda results: _published(publish_comparison(results / "reference")),
    "precision": lambda results: publish_precision(results / "precision"),
    "classifier": lambda results: publish_classifier(WEIGHTS),
    "quality": lambda results: publish_quality(results / "quality"),
    "choices-0.9": lambda results: make_choices(0.9, results / "choices"),
    "choices-0.5": lambda results: make_choices(0.5, results / "choices"),
    "choices": lambda results: _published(publish_choices(results / "choices")),
    "ablation": lambda results: make_ablation(results / "ablation"),
    **{f"searches-{kind}-{seed}": partial(make_search, kind, seed) for kind in NAMES for seed in range(SEEDS)},
    "searches": lambda results: _published(publish_searches(results / "searches")),
    "readme": write_readme,
}


def main(what: str) -> None:
    """One of COMMANDS: what `make reference`, `make choices` and so on end with."""
    if what not in COMMANDS:
        sys.exit(f"choose one of {', '.join(COMMANDS)}, got {what!r}")
    for line in COMMANDS[what](notebooks.ROOT / "results").splitlines():
        say(line)


if __name__ == "__main__":
    main(*sys.argv[1:2] or [""])
