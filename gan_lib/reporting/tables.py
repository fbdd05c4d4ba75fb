"""Build the paper's tables with measured numbers beside the paper's. Each is a data frame, shown as accessible HTML."""

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, wraps
from numbers import Real
from pathlib import Path
from statistics import mean, median
from typing import Any

import pandas as pd

from gan_lib.config import RunConfig
from gan_lib.presets import title
from gan_lib.quality.measures import FRECHET, MEASURES
from gan_lib.reporting import paper, quality
from gan_lib.reporting.comparison import Comparison, Row, about_paper, all_records, papers_work, report_links, with_runs
from gan_lib.reporting.convergence import NO_BAND, balance, cost_usd
from gan_lib.reporting.frames import runs_frame
from gan_lib.reporting.stats import FEWEST, cannot_be_told, difference, in_words, is_above, with_ends
from gan_lib.runs.record import Record
from gan_lib.text import exact, show

NOT_PUBLISHED = "not in the paper"
FLOOR = "real images: the floor"


@dataclass(frozen=True)
class Table:
    """A data frame with a caption. Numbers show at most three significant digits; None shows as a dash."""

    frame: pd.DataFrame  # the first column names the row
    caption: str
    links: Mapping[str, str] = field(default_factory=dict)  # links of the row names

    def _repr_html_(self) -> str:
        numeric = [self.frame.iloc[:, at].map(_is_number).any() for at in range(len(self.frame.columns))]
        return str(_template().render(table=self, numeric=numeric, show=show, is_number=_is_number))


@cache
def _template() -> Any:
    import jinja2

    folder = Path(__file__).resolve().parent / "templates"
    return jinja2.Environment(loader=jinja2.FileSystemLoader(folder), autoescape=True).get_template("table.html.j2")


def _is_number(value: Any) -> bool:
    """Whether a cell is a number, also as text such as "1,200". It is aligned right."""
    if isinstance(value, str):
        return value.replace(",", "").replace(".", "").isdecimal()
    return isinstance(value, Real) and not isinstance(value, bool) and not math.isnan(float(value))


def table(lines: Sequence[Mapping[str, Any]], caption: str) -> Table:
    """Build a table from lines of cells. Cells keep their type: pandas would convert integers beside an empty cell."""
    return Table(pd.DataFrame(lines, dtype=object), caption)


def markdown(table: Table) -> str:
    """Return a table in Markdown."""
    columns = list(table.frame.columns)
    lines = [columns, ["---"] * len(columns), *([show(value) for value in row] for row in table.frame.values)]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


# One run.


def layers(listed: Sequence[tuple[str, Sequence[int], int]], name: str) -> Table:
    """List a network's layers, from training.models.layer_shapes: kind, output shape for N images, parameters."""
    lines = [
        {"layer": kind, "returns": f"({', '.join(['N', *map(str, shape[1:])])})", "parameters": count or None}
        for kind, shape, count in listed
    ]
    return table([*lines, {"layer": "all of them", "returns": "", "parameters": sum(count for *_, count in listed)}], name)


def parameters(config: RunConfig) -> Table:
    """List every parameter of a run with its meaning."""
    fields = RunConfig.model_fields.items()
    lines = [{"parameter": name, "value": str(getattr(config, name)), "meaning": field.description} for name, field in fields]
    return table(lines, "Parameters")


def summary(record: Record) -> Table:
    """Summarise one finished run, with the paper's numbers beside it if it is the paper's work."""
    facts, history, config = record.summary, record.history, record.config
    instance, size = paper.INSTANCES[config.machine].name, paper.MODELS.get(config.model)
    published = paper.RESULTS[config.configuration] if papers_work(config) else None
    price = published and paper.cost_usd(published.training_seconds, config.machine)
    lines: list[tuple[str, Any, Any]] = [
        ("seconds per epoch (median)", facts.get("seconds_per_epoch"), published and exact(published.seconds_per_epoch)),
        ("epochs", facts.get("epochs"), published and published.epochs_to_balance),
        ("training, s", facts.get("training_seconds"), published and exact(published.training_seconds)),
        ("start-up before it, s", facts.get("startup_seconds"), None),
        ("everything, s", facts.get("total_seconds"), None),
    ]
    reached = balance(record)
    if reached is None:
        gap = history["real_probability"][-1] - history["generated_probability"][-1]
        lines.append(("mean score of real images minus that of generated ones, last epoch", gap, None))
    elif published:  # the paper's balance is of its own work
        lines.append(("balance reached at epoch", reached.epoch or "never", published.epochs_to_balance))
    lines += [
        ("D's loss, last epoch", facts.get("discriminator_loss"), published and "0.5 to 0.6"),
        ("G's loss, last epoch", facts.get("generator_loss"), published and "1.0 to 1.1"),
        (f"cost at the price of {instance}, USD", cost_usd(record), price),
        ("parameters, both networks", facts.get("parameters"), published and size and size.parameters),
        ("saved weights, MB", _megabytes(facts.get("weights_bytes")), published and size and exact(size.megabytes)),
    ]
    names = ("quantity", "this run", *(["the paper"] if published else []))
    caption = f"{title(config.configuration)}, seed {config.seed}, on {record.machine.get('label')}"
    return table([dict(zip(names, line, strict=False)) for line in lines], caption)


