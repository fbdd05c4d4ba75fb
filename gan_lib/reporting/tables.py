"""Records -> the paper's tables, ours beside them. Each is a data frame that shows itself as an accessible HTML table."""

import html
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from statistics import mean, median
from typing import Any

import pandas as pd

from gan_lib.config import RunConfig
from gan_lib.presets import title
from gan_lib.quality.measures import FRECHET, MEASURES
from gan_lib.reporting import paper, quality
from gan_lib.reporting.comparison import Comparison, Row, about_paper, papers_work, report_links, with_runs
from gan_lib.reporting.convergence import NO_BAND, balance, cost_usd
from gan_lib.reporting.frames import runs_frame
from gan_lib.reporting.stats import FEWEST, cannot_be_told, difference, in_words, is_above, with_ends
from gan_lib.runs.record import Record
from gan_lib.text import exact, show

NOT_PUBLISHED = "not in the paper"


@dataclass(frozen=True)
class Table:
    """A data frame with a caption. Numbers show at most three significant digits; None shows as a dash."""

    frame: pd.DataFrame  # the first column names the row
    caption: str
    links: Mapping[str, str] = field(default_factory=dict)  # where the name of a row leads

    def _repr_html_(self) -> str:
        caption, columns = html.escape(self.caption), [html.escape(str(column)) for column in self.frame.columns]
        kinds = [' class="number"' if self.frame.iloc[:, at].map(_is_number).any() else "" for at in range(len(columns))]
        head = "".join(f'<th scope="col"{kind}>{column}</th>' for column, kind in zip(columns, kinds, strict=True))
        body = ""
        for row in self.frame.itertuples(index=False):
            name, *cells = (html.escape(show(value)) for value in row)
            if row[0] in self.links:
                name = f'<a href="{html.escape(self.links[row[0]])}">{name}</a>'
            body += f'<tr><th scope="row">{name}</th>'
            for cell, value, column, kind in zip(cells, row[1:], columns[1:], kinds[1:], strict=True):
                kind = ' class="number empty"' if cell == show(None) else kind if _is_number(value) else ""
                body += f'<td{kind} data-label="{column}">{cell}</td>'
            body += "</tr>"
        return (
            f'<div class="table" role="region" tabindex="0" aria-label="{caption}"><table><caption>{caption}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )


def _is_number(value: Any) -> bool:
    """Whether a cell holds a number, as such or already in words: its column is set flush right."""
    if isinstance(value, str):
        return value.replace(",", "").replace(".", "").isdecimal()
    return isinstance(value, Real) and not isinstance(value, bool) and not math.isnan(float(value))


def table(lines: list[dict[str, Any]], caption: str) -> Table:
    """Lines of cells as they are: pandas would turn whole numbers beside an empty cell into fractions."""
    return Table(pd.DataFrame(lines, dtype=object), caption)


def layers(listed: Sequence[tuple[str, Sequence[int], int]], name: str) -> Table:
    """A network layer by layer: what it is, the shape that it returns for N images, how many parameters it has.

    listed: as training.models.layer_shapes gives it.
    """
    lines = [
        {"layer": kind, "returns": "(" + ", ".join(["N", *map(str, shape[1:])]) + ")", "parameters": count or None}
        for kind, shape, count in listed
    ]
    total = sum(count for _, _, count in listed)
    return table([*lines, {"layer": "all of them", "returns": "", "parameters": total}], name)


def parameters(config: RunConfig) -> Table:
    """Every parameter of a run, with its meaning."""
    fields = RunConfig.model_fields.items()
    lines = [{"parameter": name, "value": str(getattr(config, name)), "meaning": field.description} for name, field in fields]
    return table(lines, "Parameters")


def summary(record: Record) -> Table:
    """One finished run in numbers; the paper's beside them where it is the paper's work."""
    facts, history, config = record.summary, record.history, record.config
    price, size = paper.INSTANCES[config.machine], paper.MODELS.get(config.model)
    published = paper.RESULTS[config.configuration] if papers_work(config) else None
    lines: list[tuple[str, Any, Any]] = [
        ("seconds per epoch (median)", facts.get("seconds_per_epoch"), published and exact(published.seconds_per_epoch)),
        ("epochs", facts.get("epochs"), published and published.epochs_to_balance),
        ("training, s", facts.get("training_seconds"), published and exact(published.training_seconds)),
        ("start-up before it, s", facts.get("startup_seconds"), None),
        ("everything, s", facts.get("total_seconds"), None),
    ]
    if (reached := balance(record)) is not None:
        lines.append(("balance reached at epoch", reached.epoch or "never", published and published.epochs_to_balance))
    else:
        estimate = history["real_probability"][-1] - history["generated_probability"][-1]
        lines.append(("mean score of real images minus that of generated ones, last epoch", estimate, None))
    lines += [
        ("D's loss, last epoch", facts.get("discriminator_loss"), published and "0.5 to 0.6"),
        ("G's loss, last epoch", facts.get("generator_loss"), published and "1.0 to 1.1"),
        (f"cost at the price of {price.name}, USD", cost_usd(record), published and _published_usd(published, config.machine)),
        ("parameters, both networks", facts.get("parameters"), published and size and size.parameters),
        ("saved weights, MB", _megabytes(facts.get("weights_bytes")), published and size and exact(size.megabytes)),
    ]
    names = ("quantity", "this run", *(["the paper"] if published else []))
    caption = f"{title(config.configuration)}, seed {config.seed}, on {record.machine.get('label')}"
    return table([dict(zip(names, line, strict=False)) for line in lines], caption)


def overview(rows: Comparison) -> Table:
    """The first table of a comparison: seconds, cost and quality of each configuration, and the floor of quality."""
    lines = [
        {
            "configuration": row.title,
            "epochs": row.epochs,
            "s per epoch": row.middle("seconds_per_epoch"),
            "cost, USD": row.cost_usd(),
            "Fréchet distance": _mean(row, FRECHET),
            "runs": len(row.records),
        }
        for row in with_runs(rows)
    ]
    if (floor := _floor(rows, FRECHET)) is not None:
        lines.append({"configuration": "real images: the floor", "Fréchet distance": floor})
    return table(lines or [{"configuration": "none yet"}], "In short (a smaller Fréchet distance is better)")


def machines(rows: Comparison) -> Table:
    """Table 1: the instance that each configuration is named after, and the machine that it was really measured on."""

    def cells(row: Row) -> dict[str, Any]:
        named = paper.INSTANCES[row.named_machine]
        facts = row.records[0].machine if row.records else {}
        return {
            "named after": named.name,
            "its cores": named.cpu_cores,
            "its GPU": named.gpu,
            "its memory, GB": named.memory_gb,
            "USD per hour": exact(named.usd_per_hour),
            "measured on": row.machine or None,
            "threads": facts.get("threads"),
            "precision": facts.get("precision"),
            "memory, GB": facts.get("memory_gb"),
        }

    return _table(rows, cells, "Table 1. The machines: named, and really used")


def models(rows: Comparison) -> Table:
    """Both networks' size, the paper's beside it where it is the paper's network."""
    lines = []
    for row in {row.model: row for row in reversed(with_runs(rows))}.values():
        size = paper.MODELS.get(row.model) if row.published else None
        parameters, megabytes = row.middle("parameters"), row.middle("model_megabytes")
        lines.append(
            {"model": row.model.upper(), "parameters": parameters and int(parameters)}
            | _paper(rows, {"paper's parameters": size and size.parameters})
            | {"MB, as float32": megabytes and exact(round(megabytes, 3))}
            | {"MB, saved files": _megabytes(row.middle("weights_bytes"))}
            | _paper(rows, {"paper's MB": size and exact(size.megabytes)})
        )
    caption = "Size of the models, generator and discriminator together (MB = 2²⁰ bytes)"
    return table(lines[::-1] or [{"model": "none yet"}], caption)


def seconds_per_epoch(rows: Comparison) -> Table:
    """Table 2."""

    def cells(row: Row) -> dict[str, Any]:
        here, published = row.middle("seconds_per_epoch"), row.published and row.published.seconds_per_epoch
        return {
            **_paper(rows, {"paper, s": exact(published) if published else NOT_PUBLISHED}),
            "measured, s": here,
            **_paper(rows, {"paper / measured": _ratio(row, published, here, whole=False)}),
            "over the seeds, s": _spread(row.numbers("seconds_per_epoch"), row.runs),
            "CPU used by others": f"{max(shares):.0%}" if (shares := row.numbers("others_cpu_share")) else None,
        }

    return _table(rows, cells, "Table 2. Training time per epoch, seconds")


def epochs_to_balance(rows: Comparison) -> Table:
    """Table 3."""

    def cells(row: Row) -> dict[str, Any]:
        balances, epoch = row.balances(), row.balance_epoch()
        reached = sum(balance.epoch is not None for balance in balances)
        published = row.published and row.published.epochs_to_balance
        never = f"{'not' if reached else 'never'} in {row.epochs or 0:,}" if balances else NO_BAND
        return {
            **_paper(rows, {"paper, epochs": published or NOT_PUBLISHED}),
            "measured, epochs": (epoch or never) if row.records else None,
            **_paper(rows, {"paper / measured": _ratio(row, published, epoch)}),
            "runs that reached it": f"{reached} of {len(balances)}" if balances else None,
            "last D loss": row.middle("discriminator_loss"),
            "last G loss": row.middle("generator_loss"),
        }

    return _table(rows, cells, "Table 3. Epochs until both losses are balanced")


def training_seconds(rows: Comparison) -> Table:
    """Table 4, and what it costs."""

    def cells(row: Row) -> dict[str, Any]:
        here, published = row.middle("training_seconds"), row.published
        ratio = _ratio(row, published and published.training_seconds, here)
        usd = _published_usd(published, row.named_machine) if published else NOT_PUBLISHED
        return {
            **_paper(rows, {"paper, s": exact(published.training_seconds) if published else NOT_PUBLISHED}),
            "measured, s": here,
            "epochs": row.epochs,
            **_paper(rows, {"paper / measured": ratio, "paper, USD": usd}),
            "measured, USD": row.cost_usd(),
        }

    caption = "Training time of the whole run, and its cost: the measured seconds at the hourly price of the named instance"
    return _table(rows, cells, f"Table 4. {caption}")


_RUNS = {  # columns of runs_frame, and what they are called in a table
    **{"run": "run", "status": "status", "epochs_done": "epochs", "epochs": "of", "seconds_per_epoch": "s per epoch"},
    **{"discriminator_loss": "D loss", "generator_loss": "G loss", FRECHET: "Fréchet distance"},
    **{"machine_label": "machine", "finished": "finished", "reason": "reason", "notes": "notes"},
}


def all_runs(records: Sequence[Record], page_folder: Path | None = None) -> Table:
    """Every run folder there is, whatever became of it. page_folder: where links to the runs' reports start from."""
    frame = runs_frame(records).reindex(columns=list(_RUNS)).rename(columns=_RUNS).astype(object)
    frame["finished"] = frame["finished"].map(lambda time: time[:10] if isinstance(time, str) else None)
    return Table(frame, "All runs", report_links(records, page_folder))


def _table(rows: Comparison, cells: Callable[[Row], dict[str, Any]], caption: str) -> Table:
    """One line for each configuration that has runs or that the paper has numbers of."""
    lines = [{"configuration": row.title, **cells(row)} for row in rows.values() if row.records or row.published]
    return table(lines or [{"configuration": "none yet"}], caption)


def _paper(rows: Comparison, cells: dict[str, Any]) -> dict[str, Any]:
    """The paper's columns, where they have a place."""
    return cells if about_paper(rows) else {}


def _published_usd(published: paper.Published, machine: str) -> float:
    return published.training_seconds / 3600 * paper.INSTANCES[machine].usd_per_hour


def _megabytes(count: Any) -> str | None:
    return exact(round(count / 2**20, 3)) if count else None


def _ratio(row: Row, published: float | None, here: float | None, whole: bool = True) -> float | None:
    """The paper's number by the measured one; of whole runs only where they are of the paper's length."""
    compared = published and here and not (whole and row.records[0].variant)
    return published / here if compared else None  # type: ignore[operator]


def _spread(values: list[float], runs: int) -> str | None:
    """Lowest to highest over the seeds, and how many there are; of how many, where some did not finish."""
    if not values:
        return None
    count = f"n = {len(values)}" + (f" of {runs}" if runs > len(values) else "")
    return f"{show(min(values))} to {show(max(values))} ({count})" if len(values) > 1 else count


def markdown(table: Table) -> str:
    """A table in Markdown."""
    columns = list(table.frame.columns)
    lines = [columns, ["---"] * len(columns), *([show(value) for value in row] for row in table.frame.values)]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


_COMPARED = (FRECHET, "recognisable", "noise_level", "stray_pixels")
_HEADLINE = {
    FRECHET: "Fréchet distance",
    "precision": "precision, %",
    "recall": "recall, %",
    "recognisable": "recognisable, %",
    "noise_level": "noise level, %",
    "stray_pixels": "stray pixels an image",
    "copies": "copies, %",
}


def run_quality(record: Record) -> Table:
    """Every measure of one run at its end, with its floor and what better means; or why there are none."""
    about = str(record.summary.get("quality_about") or quality.NOT_MEASURED)
    both = {"this run": quality.last(record), "floor: real images": quality.floor(record)}
    lines = [
        {"measure": measure.name}
        | {column: measure.scale * values[name] if name in values else None for column, values in both.items()}
        | {"better": measure.better}
        for name, measure in MEASURES.items()
        if name in both["this run"]
    ]
    count = record.summary.get("quality_images")
    images = f", {count:,} generated images against as many held-out ones" if isinstance(count, int) else ""
    return table(lines or [{"measure": about}], f"Image quality at the end{images}. {about[:1].upper()}{about[1:]}.")


def quality_by_configuration(rows: Comparison) -> Table:
    """The measures that decide, one row a configuration: mean over the seeds, lowest to highest; the floor in the last row."""
    lines = []
    for row in with_runs(rows):
        cells: dict[str, Any] = {name: _over_seeds(row, key) for key, name in _HEADLINE.items()}
        if cells[_HEADLINE[FRECHET]] is None:
            cells[_HEADLINE[FRECHET]] = quality.why_missing(row)
        runs = quality.values(row, "noise_level")  # which is measured wherever anything is
        lines.append({"configuration": row.title, **cells, "runs": len(runs) or None})
    floors = {name: _floor(rows, key) for key, name in _HEADLINE.items()}
    if any(value is not None for value in floors.values()):
        lines.append({"configuration": "real images: the floor", **floors, "runs": None})
    caption = "Image quality at the end of training: mean over the seeds (lowest to highest)"
    return table(lines or [{"configuration": "none yet"}], caption)


def seconds_to_quality(rows: Comparison) -> Table:
    """How soon each configuration's images reach a Fréchet distance: median training seconds over the seeds (lowest to
    highest), and what they cost on the named instance. Quality is measured now and then, so each is a little late."""
    lines = [
        {"configuration": row.title}
        | {f"to {target}": _seconds_to(row, target) for target in quality.TARGETS}
        | {"runs": len(row.records)}
        for row in with_runs(rows)
        if quality.values(row, FRECHET)
    ]
    return table(lines or [{"configuration": quality.NOT_MEASURED}], "Training until a Fréchet distance is reached")


def _seconds_to(row: Row, target: float) -> str:
    """ "41.2 s (38.0 to 45.1), 0.00467 USD"; "in 2 of 3 runs" where some never got there."""
    seconds = [value for record in row.records if (value := quality.seconds_to(record, target)) is not None]
    if not seconds:
        return "never"
    some = f", in {len(seconds)} of {len(row.records)} runs" if len(seconds) < len(row.records) else ""
    usd = median(seconds) / 3600 * paper.INSTANCES[row.named_machine].usd_per_hour
    return f"{with_ends(seconds, median(seconds), ' s')}{some}, {show(usd)} USD"


def all_measures(rows: Comparison) -> Table:
    """Every measure, one row each: the mean over the seeds of the configurations that have it, and the floor."""
    measured = [row for row in rows.values() if quality.values(row, "noise_level")]
    lines = [
        {"measure": measure.name}
        | {row.title: _mean(row, name) for row in measured}
        | {"floor: real images": _floor(rows, name), "better": measure.better}
        for name, measure in MEASURES.items()
        if any(quality.values(row, name) for row in measured)
    ]
    return table(lines or [{"measure": quality.NOT_MEASURED}], "All measures of image quality, means over the seeds")


def differences(rows: Comparison) -> Table:
    """How much one configuration's quality is above that of each next one, with its 95 % interval over the seeds.

    Of each model together with its loss the machine with the most runs: it does not change the images.
    """
    families: dict[str, Row] = {}
    for row in with_runs(rows):
        if quality.values(row, FRECHET):
            families[row.family] = max(row, families.get(row.family, row), key=lambda each: len(quality.values(each, FRECHET)))
    lines = []
    for (one, other), name in itertools.product(itertools.pairwise(families.values()), _COMPARED):
        first, second = quality.values(one, name), quality.values(other, name)
        if first and second:
            interval, measure = difference(first, second), MEASURES[name]
            words = cannot_be_told(len(first), len(second)) if interval is None else in_words(interval, measure.scale)
            chance = ", spans 0" if interval is not None and is_above(interval) is None else ""
            what = f"{one.title} minus {other.title}"
            lines.append({"difference": what, "measure": measure.name, "value": f"{words}{chance}"})
    caption = f"Differences in the mean, from {FEWEST} runs of each on; one that spans 0 may be chance"
    return table(lines or [{"difference": "no two configurations to compare"}], caption)


def _mean(row: Row, name: str) -> float | None:
    values = quality.values(row, name)
    return MEASURES[name].scale * mean(values) if values else None


def _floor(rows: Comparison, name: str) -> float | None:
    floor = next((value for row in rows.values() if (value := quality.row_floor(row, name)) is not None), None)
    return None if floor is None else MEASURES[name].scale * floor


def _over_seeds(row: Row, name: str) -> Any:
    values = [MEASURES[name].scale * value for value in quality.values(row, name)]
    if len(set(values)) < 2:  # one run, or as many of one value
        return values[0] if values else None
    return with_ends(values, mean(values))
