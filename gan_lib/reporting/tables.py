"""Records -> the paper's tables, ours beside them. Each is a data frame that shows itself as an accessible HTML table."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from statistics import mean
from typing import Any

import pandas as pd
from torch import nn

from gan_lib import paper
from gan_lib.config import RunConfig
from gan_lib.presets import title
from gan_lib.quality.measures import FRECHET, MEASURES
from gan_lib.reporting import quality
from gan_lib.reporting.comparison import Comparison, Row, cost_usd
from gan_lib.reporting.convergence import NO_BAND, balance
from gan_lib.reporting.stats import FEWEST, cannot_be_told, difference, in_words
from gan_lib.runs.record import Record
from gan_lib.text import exact, show
from gan_lib.training.models import build_pair, layer_shapes, megabytes, parameter_count


class _Titles(dict[str, str]):
    def __missing__(self, configuration: str) -> str:
        return title(configuration)


TITLES = _Titles()  # "gan-cpu": "GAN, CPU"
NOT_PUBLISHED = "not in the paper"


@dataclass(frozen=True)
class Table:
    """A data frame with a caption. Numbers show at most three significant digits; None shows as a dash."""

    frame: pd.DataFrame  # the first column names the row
    caption: str

    def _repr_html_(self) -> str:
        caption, columns = html.escape(self.caption), [html.escape(str(column)) for column in self.frame.columns]
        kinds = [' class="number"' if self.frame.iloc[:, at].map(_is_number).any() else "" for at in range(len(columns))]
        head = "".join(f'<th scope="col"{kind}>{column}</th>' for column, kind in zip(columns, kinds, strict=True))
        body = ""
        for row in self.frame.itertuples(index=False):
            name, *cells = (html.escape(show(value)) for value in row)
            body += f'<tr><th scope="row">{name}</th>' + "".join(
                f'<td{kind if _is_number(value) or value is None else ""} data-label="{column}">{cell}</td>'
                for cell, value, column, kind in zip(cells, row[1:], columns[1:], kinds[1:], strict=True)
            )
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


def layers(network: nn.Module, config: RunConfig, name: str) -> Table:
    """A network layer by layer: what it is, the shape that it returns for N images, how many parameters it has."""
    listed = [
        {"layer": kind, "returns": "(" + ", ".join(["N", *map(str, shape[1:])]) + ")", "parameters": count or None}
        for kind, shape, count in layer_shapes(network, config)
    ]
    listed.append({"layer": "all of them", "returns": "", "parameters": parameter_count(network)})
    return table(listed, name)


def parameters(config: RunConfig) -> Table:
    """Every parameter of a run, with its meaning."""
    listed = [
        {"parameter": name, "value": str(getattr(config, name)), "meaning": field.description}
        for name, field in RunConfig.model_fields.items()
    ]
    return table(listed, "Parameters")


def summary(record: Record) -> Table:
    """One finished run in numbers, the paper's beside them."""
    facts, published = record.summary, paper.RESULTS.get(record.config.configuration)
    if published is None:
        return _critic_summary(record)
    reached = balance(record)
    price, size = paper.INSTANCES[record.config.machine], paper.MODELS[record.config.model]
    listed = [
        ("seconds per epoch (median)", facts["seconds_per_epoch"], exact(published.seconds_per_epoch)),
        ("epochs", facts["epochs"], published.epochs_to_balance),
        ("training, s", facts["training_seconds"], exact(published.training_seconds)),
        ("start-up before it, s", facts["startup_seconds"], None),
        ("everything, s", facts["total_seconds"], None),
        ("balance reached at epoch", (reached and reached.epoch) or "never", published.epochs_to_balance),
        ("D's loss, last epoch", facts["discriminator_loss"], "0.5 to 0.6"),
        ("G's loss, last epoch", facts["generator_loss"], "1.0 to 1.1"),
        (f"cost at the price of {price.name}, USD", cost_usd(record),
         published.training_seconds / 3600 * price.usd_per_hour),
        ("parameters, both networks", facts["parameters"], size.parameters),
        ("saved weights, MB", exact(round(facts["weights_bytes"] / 2**20, 3)), exact(size.megabytes)),
    ]  # fmt: skip
    return Table(
        pd.DataFrame(listed, columns=["quantity", "this run", "the paper"], dtype=object),
        f"{TITLES[record.config.configuration]}, seed {record.config.seed}, on {record.machine.get('label')}",
    )


