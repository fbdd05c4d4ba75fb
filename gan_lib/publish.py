"""For those who maintain this repository: keep runs as reference results, and write README's results table from them."""

import sys
from pathlib import Path

from gan_lib import batch, paper
from gan_lib.record import copy_records
from gan_lib.selection import Comparison, Row, compare
from gan_lib.tables import TITLES
from gan_lib.words import duration, exact, show

README = batch.ROOT / "README.md"
BEGIN, END = "<!-- results: make readme -->", "<!-- /results -->"


def results_table(rows: Comparison) -> str:
    """README's table: the paper's numbers and the reference runs' in Markdown."""
    lines = [
        "| | paper, s/epoch | here | paper, epochs to balance | here | whole run | last losses D / G | measured on |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *(_line(row) for row in rows.values())])


def update(text: str, table: str) -> str:
    """README's text with the part between its two marks replaced. Raises ValueError when a mark is missing."""
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"README.md must hold {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def _line(row: Row) -> str:
    published = paper.RESULTS[row.configuration]
    named = paper.INSTANCES[row.named_machine].name
    head = f"| {TITLES[row.configuration]} | {exact(published.seconds_per_epoch)} ({named})"
    if not row.records:
        return f"{head} | not measured yet | {published.epochs_to_balance:,} | – | – | – | – |"
    reached = [balance.epoch for balance in row.balances() if balance.epoch is not None]
    balance = (
        f"epoch {reached[0]:,}" if len(reached) == 1 == len(row.records) else f"{len(reached)} of {len(row.records)} seeds"
    )
    balance = balance if reached else f"never in {row.epochs:,}"
    losses = f"{show(row.middle('discriminator_loss'))} / {show(row.middle('generator_loss'))}"
    seconds = row.middle("training_seconds") or 0.0
    return (
        f"{head} | **{show(row.middle('seconds_per_epoch'))}** | {published.epochs_to_balance:,} | {balance} | "
        f"{row.epochs:,} epochs, {duration(seconds)} | {losses} | {row.machine} |"
    )


def main(what: str) -> None:
    """records: results/runs -> results/reference. readme: results/reference -> README.md."""
    results = batch.ROOT / "results"
    if what == "records":
        for name in copy_records(results / "runs", results / "reference"):
            print(f"kept {name}")
    elif what == "readme":
        table = results_table(compare(results / "reference", Path("/nonexistent")))
        README.write_text(update(README.read_text(encoding="utf-8"), table), encoding="utf-8")
        print(f"wrote the results table of {README.name}")
    else:
        sys.exit(f"publish: choose records or readme, got {what!r}")


if __name__ == "__main__":
    main(*sys.argv[1:2] or [""])
