"""Build the rows of a comparison from run folders: one row per configuration, with the source of its numbers."""

import contextlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import mean, median

import pandas as pd

from gan_lib.config import RunConfig, differences
from gan_lib.errors import ConfigurationError, RecordError
from gan_lib.presets import ALL_CONFIGURATIONS, CONFIGURATIONS, DEFAULT_CONFIGURATIONS, configure, title
from gan_lib.reporting import paper, quality
from gan_lib.reporting.convergence import Balance, balance, median_epoch
from gan_lib.reporting.frames import runs_frame
from gan_lib.runs.listing import check_experiments
from gan_lib.runs.record import Record, find_records, read_record
from gan_lib.text import counted, shorten

OWN, REFERENCE = "your run", "reference run"  # source of a row's numbers
_NAME = 'http-equiv="Content-Security-Policy"'
_RULE = """content="default-src 'none'; img-src data: file: 'self'; style-src 'unsafe-inline'\""""
# With this head a page can run no script and load nothing: browsers apply the policy before they read the rest.
HEAD = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta {_NAME} {_RULE}>
"""
# The same head, also as earlier versions wrote it.
_SAFE = re.compile(
    rf'<!DOCTYPE html>\s*<html lang="en">\s*<head>\s*<meta charset="utf-8"/?>\s*<meta ({_NAME} {_RULE}|{_RULE} {_NAME})/?>'
)
# Runs must share these fields; otherwise neither their seconds nor their distances are comparable.
_SHARED = ("data", "training_images", "image_size", "channels")


def papers_images(config: RunConfig) -> bool:
    """Whether a run trains on the paper's images: 2,000 MNIST digits of 28 x 28."""
    return config.data in ("digits", "mnist") and (config.training_images, config.image_size, config.channels) == (2000, 28, 1)


def papers_work(config: RunConfig) -> bool:
    """Whether a run has the paper's images, networks and loss. Only then is it shown beside the paper's numbers."""
    return papers_images(config) and config.latent_size == 100 and config.configuration in CONFIGURATIONS


@dataclass(frozen=True)
class Row:
    """One configuration: its runs (seeds), or the reason why it has none."""

    configuration: str
    records: list[Record] = field(default_factory=list)  # all ok, all of one variant, one for each seed
    origin: str = ""  # OWN, REFERENCE, or nowhere
    runs: int = 0  # number of your runs, finished or not
    missing: str = "not run"  # why your own runs are missing, also if reference runs replace them
    stands_in: bool = False  # reference runs in a comparison of your runs

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Return the frames.runs_frame of its runs (seeds)."""
        return runs_frame(self.records)

    @property
    def config(self) -> RunConfig:
        """Return the config of its runs (seeds differ); without runs, the paper's."""
        return self.records[0].config if self.records else configure(self.configuration)

    @property
    def title(self) -> str:
        """Return "GAN, CPU", with a mark for a reference run in a comparison of your runs."""
        return title(self.configuration) + (" (reference run)" if self.stands_in else "")

    @property
    def family(self) -> str:
        """Return the model together with its loss: "gan", "cwgan", "gan-hinge"."""
        return self.config.family

    @property
    def named_machine(self) -> str:
        """Return the machine in the configuration's name: "cpu" or "gpu", for the paper's two machines."""
        return self.config.machine

    @property
    def published(self) -> paper.Published | None:
        """Return the paper's numbers; None if the runs are not the paper's work."""
        return paper.RESULTS[self.configuration] if papers_work(self.config) else None

    @property
    def machine(self) -> str:
        """Return the machine or machines that it was measured on."""
        return ", ".join(sorted({str(record.machine.get("label", "unknown")) for record in self.records}))

    @property
    def epochs(self) -> int | None:
        """Return the epochs of each run; None without runs."""
        return self.config.epochs if self.records else None

    @property
    def why_unmeasured(self) -> str:
        """Return why it has no image quality: no run, or the reason in its runs."""
        reasons = (record.summary.get("quality_about") for record in self.records)
        return next((str(reason) for reason in reasons if reason), quality.NOT_MEASURED if self.records else self.missing)

    def numbers(self, name: str) -> list[float]:
        """Return a column of `frame` without missing values."""
        return [float(value) for value in pd.to_numeric(self.frame.get(name, pd.Series()), errors="coerce").dropna()]

    def middle(self, name: str) -> float | None:
        """Return the median of `numbers`."""
        return median(values) if (values := self.numbers(name)) else None

    def mean(self, name: str) -> float | None:
        """Return the mean of `numbers`."""
        return mean(values) if (values := self.numbers(name)) else None

    def floor(self, name: str) -> float | None:
        """Return a measure's value for real images. One value, because the runs share their data."""
        return next(iter(self.numbers(f"floor_{name}")), None)

    def balances(self) -> list[Balance]:
        """Return when each run reached the paper's balance; empty for a loss without a balance band."""
        return [reached for record in self.records if (reached := balance(record))]

    def balance_epoch(self) -> int | None:
        """Return the median epoch of balance, by convergence.median_epoch."""
        return median_epoch(self.balances())