def _critic_summary(record: Record) -> Table:
    """The same for a run with a Wasserstein loss, of which the paper only says that it is worth trying."""
    facts, history = record.summary, record.history
    price, size = paper.INSTANCES[record.config.machine], paper.MODELS[record.config.model]
    estimate = history["real_probability"][-1] - history["generated_probability"][-1]
    listed = [
        ("seconds per epoch (median)", facts["seconds_per_epoch"], NOT_PUBLISHED),
        ("epochs", facts["epochs"], NOT_PUBLISHED),
        ("training, s", facts["training_seconds"], NOT_PUBLISHED),
        ("start-up before it, s", facts["startup_seconds"], None),
        ("everything, s", facts["total_seconds"], None),
        ("balance", NO_BAND, NOT_PUBLISHED),
        ("estimate of the Wasserstein distance, last epoch", estimate, NOT_PUBLISHED),
        ("critic's loss, last epoch", facts["discriminator_loss"], NOT_PUBLISHED),
        ("G's loss, last epoch", facts["generator_loss"], NOT_PUBLISHED),
        (f"cost at the price of {price.name}, USD", cost_usd(record), NOT_PUBLISHED),
        ("parameters, both networks", facts["parameters"], size.parameters),
        ("saved weights, MB", exact(round(facts["weights_bytes"] / 2**20, 3)), exact(size.megabytes)),
    ]
    return Table(
        pd.DataFrame(listed, columns=["quantity", "this run", "the paper"], dtype=object),
        f"{TITLES[record.config.configuration]}, seed {record.config.seed}, on {record.machine.get('label')}",
    )


def machines(rows: Comparison) -> Table:
    """Table 1: the instance that each configuration is named after, and the machine that it was really measured on."""

    def line(row: Row) -> dict[str, Any]:
        named = paper.INSTANCES[row.named_machine]
        facts = row.records[0].machine if row.records else {}
        return {
            "configuration": TITLES[row.configuration],
            "named after": named.name,
            "its cores": named.cpu_cores,
            "its GPU": named.gpu,
            "its memory, GB": named.memory_gb,
            "USD per hour": exact(named.usd_per_hour),
            "measured on": row.machine or row.missing,
            "threads": facts.get("threads"),
            "precision": facts.get("precision"),
            "memory, GB": facts.get("memory_gb"),
            "where from": row.origin or None,
        }

    return table([line(row) for row in rows.values()], "Table 1. The machines: named, and really used")


def models(rows: Comparison) -> Table:
    """Both networks' size, beside the paper's."""

    def line(row: Row) -> dict[str, Any]:
        published = paper.MODELS[row.model]
        pair = build_pair(row.records[0].config) if row.records else None
        on_disk = row.middle("weights_bytes")
        return {
            "model": row.model.upper(),
            "parameters": parameter_count(*pair) if pair else None,
            "paper's parameters": published.parameters,
            "MB, as float32": exact(round(megabytes(*pair), 3)) if pair else None,
            "MB, saved files": exact(round(on_disk / 2**20, 3)) if on_disk else None,
            "paper's MB": exact(published.megabytes),
        }

    one_each = {row.model: row for row in reversed(list(rows.values())) if row.records}
    return table(
        [line(one_each[model]) for model in ("gan", "cgan") if model in one_each],
        "Size of the models, generator and discriminator together (MB = 2²⁰ bytes)",
    )


def seconds_per_epoch(rows: Comparison) -> Table:
    """Table 2."""

    def line(row: Row) -> dict[str, Any]:
        here, published = row.middle("seconds_per_epoch"), row.published.seconds_per_epoch if row.published else None
        return {
            **_head(row),
            "paper, s": exact(published) if published else NOT_PUBLISHED,
            "measured, s": here if here is not None else row.missing,
            "paper / measured": published / here if here and published else None,
            "over the seeds, s": _spread(row.numbers("seconds_per_epoch"), row.runs),
            "CPU used by others": f"{max(shares):.0%}" if (shares := row.numbers("others_cpu_share")) else None,
            **_tail(row),
        }

    return table([line(row) for row in rows.values()], "Table 2. Training time per epoch, seconds")


