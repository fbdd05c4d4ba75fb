"""Run folders -> the rows of a comparison: one for each of the paper's four configurations, with where it came from."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median

from gan_lib import paper
from gan_lib.errors import ConfigurationError
from gan_lib.presets import ALL_CONFIGURATIONS, CONFIGURATIONS, PRESETS, parts
from gan_lib.reporting.convergence import Balance, balance, median_epoch
from gan_lib.runs.record import Record, find_records
from gan_lib.text import shorten

QUICK_NOTE = (
    "shorter than the paper's runs, with Adam betas (0.5, 0.999), and CGAN with Glorot's initialisation, so that digits "
    "appear early; its losses take another course than the paper's"
)
FEWER_PASSES = "fewer passes over the images"
OWN, REFERENCE = "your run", "reference run"  # where the numbers of a row come from
# What runs must share, or neither their seconds nor their images' distances say which configuration is better.
_SHARED = ("data", "training_images", "image_size", "channels", "batch_size")


@dataclass(frozen=True)
class Row:
    """One configuration: the runs (seeds) that stand for it, or the reason why there are none."""

    configuration: str
    records: list[Record] = field(default_factory=list)  # all ok, all of one variant, one for each seed
    origin: str = ""  # OWN, REFERENCE, or nowhere
    runs: int = 0  # how many of yours there are, finished or not
    missing: str = "not run"  # why records is empty; of your own runs also when reference runs stand in for them

    @property
    def model(self) -> str:
        """ "gan" or "cgan"."""
        return parts(self.configuration)["model"]

    @property
    def network(self) -> str:
        """ "gan", "cgan", "wgan" or "cwgan": the model, and whether its loss is a Wasserstein loss."""
        return self.configuration.rpartition("-")[0]

    @property
    def named_machine(self) -> str:
        """ "cpu" or "gpu": which of the paper's two machines the configuration's name stands for."""
        return parts(self.configuration)["machine"]

    @property
    def published(self) -> paper.Published | None:
        """What the paper says of it; None for a configuration that is not in the paper."""
        return paper.RESULTS.get(self.configuration)

    @property
    def machine(self) -> str:
        """The machine or machines that it was really measured on."""
        return ", ".join(sorted({str(record.machine.get("label", "unknown")) for record in self.records}))

    @property
    def epochs(self) -> int | None:
        """How long each run trained; None without runs."""
        return self.records[0].config.epochs if self.records else None

    def numbers(self, name: str) -> list[float]:
        """A number of each run's summary.json."""
        values = [record.summary.get(name) for record in self.records]
        return [float(value) for value in values if isinstance(value, (int, float))]

    def middle(self, name: str) -> float | None:
        """The median over the runs (seeds) of a number of their summaries."""
        return median(values) if (values := self.numbers(name)) else None

    def balances(self) -> list[Balance]:
        """When each run reached the paper's balance; empty with a Wasserstein loss, which has none."""
        return [reached for run in self.records if (reached := balance(run))]

    def balance_epoch(self) -> int | None:
        """The median epoch of balance over the runs (seeds), by convergence.median_epoch."""
        return median_epoch(self.balances())

    def losses(self, name: str) -> list[float]:
        """A column of history.csv, averaged over the runs (seeds), one value an epoch."""
        return [mean(values) for values in zip(*(record.history[name] for record in self.records), strict=False)]


Comparison = dict[str, Row]


def cost_usd(record: Record) -> float | None:
    """What a run's training costs in USD: its seconds at the hourly price of the instance that its configuration names."""
    seconds = sum(record.history.get("training_seconds", []))
    return seconds / 3600 * paper.INSTANCES[record.config.machine].usd_per_hour if seconds else None


def compare(runs: Path, reference: Path, experiments: Sequence[str] = ()) -> Comparison:
    """The paper's four rows, your runs and, where a configuration has none that is ok, the reference run; then a row for each
    further configuration that you have run.

    experiments: folders below runs, at most one for each configuration, such as "gan-cpu--quick"; all their seeds count.
    None: those of the variant that the newest run belongs to. Reference runs are always of the paper's schedule, and stand in
    only for runs on the same images in batches of the same size. Where both folders are the same, all rows are reference runs.
    Raises ConfigurationError when two experiments are of one configuration, or trained on different images or batches.
    """
    own = find_records(runs)[0]
    wanted = set(experiments) or _like_the_newest(own)
    chosen = [run for run in own if run.path.parent.name in wanted]
    _check_shared(chosen)
    references = [run for run in find_records(reference)[0] if run.status == "ok" and run.epochs_done and not run.variant]
    here = {run.config.configuration for run in own}
    origin = REFERENCE if runs.resolve() == reference.resolve() else OWN
    return {
        name: _row(name, chosen, references, "not in this comparison" if name in here else "not run", origin)
        for name in ALL_CONFIGURATIONS
        if name in CONFIGURATIONS or any(run.config.configuration == name for run in chosen)
    }