def run_quality(record: Record) -> Table:
    """List every final measure of one run with its floor and better direction, or the reason why there are none."""
    about = str(record.summary.get("quality_about") or quality.NOT_MEASURED)
    lines = _measures({"this run": quality.last(record)}, quality.floor(record))
    count = record.summary.get("quality_images")
    images = f", {count:,} generated images against as many held-out ones" if isinstance(count, int) else ""
    return table(lines or [{"measure": about}], f"Image quality at the end{images}. {about[:1].upper()}{about[1:]}.")


_RUNS = {  # columns of runs_frame and their names in a table
    **{"run": "run", "status": "status", "epochs_done": "epochs", "epochs": "of", "seconds_per_epoch": "s per epoch"},
    **{"discriminator_loss": "D loss", "generator_loss": "G loss", FRECHET: "Fréchet distance"},
    **{"machine_label": "machine", "finished": "finished", "reason": "reason", "notes": "notes"},
}


def all_runs(records: Sequence[Record], page_folder: Path | None = None) -> Table:
    """List every run folder with its status. page_folder: links to reports are relative to it."""
    frame = runs_frame(records).reindex(columns=list(_RUNS)).rename(columns=_RUNS).astype(object)
    frame["finished"] = frame["finished"].map(lambda time: time[:10] if isinstance(time, str) else None)
    return Table(frame, "All runs", report_links(records, page_folder))


# Several configurations: the median over the seeds for seconds, costs and losses; the mean for quality.

_Cells = Callable[[Row], dict[str, Any]]


def _by_configuration(caption: str) -> Callable[[_Cells], Callable[[Comparison], Table]]:
    """Make a table from a function that returns a row's cells. One line for each configuration with runs or in the paper."""

    def decorate(cells: _Cells) -> Callable[[Comparison], Table]:
        @wraps(cells)
        def make(rows: Comparison) -> Table:
            shown = [row for row in rows.values() if row.records or row.published]
            return _beside_paper(rows, [{"configuration": row.title, **cells(row)} for row in shown], caption)

        return make

    return decorate


def _beside_paper(rows: Comparison, lines: list[dict[str, Any]], caption: str) -> Table:
    """Build a table. Leave out columns that begin with "paper", and the paper's numbers of tables, if no row is its work."""
    if not about_paper(rows):
        lines = [{name: value for name, value in line.items() if not name.startswith("paper")} for line in lines]
        caption = re.sub(r"^Table \d\. ", "", caption)  # the paper's numbers
    return table(lines or [{"configuration": "none yet"}], caption)


@_by_configuration("Table 1. The machines: named, and really used")
def machines(row: Row) -> dict[str, Any]:
    """Build Table 1: the named instance and the real machine of each configuration."""
    named, facts = paper.INSTANCES[row.named_machine], row.records[0].machine if row.records else {}
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


@_by_configuration("Table 2. Training time per epoch, seconds: median over the seeds")
def seconds_per_epoch(row: Row) -> dict[str, Any]:
    """Table 2."""
    published, seconds, shares = row.published, row.numbers("seconds_per_epoch"), row.numbers("others_cpu_share")
    runs = f"n = {len(seconds)}" + (f" of {row.runs}" if row.runs > len(seconds) else "")
    spread = f"{show(min(seconds))} to {show(max(seconds))} ({runs})" if len(seconds) > 1 else runs
    return {
        "paper, s": exact(published.seconds_per_epoch) if published else NOT_PUBLISHED,
        "measured, s": row.middle("seconds_per_epoch"),
        "paper / measured": _ratio(published and published.seconds_per_epoch, row.middle("seconds_per_epoch")),
        "over the seeds, s": spread if seconds else None,
        "CPU used by others": f"{max(shares):.0%}" if shares else None,
    }