def epochs_to_balance(rows: Comparison) -> Table:
    """Table 3."""

    def line(row: Row) -> dict[str, Any]:
        found = row.balances()
        reached = [balance.epoch for balance in found if balance.epoch is not None]
        published = row.published.epochs_to_balance if row.published else None
        answer: Any = row.missing or NO_BAND
        if found:
            epoch = row.balance_epoch()
            answer = f"{'not' if reached else 'never'} in {row.epochs:,}" if epoch is None else epoch
        return {
            **_head(row),
            "paper, epochs": published or NOT_PUBLISHED,
            "measured, epochs": answer,
            "paper / measured": published / answer if published and isinstance(answer, int) and _at_paper_length(row) else None,
            "runs that reached it": f"{len(reached)} of {len(found)}" if found else None,
            "last D loss": row.middle("discriminator_loss"),
            "last G loss": row.middle("generator_loss"),
            **_tail(row),
        }

    return table([line(row) for row in rows.values()], "Table 3. Epochs until both losses are balanced")


def training_seconds(rows: Comparison) -> Table:
    """Table 4, and what it costs."""

    def line(row: Row) -> dict[str, Any]:
        here, published = row.middle("training_seconds"), row.published.training_seconds if row.published else None
        instance = paper.INSTANCES[row.named_machine]
        return {
            **_head(row),
            "paper, s": exact(published) if published else NOT_PUBLISHED,
            "measured, s": here if here is not None else row.missing,
            "epochs": row.epochs,
            "paper / measured": published / here if here and published and _at_paper_length(row) else None,
            "paper, USD": published / 3600 * instance.usd_per_hour if published else NOT_PUBLISHED,
            "measured, USD": here / 3600 * instance.usd_per_hour if here else None,
            **_tail(row),
        }

    return table(
        [line(row) for row in rows.values()],
        "Table 4. Training time of the whole run, and its cost: the measured seconds at the hourly price of the named instance",
    )


def all_runs(records: list[Record]) -> Table:
    """Every run folder there is, whatever became of it."""

    def line(run: Record) -> dict[str, Any]:
        return {
            "run": run.name,
            "status": run.status,
            "epochs": f"{run.epochs_done:,} of {run.config.epochs:,}",
            "s per epoch": run.summary.get("seconds_per_epoch"),
            "D loss": run.summary.get("discriminator_loss"),
            "G loss": run.summary.get("generator_loss"),
            "machine": run.machine.get("label"),
            "finished (UTC)": str(run.summary.get("finished") or "–")[:16].replace("T", " "),
            "note": "; ".join([*([run.reason] if run.reason else []), *run.notes]) or None,
        }

    return table([line(run) for run in records] or [{"run": "none yet"}], "All runs")


def _head(row: Row) -> dict[str, Any]:
    return {"configuration": TITLES[row.configuration]}


def _tail(row: Row) -> dict[str, Any]:
    return {"measured on": row.machine or None, "where from": row.origin or None}


def _at_paper_length(row: Row) -> bool:
    """Whether a whole run can be held against the paper's: an eighth of the epochs says nothing of all of them."""
    return bool(row.records) and not row.records[0].variant


def _spread(values: list[float], runs: int) -> str | None:
    """Lowest to highest over the seeds, and how many there are; of how many, where some did not finish."""
    if not values:
        return None
    count = f"n = {len(values)}" + (f" of {runs}" if runs > len(values) else "")
    return f"{show(min(values))} to {show(max(values))} ({count})" if len(values) > 1 else count