Comparison = dict[str, Row]


def compare(runs: Path, reference: Path, experiments: Sequence[str] = ()) -> Comparison:
    """Compare your runs, one row per configuration. Missing ones of the paper's four get a row too, if a row is its work.

    experiments: folders below runs, at most one for each configuration, such as "gan-cpu--quick", with all their seeds. If
    empty: those of the newest run's variant and, on your own images, the newest ones of other configurations on the same
    images. Reference runs always have the paper's schedule. They replace a configuration of the paper, or the optimal one,
    that has no finished run on the same images. If both folders are the same, all rows are reference runs. Raises RecordError
    for an experiment that does not exist, ConfigurationError for two of one configuration or for different images.
    """
    own = find_records(runs, series=False)[0]
    check_experiments(runs, experiments)
    return _compare(own, set(experiments) or _like_the_newest(own), runs, reference)


def at_paper_length(runs: Path, reference: Path, read: Comparison | None = None) -> Comparison:
    """Compare your runs of the paper's own schedule. read: rows whose runs need not be read again."""
    known = {run.path: run for run in all_records(read or {})}
    own = [known.get(run.path, run) for run in find_records(runs, series=False)[0]]
    long = {
        run.config.configuration for run in own if papers_images(run.config) and not run.variant
    }  # the folders of that name
    return _compare(own, long, runs, reference)


def all_records(rows: Comparison) -> list[Record]:
    """Return the runs of all rows."""
    return [record for row in rows.values() for record in row.records]


def with_runs(rows: Comparison) -> list[Row]:
    """Return the rows that have runs, for figures and tables."""
    return [row for row in rows.values() if row.records]


def about_paper(rows: Comparison) -> bool:
    """Whether a comparison shows the paper's numbers."""
    return any(row.published for row in rows.values())


def papers_own(rows: Comparison) -> Comparison:
    """Return the paper's four configurations for its claims, with only runs that are the paper's work."""
    nothing = "not the paper's images or networks"
    return {name: row if (row := rows.get(name)) and row.published else Row(name, missing=nothing) for name in CONFIGURATIONS}


def missing(rows: Comparison) -> str | None:
    """Say in one sentence what is missing and why; None if nothing is."""
    reasons: dict[str, list[str]] = {}
    for row in rows.values():
        if row.missing:
            reason = f"{'shown by reference runs' if row.records else 'not measured'} ({row.missing})"
            reasons.setdefault(reason, []).append(title(row.configuration))
    words = "; ".join(f"{' and '.join(names)} {reason}" for reason, names in reasons.items())
    return f"Missing: {words}." if words else None


def report_links(records: Iterable[Record], page_folder: Path | None) -> dict[str, str]:
    """Map run names to the links from a page's folder to their reports, for runs that have one."""
    if page_folder is None:
        return {}
    pages = {record.name: record.path / "report.html" for record in records}
    return {name: Path(os.path.relpath(page, page_folder)).as_posix() for name, page in pages.items() if is_safe(page)}


def is_safe(page: Path) -> bool:
    """Whether a page exists and begins with the head that forbids scripts."""
    try:
        if not page.is_file():  # a pipe would never end
            return False
        with page.open("rb") as file:
            return bool(_SAFE.match(file.read(500).decode(errors="replace")))
    except OSError:
        return False


def describe(rows: Comparison) -> str:
    """Describe how your runs differ from the preset paper."""
    own, configurations = [row for row in with_runs(rows) if not row.stands_in], dict[str, list[str]]()
    if not own:
        return "There are no finished runs of yours."
    for row in own:
        configurations.setdefault(schedule(row.config), []).append(title(row.configuration))
    words = "; ".join(f"{' and '.join(names)}: {words}" for words, names in configurations.items())
    return f"{'Reference runs' if own[0].origin == REFERENCE else 'Your runs'}. {words}."


