"""For those who maintain this repository: keep runs as reference results, and write README's tables and figures from them."""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from gan_lib import (
    batch,
    choices_answers,
    choices_figures,
    choices_study,
    figures,
    paper,
    precision_study,
    quality,
    quality_curves,
    quality_figures,
    quality_study,
    quality_tables,
    speed,
    stop_rule,
    verdict,
)
from gan_lib.choices_study import Study, read_study
from gan_lib.classifier import WEIGHTS, classifier_facts, load_classifier, save_classifier
from gan_lib.classifier_training import EPOCHS, cross_validate, labelled_images, train_classifier
from gan_lib.config import RunConfig
from gan_lib.configurations import ALL_CONFIGURATIONS
from gan_lib.data import load_images
from gan_lib.execution import NOTEBOOKS, relative
from gan_lib.machine import Neighbours, fingerprint
from gan_lib.record import RunFolder, copy_records, find_records
from gan_lib.selection import Comparison, Row, compare, papers_own
from gan_lib.speed import Bench
from gan_lib.tables import TITLES, Table
from gan_lib.terminal import ProgressLine
from gan_lib.words import duration, exact, show

README = batch.ROOT / "README.md"


def results_table(rows: Comparison) -> str:
    """README's table: the paper's numbers and the reference runs' in Markdown."""
    lines = [
        "| | paper, s/epoch | here | paper, epochs to balance | here | whole run | last losses D / G | measured on |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *(_line(row) for row in rows.values())])


def speed_table(benches: Sequence[Bench]) -> str:
    """README's table of training speed in Markdown: a plain PyTorch loop and ours in turns, the paper's beside them."""
    return _markdown(speed.speed_table(benches))


def quality_table(rows: Comparison) -> str:
    """README's table of image quality in Markdown: each configuration that was measured, and the floor."""
    measured = {name: row for name, row in rows.items() if quality.values(row, "noise_level")}
    if not measured:
        return "Not measured yet."
    found = quality_tables.quality_by_configuration(measured)
    return _markdown(Table(found.frame.drop(columns="where from"), found.caption))


def claims_table(rows: Comparison) -> str:
    """README's table of the paper's claims in Markdown, judged on the reference runs alone."""
    return _markdown(verdict.claims_table(verdict.claims(rows, rows)))


def choices_text(study: Study) -> str:
    """README's answer on what the paper leaves open: which combination fits, and what each choice does, in Markdown."""
    said, long = ("\n".join(f"- {line}" for line in choices_answers.answers(runs)) for runs in (study.short, study.long))
    stop = stop_rule.balance_answer(study.long)
    table = _markdown(choices_answers.effects(study.short))
    return f"{said}\n\n{table}\n\nAt the paper's length:\n\n{long}\n- {stop}"


def update(text: str, name: str, table: str) -> str:
    """README's text with the part between two marks of a name replaced. Raises ValueError when a mark is missing."""
    begin, end = marks(name)
    before, _, rest = text.partition(begin)
    _, mark, after = rest.partition(end)
    if not mark:
        raise ValueError(f"README.md must hold {begin} and {end}")
    return f"{before}{begin}\n{table}\n{end}{after}"


def marks(name: str) -> tuple[str, str]:
    """What stands before and after a part of README that is written by command."""
    return f"<!-- {name}: make readme -->", f"<!-- /{name} -->"


def publish_comparison(reference: Path) -> Path:
    """Write the comparison of the reference runs, and two of its figures as README shows them: images.png, quality.png."""
    experiments = sorted(path.name for path in reference.iterdir() if path.is_dir())
    page = batch.write_comparison(reference, reference, experiments, reference / "comparison.html")
    rows = compare(reference, reference, experiments)
    (reference / "images.png").write_bytes(figures.sample_sheet(rows).png())
    (reference / "quality.png").write_bytes(quality_curves.frechet_curves(rows).png())
    return page


def publish_precision(folder: Path) -> str:
    """Draw results/precision from its runs: precision.png, and precision.md with the final losses. Returns one line."""
    records = [record for runs in sorted(folder.glob("*/runs")) for record in find_records(runs)[0] if record.status == "ok"]
    apart = precision_study.apart(records)
    words = f"further apart than the seeds in {' and '.join(apart)}" if apart else "within the spread of the seeds"
    text = (
        f"Final losses, the mean of the last ten epochs: mean over the seeds (lowest to highest). The precisions are {words}. "
        f"By chance: how often a difference as large comes about when the runs are dealt out anew (exact permutation test).\n\n"
        f"{_markdown(precision_study.final_losses(records))}\n"
    )
    (folder / "precision.png").write_bytes(precision_study.chart(records).png())
    (folder / "precision.md").write_text(text, encoding="utf-8")
    return f"{len(records)} runs, {words}"


def publish_classifier(path: Path) -> str:
    """Train the classifier of digits on all 5,000 of them, and measure it by cross-validation: weights and a JSON file beside.

    All digits, training and held-out: every digit is then treated alike, whichever ones a run trains on. Its accuracy cannot
    come from digits that it has seen, hence the cross-validation.
    """
    images, labels = labelled_images(load_images(RunConfig()))
    found = cross_validate(images, labels)
    facts = {"data": "digits", "epochs": EPOCHS, "seed": 0, "torch": torch.__version__, **found}
    save_classifier(train_classifier(images, labels), path, **facts)
    return f"{found['accuracy']:.2%} of {found['images']:,} digits named rightly by a classifier that had not seen them"


def publish_quality(folder: Path) -> str:
    """Measure every measure of quality under known damage: sanity.json and its figure, sanity.png. Returns one line."""
    classifier = load_classifier()
    record = quality_study.study(classifier)
    neighbours = Neighbours()
    seconds = quality_study.seconds_per_evaluation(classifier)
    timing = {"seconds_by_threads": seconds, "others_cpu_share": neighbours.share()}
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"classifier_sha256": classifier_facts()["sha256"], "machine": fingerprint(torch.device("cpu")), **timing}
    RunFolder(folder).write_json("sanity.json", {**facts, **record})
    (folder / "sanity.png").write_bytes(quality_figures.sanity_chart(record).png())
    return f"seconds per evaluation, by threads: {seconds}"