@_by_configuration("Table 3. Epochs until both losses are balanced: medians over the seeds")
def epochs_to_balance(row: Row) -> dict[str, Any]:
    """Table 3."""
    published, balances, epoch = row.published, row.balances(), row.balance_epoch()
    reached = sum(balance.epoch is not None for balance in balances)
    never = f"{'not' if reached else 'never'} in {row.epochs or 0:,}" if balances else NO_BAND
    return {
        "paper, epochs": published.epochs_to_balance if published else NOT_PUBLISHED,
        "measured, epochs": (epoch or never) if row.records else None,
        "paper / measured": _ratio(published and published.epochs_to_balance, epoch, row.records),
        "runs that reached it": f"{reached} of {len(balances)}" if balances else None,
        "last D loss": row.middle("discriminator_loss"),
        "last G loss": row.middle("generator_loss"),
    }


@_by_configuration(
    "Table 4. Training time of the whole run, median over the seeds, and its cost at the hourly price of the named instance"
)
def training_seconds(row: Row) -> dict[str, Any]:
    """Build Table 4 with the cost."""
    published, seconds = row.published and row.published.training_seconds, row.middle("training_seconds")
    return {
        "paper, s": exact(published) if published else NOT_PUBLISHED,
        "measured, s": seconds,
        "epochs": row.epochs,
        "paper / measured": _ratio(published, seconds, row.records),
        "paper, USD": paper.cost_usd(published, row.named_machine) if published else NOT_PUBLISHED,
        "measured, USD": row.middle("cost_usd"),
    }


def models(rows: Comparison) -> Table:
    """Show the size of both networks, with the paper's beside it if it is the paper's network."""
    lines: dict[str, dict[str, Any]] = {}
    for row in with_runs(rows):
        size = paper.MODELS[row.config.model] if row.published else None
        parameters, megabytes = row.middle("parameters"), row.middle("model_megabytes")
        line = {
            "model": row.config.model.upper(),
            "parameters": parameters and int(parameters),
            "paper's parameters": size and size.parameters,
            "MB, as float32": megabytes and exact(round(megabytes, 3)),
            "MB, saved files": _megabytes(row.middle("weights_bytes")),
            "paper's MB": size and exact(size.megabytes),
        }
        lines.setdefault(row.config.model, line)
    caption = "Size of the models, generator and discriminator together (MB = 2²⁰ bytes)"
    return _beside_paper(rows, list(lines.values()), caption)


def overview(rows: Comparison) -> Table:
    """Build the first table of a comparison: seconds, cost and quality of each configuration, and the quality floor."""
    measured = any(row.numbers(FRECHET) for row in with_runs(rows))
    lines = [
        {
            "configuration": row.title,
            "epochs": row.epochs,
            "s per epoch": row.middle("seconds_per_epoch"),
            "cost, USD": row.middle("cost_usd"),
            **({"Fréchet distance": row.mean(FRECHET)} if measured else {}),
            "runs": len(row.records),
        }
        for row in with_runs(rows)
    ]
    if FRECHET in (floor := _floor(rows)):
        lines.append({"configuration": FLOOR, "Fréchet distance": floor[FRECHET]})
    caption = "In short: median seconds and costs over the seeds"
    caption += ", mean Fréchet distance (smaller is better)" if measured else ""
    return table(lines or [{"configuration": "none yet"}], caption)


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


def quality_by_configuration(rows: Comparison) -> Table:
    """Show the main measures, one row per configuration: mean over the seeds (lowest to highest); last row: the floor."""

    def cell(row: Row, name: str) -> Any:
        values = [MEASURES[name].scale * value for value in row.numbers(name)]
        if len(set(values)) > 1:
            return with_ends(values, mean(values))
        return values[0] if values else row.why_unmeasured if name == FRECHET else None

    lines = [
        {"configuration": row.title}
        | {column: cell(row, name) for name, column in _HEADLINE.items()}
        | {"runs": len(row.numbers("noise_level")) or None}  # always measured if any quality is
        for row in with_runs(rows)
    ]
    if floor := _floor(rows):
        lines.append({"configuration": FLOOR} | {column: _scaled(name, floor) for name, column in _HEADLINE.items()})
    caption = "Image quality at the end of training: mean over the seeds (lowest to highest)"
    return table(lines or [{"configuration": "none yet"}], caption)


