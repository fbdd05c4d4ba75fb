"""Does the precision of the arithmetic change what is learnt? The same runs in two precisions, side by side."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from gan_lib.reporting.style import INK, LABEL, Chart, epoch_numbers, robust_top, set_title, tidy
from gan_lib.reporting.tables import Table, _markdown, table
from gan_lib.runs.record import Record, find_records
from gan_lib.text import show

_COLOURS = {"fp32": "#009E73", "bf16": "#CC79A7", "fp16": "#56B4E9"}
_LAST = 10  # epochs that a final loss is averaged over: a single epoch's says little
_LOSSES = {"discriminator_loss": "D", "generator_loss": "G"}


def chart(records: Sequence[Record]) -> Chart:
    """Every seed's losses by epoch, one colour for each precision, one panel for each model and loss."""
    models = _models(records)
    figure = Chart(figsize=(9.6, 2.9 * len(models)), layout="constrained")
    panels = figure.subplots(len(models), 2, squeeze=False)
    for row, model in zip(panels, models, strict=True):
        for panel, (name, short) in zip(row, _LOSSES.items(), strict=True):
            chosen = [record for record in records if record.config.model == model]
            set_title(panel, f"{model.upper()}, {short}'s loss")
            for record in chosen:
                losses = record.history[name]
                panel.plot(epoch_numbers(losses), losses, color=_COLOURS[record.config.precision], linewidth=0.8, alpha=0.8)
            panel.set_ylim(0, 1.05 * max(robust_top(record.history[name]) for record in chosen))
            panel.set_xlabel("epoch", **LABEL)
            tidy(panel)
    for at, name in enumerate(_precisions(records)):
        panels[0, 0].text(0.98, 0.95 - 0.09 * at, name, color=_COLOURS[name], transform=panels[0, 0].transAxes,
                          ha="right", va="top", fontsize=9)  # fmt: skip
    panels[0, 0].set_ylabel("mean loss over an epoch", color=INK, fontsize=9)
    figure.alt = "Losses by epoch in each precision, one line a seed. " + " ".join(
        f"{line['model']}, {line['loss']}: "
        + ", ".join(f"{name} {value}" for name, value in line.items() if name in _COLOURS)
        + "."
        for line in _lines(records)
    )
    return figure


def final_losses(records: Sequence[Record]) -> Table:
    """The last ten epochs' mean losses in each precision: mean over the seeds, and lowest to highest seed."""
    return table(_lines(records), f"Losses, mean of the last {_LAST} epochs: mean over the seeds (lowest to highest)")


def apart(records: Sequence[Record]) -> list[str]:
    """Where the precisions' means differ by more than the seeds themselves spread: "CGAN, D's loss"."""
    found = []
    for model in _models(records):
        for name, short in _LOSSES.items():
            finals = [_finals(records, model, precision, name) for precision in _precisions(records)]
            means = [mean(values) for values in finals]
            if max(means) - min(means) > max(max(values) - min(values) for values in finals):
                found.append(f"{model.upper()}, {short}'s loss")
    return found


def chance(one: Sequence[float], other: Sequence[float]) -> float:
    """How often a difference of means at least as large comes about when the same values are dealt out anew: in (0, 1].

    An exact permutation test, of both signs. Three values against three can give no less than 2 / 20.
    """
    pooled, size = [*one, *other], len(one)
    seen = abs(mean(one) - mean(other))
    deals = list(itertools.combinations(range(len(pooled)), size))
    as_large = 0
    for deal in deals:
        first = [pooled[index] for index in deal]
        second = [value for index, value in enumerate(pooled) if index not in deal]
        as_large += abs(mean(first) - mean(second)) >= seen - 1e-12
    return as_large / len(deals)


def _lines(records: Sequence[Record]) -> list[dict[str, object]]:
    lines: list[dict[str, object]] = []
    for model in _models(records):
        for name, short in _LOSSES.items():
            line: dict[str, object] = {"model": model.upper(), "loss": short}
            finals = {precision: _finals(records, model, precision, name) for precision in _precisions(records)}
            for precision, values in finals.items():
                line[precision] = f"{show(mean(values))} ({show(min(values))} to {show(max(values))}, n = {len(values)})"
            if len(finals) == 2:
                line["by chance"] = chance(*finals.values())
            lines.append(line)
    return lines


def _finals(records: Sequence[Record], model: str, precision: str, name: str) -> list[float]:
    return [
        mean(record.history[name][-_LAST:])
        for record in records
        if (record.config.model, record.config.precision) == (model, precision)
    ]


def _models(records: Sequence[Record]) -> list[str]:
    return sorted({record.config.model for record in records}, reverse=True)


def _precisions(records: Sequence[Record]) -> list[str]:
    return sorted({record.config.precision for record in records}, reverse=True)


def publish_precision(folder: Path) -> str:
    """Draw results/precision from its runs: precision.png, and precision.md with the final losses. Returns one line."""
    records = [record for runs in sorted(folder.glob("*/runs")) for record in find_records(runs)[0] if record.status == "ok"]
    models = apart(records)
    words = f"further apart than the seeds in {' and '.join(models)}" if models else "within the spread of the seeds"
    text = (
        f"Final losses, the mean of the last ten epochs: mean over the seeds (lowest to highest). The precisions are {words}. "
        f"By chance: how often a difference as large comes about when the runs are dealt out anew (exact permutation test).\n\n"
        f"{_markdown(final_losses(records))}\n"
    )
    (folder / "precision.png").write_bytes(chart(records).png())
    (folder / "precision.md").write_text(text, encoding="utf-8")
    return f"{len(records)} runs, {words}"