def schedule(config: RunConfig) -> str:
    """Describe a run's length, and its other differences from the preset paper."""
    changed = differences(config, configure(config.configuration))
    words = ", ".join(f"{name} = {value}" for name, (value, _) in changed.items() if name != "epochs")
    return counted(config.epochs, "epoch") + (f" with {words}" if words else "")


def _compare(own: list[Record], wanted: set[str], runs: Path, reference: Path) -> Comparison:
    chosen = [run for run in own if run.path.parent.name in wanted]
    for run in chosen:
        for name in _SHARED:
            first, other = getattr(chosen[0].config, name), getattr(run.config, name)
            if first != other:
                raise ConfigurationError(
                    f"a comparison takes runs of one {name} (else neither seconds nor distances compare), got "
                    f"{shorten(first)} in {chosen[0].path.parent.name} and {shorten(other)} in {run.path.parent.name}"
                )
    itself = os.path.realpath(runs) == os.path.realpath(reference)  # never raises, as resolve() does for a loop of links
    papers = not chosen or papers_images(chosen[0].config)
    stand_ins = [
        run
        for run in (() if itself else find_records(reference, series=False)[0])
        if run.status == "ok" and run.epochs_done and not run.variant and all(_alike(run, other) for other in chosen[:1])
    ]
    named, here = {run.config.configuration for run in chosen}, {run.config.configuration for run in own}
    if papers:
        named |= {*CONFIGURATIONS, *({run.config.configuration for run in stand_ins} & {*DEFAULT_CONFIGURATIONS})}
    order = [*ALL_CONFIGURATIONS, *sorted(named - {*ALL_CONFIGURATIONS})]
    elsewhere = {name: "not in this comparison" if name in here else "not run" for name in order}
    return {name: _row(name, chosen, stand_ins, elsewhere[name], itself) for name in order if name in named}


def _row(configuration: str, chosen: list[Record], stand_ins: list[Record], elsewhere: str, itself: bool) -> Row:
    runs = [run for run in chosen if run.config.configuration == configuration]
    folders = sorted({run.path.parent.name for run in runs})
    if len(folders) > 1:
        raise ConfigurationError(f"a comparison takes one experiment for each configuration, got {' and '.join(folders)}")
    if done := _whole(run for run in runs if run.status == "ok" and run.epochs_done):
        return Row(configuration, done, REFERENCE if itself else OWN, len(runs), "")
    reasons = {
        "ok, but its history.csv is missing or broken"
        if run.status == "ok"
        else ": ".join(filter(None, [run.status, run.reason]))
        for run in runs
    }
    others = _whole(run for run in stand_ins if run.config.configuration == configuration)
    reason = "; ".join(sorted(reasons)) or elsewhere
    return Row(configuration, others, REFERENCE if others else "", len(others), reason, bool(others))


def _whole(records: Iterable[Record]) -> list[Record]:
    """Read the series of the chosen runs, of those that can be read. Choosing among thousands of runs does not need them."""
    whole = []
    for record in records:
        with contextlib.suppress(RecordError):  # the command names it
            whole.append(record if len(record.history) > 1 else read_record(record.path))
    return whole


def _alike(one: Record, other: Record) -> bool:
    """Whether two runs train on the same images."""
    return all(getattr(one.config, name) == getattr(other.config, name) for name in _SHARED)


def _like_the_newest(own: list[Record]) -> set[str]:
    """Return the experiments of the newest run's variant; on your own images also the newest of other configurations."""
    if not own:
        return set()
    newest = max(own, key=_finished)
    chosen = {run.config.configuration: run.path.parent.name for run in own if run.variant == newest.variant}
    return {*({**_newest_alike(own, newest), **chosen}).values()}


def _finished(run: Record) -> str:
    return str(run.summary.get("finished", ""))


def _newest_alike(own: list[Record], like: Record) -> dict[str, str]:
    """Return the newest finished experiment of each configuration on a run's images; none for the paper's images."""
    by_age = () if papers_images(like.config) else sorted(own, key=_finished)
    return {run.config.configuration: run.path.parent.name for run in by_age if run.status == "ok" and _alike(run, like)}


def on_the_same_images(experiments: Iterable[str], runs: Path) -> dict[str, str]:
    """Return the newest finished experiment of each configuration, on the images of the first of some experiments.

    Empty for the paper's images: other runs of them need not be alike.
    """
    own, wanted = find_records(runs, series=False)[0], set(experiments)
    first = next((run for run in own if run.path.parent.name in wanted), None)
    return _newest_alike(own, first) if first else {}