def _markdown(table: Table) -> str:
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
    found, perfect = quality.last(record), quality.floor(record)
    about = str(record.summary.get("quality_about") or quality.NOT_MEASURED)
    listed = [
        {
            "measure": measure.name,
            "this run": measure.scale * found[name],
            "floor: real images": measure.scale * perfect[name] if name in perfect else None,
            "better": measure.better,
        }
        for name, measure in MEASURES.items()
        if name in found
    ]
    count = record.summary.get("quality_images")
    images = f", {count:,} generated images against as many held-out ones" if isinstance(count, int) else ""
    return table(listed or [{"measure": about}], f"Image quality at the end{images}. {about[:1].upper()}{about[1:]}.")


def quality_by_configuration(rows: Comparison) -> Table:
    """The measures that decide, one row a configuration: mean over the seeds, lowest to highest; the floor in the last row."""

    def line(row: Row) -> dict[str, Any]:
        runs = quality.values(row, "noise_level")  # which is measured wherever anything is
        cells: dict[str, Any] = {name: _over_seeds(row, key) for key, name in _HEADLINE.items()}
        if cells[_HEADLINE[FRECHET]] is None:
            cells[_HEADLINE[FRECHET]] = quality.why_missing(row)
        return {
            "configuration": TITLES[row.configuration],
            **cells,
            "runs": len(runs) if runs else None,
            "where from": row.origin or None,
        }

    listed = [line(row) for row in rows.values()]
    if measured := next((row for row in rows.values() if quality.row_floor(row, "noise_level") is not None), None):
        floors = {
            name: None if (value := quality.row_floor(measured, key)) is None else MEASURES[key].scale * value
            for key, name in _HEADLINE.items()
        }
        listed.append({"configuration": "real images: the floor", **floors, "runs": None, "where from": None})
    caption = "Image quality at the end of training: mean over the seeds (lowest to highest)"
    return table(listed, caption)


def all_measures(rows: Comparison) -> Table:
    """Every measure, one row each: the mean over the seeds of the configurations that have it, and the floor."""
    measured = [row for row in rows.values() if quality.values(row, "noise_level")]
    listed = []
    for name, measure in MEASURES.items():
        means = {TITLES[row.configuration]: _mean(row, name) for row in measured}
        perfect = next((value for row in measured if (value := quality.row_floor(row, name)) is not None), None)
        if any(value is not None for value in means.values()):
            ground = None if perfect is None else measure.scale * perfect
            listed.append({"measure": measure.name, **means, "floor: real images": ground, "better": measure.better})
    return table(listed or [{"measure": quality.NOT_MEASURED}], "All measures of image quality, means over the seeds")


def differences(pairs: Sequence[tuple[Row, Row]]) -> Table:
    """How much one configuration's number is above another's, with its 95 % interval over the seeds."""

    def line(one: Row, other: Row, name: str) -> dict[str, Any]:
        first, second = quality.values(one, name), quality.values(other, name)
        found = difference(first, second)
        told: Any = cannot_be_told(len(first), len(second)) if found is None else in_words(found, MEASURES[name].scale)
        if found is not None and found.low <= 0 <= found.high:
            told += ", spans 0"
        return {"difference": heading(one, other), "measure": MEASURES[name].name, "value": told}

    def heading(one: Row, other: Row) -> str:
        return f"{TITLES[one.configuration]} minus {TITLES[other.configuration]}"

    listed = []
    for one, other in pairs:
        absent = [row for row in (one, other) if not quality.values(row, FRECHET)]
        if not absent:
            listed += [line(one, other, name) for name in _COMPARED]
        else:
            why = "; ".join(f"{TITLES[row.configuration]}: {quality.why_missing(row)}" for row in absent)
            listed.append({"difference": heading(one, other), "measure": None, "value": why})
    return table(
        listed or [{"difference": "no two configurations to compare"}],
        f"Differences in the mean, from {FEWEST} runs of each on; one that spans 0 may be chance",
    )


def _mean(row: Row, name: str) -> float | None:
    found = quality.values(row, name)
    return MEASURES[name].scale * mean(found) if found else None


def _over_seeds(row: Row, name: str) -> Any:
    found = [MEASURES[name].scale * value for value in quality.values(row, name)]
    if len(set(found)) < 2:  # one run, or as many of one value
        return found[0] if found else None
    return f"{show(mean(found))} ({show(min(found))} to {show(max(found))})"