def make_choices(adam_beta1: float, folder: Path) -> None:
    """Make one half of the study of what the paper leaves open, both models with these betas, where runs are not there yet.

    A run that fails is part of the answer: it is named here and in the report, and stops nothing.
    """
    choices = [choice for choice in choices_study.CHOICES if choice.adam_beta1 == adam_beta1]
    configs = [config for model in choices_study.EPOCHS for config in choices_study.configs(model, choices)]
    line = ProgressLine()
    try:
        records = batch.run_batch(batch.plan(configs, folder), show=line.show)
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
    study = read_study(folder / "runs", batch.REFERENCE)
    (folder / "choices.png").write_bytes(choices_figures.loss_against_quality(study.short).png())
    (folder / "stop.png").write_bytes(choices_figures.quality_and_balance(study.long).png())
    parameters = {
        "choices_dir": relative(folder / "runs", NOTEBOOKS),
        "reference_dir": relative(batch.REFERENCE, NOTEBOOKS),
    }
    return batch.report("04_unsaid_choices.ipynb", parameters, folder / "choices.html", "What the paper leaves open")


def _markdown(table: Table) -> str:
    columns = list(table.frame.columns)
    lines = [columns, ["---"] * len(columns), *([show(value) for value in row] for row in table.frame.values)]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _line(row: Row) -> str:
    published = paper.RESULTS[row.configuration]
    named = paper.INSTANCES[row.named_machine].name
    head = f"| {TITLES[row.configuration]} | {exact(published.seconds_per_epoch)} ({named})"
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


def main(what: str) -> None:
    """records: results/runs -> results/reference. comparison: its report. precision: its figure. classifier: its weights.
    quality: its sanity record and figure. choices-0.9, choices-0.5: runs; choices: their report. readme: README's tables."""
    results = batch.ROOT / "results"
    if what == "records":
        for name in copy_records(results / "runs", results / "reference"):
            print(f"kept {name}")
    elif what == "comparison":
        print(f"wrote {publish_comparison(results / 'reference').relative_to(batch.ROOT)}")
    elif what == "precision":
        print(publish_precision(results / "precision"))
    elif what == "classifier":
        print(publish_classifier(WEIGHTS))
    elif what == "quality":
        print(publish_quality(results / "quality"))
    elif what in ("choices-0.9", "choices-0.5"):
        make_choices(float(what.partition("-")[2]), results / "choices")
    elif what == "choices":
        print(f"wrote {publish_choices(results / 'choices').relative_to(batch.ROOT)}")
    elif what == "readme":
        reference = results / "reference"
        rows = compare(reference, reference, list(ALL_CONFIGURATIONS))
        text = update(README.read_text(encoding="utf-8"), "results", results_table(papers_own(rows)))
        text = update(text, "quality", quality_table(rows))
        text = update(text, "claims", claims_table(rows))
        text = update(text, "choices", choices_text(read_study(results / "choices" / "runs", reference)))
        text = update(text, "speed", speed_table(speed.read_benches(results / "bench")))
        README.write_text(text, encoding="utf-8")
        print(f"wrote the tables of {README.name}")
    else:
        sys.exit(f"publish: choose records, comparison, precision, classifier, quality, choices or readme, got {what!r}")


if __name__ == "__main__":
    main(*sys.argv[1:2] or [""])