def all_records(rows: Comparison) -> list[Record]:
    """The runs of all rows."""
    return [record for row in rows.values() for record in row.records]


def papers_own(rows: Comparison) -> Comparison:
    """The rows of the paper's four configurations alone: what its figures show and its claims are about."""
    return {name: row for name, row in rows.items() if name in CONFIGURATIONS}


def describe(rows: Comparison) -> str:
    """How long your runs train, in words, and what sets them apart from the paper's schedule."""
    variants = {run.variant for row in rows.values() for run in row.records if row.origin == OWN}
    said = []
    for variant in sorted(variants):
        if not variant:
            said.append(f"the paper's schedule ({_lengths('paper', rows)})")
        elif variant == "quick":
            own = [run for row in rows.values() for run in row.records if row.origin == OWN]
            said.append(f"the quick preset ({_lengths('quick', rows)}): {_quick_note(own)}")
        else:
            said.append(f"a schedule of your own ({variant})")
    if not said and any(row.records for row in rows.values()):
        return f"All of these are reference runs, of the paper's schedule ({_lengths('paper', rows)})."
    return "Your runs follow " + " and ".join(said) + "." if said else "There are no finished runs of yours."


def _check_shared(runs: list[Record]) -> None:
    for name in _SHARED:
        values = {getattr(run.config, name): run.path.parent.name for run in runs}
        if len(values) > 1:
            (one, first), (other, second), *_ = values.items()
            raise ConfigurationError(
                f"a comparison takes runs of one {name} (else neither seconds nor distances compare), "
                f"got {shorten(one)} in {first} and {shorten(other)} in {second}"
            )


def _alike(run: Record, others: list[Record]) -> bool:
    """Whether a run may stand beside others, which share what _SHARED names."""
    return all(getattr(run.config, name) == getattr(other.config, name) for other in others[:1] for name in _SHARED)


def _quick_note(runs: Sequence[Record]) -> str:
    """What sets the quick preset apart; with a Wasserstein loss nothing but its length does."""
    return QUICK_NOTE if any(run.config.band for run in runs) else FEWER_PASSES


def _like_the_newest(own: list[Record]) -> set[str]:
    newest = max(own, key=lambda run: str(run.summary.get("finished", "")), default=None)
    return {run.path.parent.name for run in own if newest and run.variant == newest.variant}


def _why_missing(run: Record) -> str:
    if run.status == "ok":
        return "ok, but its history.csv is missing or broken"
    return f"{run.status}: {run.reason}" if run.reason else run.status


def _lengths(preset: str, rows: Comparison) -> str:
    shown = {name.partition("-")[0] for name in rows}
    lengths = {network: values["epochs"] for network, values in PRESETS[preset].items() if network in shown}
    return ", ".join(f"{network.upper()} {epochs:,} epochs" for network, epochs in lengths.items())


def _row(configuration: str, own: list[Record], references: list[Record], elsewhere: str, origin: str) -> Row:
    mine = [run for run in own if run.config.configuration == configuration]
    folders = sorted({run.path.parent.name for run in mine})
    if len(folders) > 1:
        raise ConfigurationError(f"a comparison takes one experiment for each configuration, got {' and '.join(folders)}")
    if done := [run for run in mine if run.status == "ok" and run.epochs_done]:
        return Row(configuration, done, origin, len(mine), "")
    missing = "; ".join(sorted({_why_missing(run) for run in mine})) or elsewhere
    of_it = [run for run in references if run.config.configuration == configuration]
    stand_in = [run for run in of_it if _alike(run, own)]
    if of_it and not stand_in:
        missing += "; the reference run is of other images or batches"
    return Row(configuration, stand_in, REFERENCE if stand_in else "", len(stand_in), missing)
