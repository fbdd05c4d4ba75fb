"""Does the precision of the arithmetic change what is learnt? The same runs in two precisions, side by side."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean

import numpy as np

from gan_lib.reporting.style import INK, LABEL, Chart, epoch_numbers, robust_top, set_title, tidy
from gan_lib.reporting.tables import Table, markdown, table
from gan_lib.runs.record import Record, find_records
from gan_lib.runs.storage import write_bytes
from gan_lib.text import show

_COLOURS = {"fp32": "#009E73", "bf16": "#CC79A7", "fp16": "#56B4E9"}
_LAST = 10  # epochs that a final loss is averaged over: a single epoch's says little
_LOSSES = {"discriminator_loss": "D", "generator_loss": "G"}

Finals = dict[str, list[float]]  # by precision, the mean loss of each run's last epochs


def chart(records: Sequence[Record]) -> Chart:
    """Every seed's losses by epoch, one colour for each precision, one panel for each model and loss."""
    models = _all(records, "model")
    figure = Chart(figsize=(9.6, 2.9 * len(models)), layout="constrained")
    panels = figure.subplots(len(models), 2, squeeze=False)
    for row, model in zip(panels, models, strict=True):
        own = [record for record in records if record.config.model == model]
        for panel, (name, short) in zip(row, _LOSSES.items(), strict=True):
            set_title(panel, f"{model.upper()}, {short}'s loss")
            for record in own:
                losses = record.history[name]
                panel.plot(epoch_numbers(losses), losses, color=_COLOURS[record.config.precision], linewidth=0.8, alpha=0.8)
            panel.set_ylim(0, 1.05 * max(robust_top(record.history[name]) for record in own))
            panel.set_xlabel("epoch", **LABEL)
            tidy(panel)
    for at, name in enumerate(_all(records, "precision")):
        panels[0, 0].text(0.98, 0.95 - 0.09 * at, name, color=_COLOURS[name], transform=panels[0, 0].transAxes,
                          ha="right", va="top", fontsize=9)  # fmt: skip
    panels[0, 0].set_ylabel("mean loss over an epoch", color=INK, fontsize=9)
    cells = final_losses(records).frame.to_dict("records")
    figure.alt = "Losses by epoch in each precision, one line a seed. " + " ".join(
        f"{line['model']}, {line['loss']}: " + ", ".join(f"{name} {line[name]}" for name in _COLOURS if name in line) + "."
        for line in cells
    )
    return figure


def final_losses(records: Sequence[Record]) -> Table:
    """The last ten epochs' mean losses in each precision: mean over the seeds, and lowest to highest seed."""
    lines: list[dict[str, object]] = []
    for model, short, finals in _finals(records):
        line: dict[str, object] = {"model": model.upper(), "loss": short}
        for precision, values in finals.items():
            line[precision] = f"{show(mean(values))} ({show(min(values))} to {show(max(values))}, n = {len(values)})"
        if len(finals) == 2 and min(map(len, finals.values())) > 1:
            line["by chance"] = chance(*finals.values())
        lines.append(line)
    return table(lines, f"Losses, mean of the last {_LAST} epochs: mean over the seeds (lowest to highest)")


def apart(records: Sequence[Record]) -> list[str]:
    """Where the precisions' means differ by more than the seeds themselves spread: "CGAN, D's loss"."""
    return [
        f"{model.upper()}, {short}'s loss"
        for model, short, finals in _finals(records)
        if np.ptp([mean(values) for values in finals.values()]) > max(map(np.ptp, finals.values()))
    ]


def chance(one: Sequence[float], other: Sequence[float]) -> float:
    """How often a difference of means at least as large comes about when the same values are dealt out anew: in (0, 1].

    An exact permutation test, of both signs. Three values against three can give no less than 2 / 20. Raises ValueError for a
    single value.
    """
    from scipy.stats import permutation_test  # a second to import

    def apart(one: np.ndarray, other: np.ndarray, axis: int) -> np.ndarray:
        return np.abs(one.mean(axis=axis) - other.mean(axis=axis))

    return float(permutation_test((one, other), apart, vectorized=True, n_resamples=np.inf, alternative="greater").pvalue)


def publish_precision(folder: Path) -> str:
    """Draw results/precision from its runs: precision.png, and precision.md with the final losses. Returns one line."""
    records = [record for runs in sorted(folder.glob("*/runs")) for record in find_records(runs)[0] if record.status == "ok"]
    models = apart(records)
    words = f"further apart than the seeds in {' and '.join(models)}" if models else "within the spread of the seeds"
    text = (
        f"Final losses, the mean of the last ten epochs: mean over the seeds (lowest to highest). The precisions are {words}. "
        f"By chance: how often a difference as large comes about when the runs are dealt out anew (exact permutation test).\n\n"
        f"{markdown(final_losses(records))}\n"
    )
    write_bytes(folder / "precision.png", chart(records).png())
    write_bytes(folder / "precision.md", text.encode())
    return f"{len(records)} runs, {words}"


def _finals(records: Sequence[Record]) -> Iterator[tuple[str, str, Finals]]:
    """For each model and loss ("D", "G"): how its runs end in each precision."""
    for model in _all(records, "model"):
        for name, short in _LOSSES.items():
            finals: Finals = {precision: [] for precision in _all(records, "precision")}
            for record in records:
                if record.config.model == model:
                    finals[record.config.precision].append(mean(record.history[name][-_LAST:]))
            yield model, short, finals


def _all(records: Sequence[Record], field: str) -> list[str]:
    return sorted({getattr(record.config, field) for record in records}, reverse=True)