def seconds_to_quality(rows: Comparison) -> Table:
    """Show seconds to the first measurement at or below a Fréchet distance, by configuration; start-up in its own column."""

    def cell(row: Row, target: int) -> str:
        seconds = row.numbers(f"seconds_to_{target}")
        reached, middle = [value for value in seconds if math.isfinite(value)], median(seconds)
        some = f"in {len(reached)} of {len(seconds)} runs" if len(reached) < len(seconds) else ""
        if math.isinf(middle):  # in half of the runs or more
            return some if reached else "never"
        usd = f"{show(row.middle(f'usd_to_{target}'))} USD"
        return ", ".join(filter(None, [with_ends(reached, middle, " s"), some, usd]))

    lines = [
        {"configuration": row.title, "start-up, s": row.middle("startup_seconds")}
        | {f"to {target}": cell(row, target) for target in quality.TARGETS}
        | {"runs": len(row.numbers(f"seconds_to_{quality.TARGETS[0]}"))}
        for row in with_runs(rows)
        if row.numbers(f"seconds_to_{quality.TARGETS[0]}")
    ]
    caption = "Training until a Fréchet distance is reached: median over the seeds (lowest to highest), and its cost"
    return table(lines or [{"configuration": quality.NOT_MEASURED}], caption)


def all_measures(rows: Comparison) -> Table:
    """Show every measure, one row each: the mean over the seeds by configuration, and the floor."""
    measured = [row for row in with_runs(rows) if row.numbers("noise_level")]
    columns = {row.title: {name: row.mean(name) for name in MEASURES if row.numbers(name)} for row in measured}
    lines = _measures(columns, _floor(rows))
    return table(lines or [{"measure": quality.NOT_MEASURED}], "All measures of image quality, means over the seeds")


def differences(rows: Comparison) -> Table:
    """Show the differences between neighbours in the order of Fréchet distance, with a 95 % interval over the seeds.

    For each model with its loss, only the machine with the most runs is used: the machine does not change the images.
    """
    families: dict[str, Row] = {}
    for row in sorted(with_runs(rows), key=lambda row: -len(row.numbers(FRECHET))):
        if row.numbers(FRECHET):
            families.setdefault(row.family, row)
    order, lines = sorted(families.values(), key=lambda row: row.mean(FRECHET) or 0.0), []
    for one, other in itertools.pairwise(order):
        pair, runs = f"{one.title} minus {other.title}", min(len(row.numbers(FRECHET)) for row in (one, other))
        if runs < FEWEST:
            lines.append({"difference": pair, "measure": "each", "value": cannot_be_told(runs)})
        for name in _COMPARED if runs >= FEWEST else ():
            measure, interval = MEASURES[name], difference(one.numbers(name), other.numbers(name))
            chance = ", spans 0" if interval and is_above(interval) is None else ""
            words = in_words(interval, measure.scale) + chance or cannot_be_told(runs)
            lines.append({"difference": pair, "measure": measure.name, "value": words})
    caption = f"Differences in the mean, from {FEWEST} runs of each on; one that spans 0 may be chance"
    return table(lines or [{"difference": "no two configurations to compare"}], caption)


def _ratio(published: float | None, here: float | None, records: Sequence[Record] = ()) -> float | None:
    """Return the paper's number divided by the measured one. records: for whole runs, only if they have the paper's length."""
    return published / here if published and here and not any(record.variant for record in records) else None


def _megabytes(count: Any) -> str | None:
    return exact(round(count / 2**20, 3)) if count else None


def _measures(columns: Mapping[str, Mapping[str, Any]], floor: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return one line for each measure in any column: its values, that of real images, and which direction is better."""
    return [
        {"measure": measure.name}
        | {column: _scaled(name, values) for column, values in [*columns.items(), ("floor: real images", floor)]}
        | {"better": measure.better}
        for name, measure in MEASURES.items()
        if any(name in values for values in columns.values())
    ]


def _floor(rows: Comparison) -> dict[str, float]:
    """Return the value of real images for each measure, from the first run that has it."""
    floors = [quality.floor(record) for record in all_records(rows)]
    return {name: value for floor in reversed(floors) for name, value in floor.items()}


def _scaled(name: str, values: Mapping[str, Any]) -> float | None:
    """Return a measure in its unit."""
    return MEASURES[name].scale * values[name] if name in values else None
