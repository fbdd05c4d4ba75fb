"""Plan a batch in the cloud: its runs by machine, with estimated hours and dollars and the source of each estimate."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from gan_lib.batch.runner import measured_seconds, relative_work
from gan_lib.config import RunConfig
from gan_lib.errors import ConfigurationError
from gan_lib.presets import configure, parts, run_name
from gan_lib.reporting import paper
from gan_lib.runs.record import Record, find_records
from gan_lib.text import duration, show

INSTANCE_TYPES = {machine: instance.name for machine, instance in paper.INSTANCES.items()}
MAX_HOURS = 12  # the stack's own default
IDLE_MINUTES = 15  # how long an instance made by `gan-lib cloud` waits, with nothing running, before it stops itself
# Assumptions, not measurements: nobody has timed them on SageMaker.
SETUP_MINUTES = {"instances": 20, "jobs": 10}
REPORT_SECONDS = 30.0  # one run's notebook and report, and its share of the comparison

PRICES_OF = "2026-09-24"  # a fixed table, because the service's price list needs an account
DEFAULT_REGION = "us-east-1"
# USD per hour of notebook instances, on demand, by region.
PRICES = {
    "us-east-1": {
        **{"ml.c5.2xlarge": 0.408, "ml.c7i.2xlarge": 0.428},
        **{"ml.g4dn.xlarge": 0.736, "ml.g5.xlarge": 1.41, "ml.g6.xlarge": 1.127},
    }
}
# The list has these prices, but it is not confirmed whether they are for notebooks, training or hosting.
UNCONFIRMED = ("ml.c5.2xlarge", "ml.c7i.2xlarge")


def price(instance_type: str, region: str) -> float | None:
    """Return USD per hour, or None if the table has no price."""
    return PRICES.get(region, {}).get(instance_type)


def rate(instance_type: str, region: str) -> str:
    """Return the price in words: "0.408 USD per hour"."""
    known = price(instance_type, region)
    return f"{known:g} USD per hour" if known else f"price unknown for {instance_type} in {region}"


@dataclass(frozen=True)
class Batch:
    """The arguments of `gan-lib run`, split by machine."""

    configurations: tuple[str, ...]
    preset: str
    seeds: tuple[int, ...]
    changes: dict[str, object] = field(default_factory=dict)
    settings: tuple[str, ...] = ()  # the changes, as they were typed

    @property
    def configs(self) -> list[RunConfig]:
        """Return the config of every run. Raises ConfigurationError."""
        return [configure(name, self.preset, **self.changes, seed=seed) for seed in self.seeds for name in self.configurations]

    @property
    def machines(self) -> list[str]:
        """Return the machines in use: cpu, gpu or both, in this order."""
        return sorted({parts(name)["machine"] for name in self.configurations})

    def arguments(self, machine: str) -> list[str]:
        """Return the arguments of `gan-lib run` on one machine."""
        names = [name for name in self.configurations if parts(name)["machine"] == machine]
        seeds = ["--seeds", ",".join(map(str, self.seeds))]
        return [*names, "--preset", self.preset, *seeds, *(part for setting in self.settings for part in ("--set", setting))]


class Run(NamedTuple):
    """One run of a batch, and its estimated training seconds by source."""

    config: RunConfig
    seconds: dict[str, float]  # by "measured" and "published"
    machine: str  # where it was measured


@dataclass(frozen=True)
class MachinePlan:
    """One instance or job, and the runs that belong to it."""

    machine: str  # cpu or gpu
    instance_type: str
    price: float | None  # USD per hour
    runs: tuple[Run, ...]
    overhead_hours: float  # setup, and the wait until the auto-stop

    def hours(self, *origins: str) -> float | None:
        """Return hours from start to stop. Each run uses the first source with an estimate. None if a run has no estimate."""
        seconds = [next((run.seconds[name] for name in origins if name in run.seconds), None) for run in self.runs]
        known = [value + REPORT_SECONDS for value in seconds if value is not None]
        return self.overhead_hours + sum(known) / 3600 if len(known) == len(seconds) else None

    def usd(self, hours: float | None) -> float | None:
        """Return the cost of this many hours, or None without a price."""
        return None if self.price is None or hours is None else self.price * hours


@dataclass(frozen=True)
class Plan:
    """A whole batch."""

    region: str
    on: str  # instances or jobs
    max_hours: int  # at which each instance is stopped, or each job ended
    machines: tuple[MachinePlan, ...]

    def usd(self, worst: bool = True) -> float | None:
        """Return USD in the worst case (every machine runs until max_hours) or as expected; None without a price."""
        hours = [self.max_hours if worst else machine.hours("measured", "published") for machine in self.machines]
        costs = [machine.usd(value) for machine, value in zip(self.machines, hours, strict=True)]
        return None if None in costs else sum(cost for cost in costs if cost is not None)


def make_plan(
    configs: Iterable[RunConfig], region: str, reference: Path, *, on: str = "instances", max_hours: int = MAX_HOURS
) -> Plan:
    """Return the plan of a batch. reference: the folder of the project's own measured runs."""
    records = [record for record in find_records(reference)[0] if record.status == "ok"]
    overhead = (SETUP_MINUTES[on] + (IDLE_MINUTES if on == "instances" else 0)) / 60
    runs: dict[str, list[Run]] = {}
    for config in configs:
        runs.setdefault(config.machine, []).append(_estimate(config, records))
    types = [(machine, INSTANCE_TYPES[machine]) for machine in sorted(runs)]
    machines = [MachinePlan(name, kind, price(kind, region), tuple(runs[name]), overhead) for name, kind in types]
    return Plan(region, on, max_hours, tuple(machines))


def _estimate(config: RunConfig, records: list[Record]) -> Run:
    """Estimate a run's training seconds.

    Sources: the project's reference run of the same network on the same kind of machine, and Table 2 of the paper for the
    paper's batch and images. Other sizes are scaled by their number of operations.
    """
    seconds, machine = {}, ""
    if measured := measured_seconds(config, records):
        seconds["measured"], machine = measured
    if results := paper.RESULTS.get(config.configuration):
        scale = relative_work(config, configure(config.configuration))
        seconds["published"] = results.seconds_per_epoch * scale * config.epochs
    return Run(config, seconds, machine)


def check_limits(plan: Plan, max_usd: float | None, max_hours: int | None) -> None:
    """Refuse a plan beyond the user's limits: expected hours, and dollars in the worst case.

    Raises ConfigurationError, naming the limit. A given max_hours also stops the instances: see Plan.max_hours.
    """
    for machine in plan.machines if max_hours is not None else ():
        hours = machine.hours("measured", "published")
        if hours is not None and hours > plan.max_hours:
            what = f"what the {machine.machine} runs should take, setup included"
            raise ConfigurationError(f"max-hours must be at least {hours:.1f} ({what}), got {max_hours}")
    worst = plan.usd()
    if max_usd is None:
        return
    if worst is None:
        known = f"prices are known for {', '.join(PRICES)} of {PRICES_OF} only"
        raise ConfigurationError(f"max-usd cannot be promised in {plan.region}: {known}")
    if worst > max_usd:
        each = worst / plan.max_hours
        hint = f"; --max-hours {int(max_usd / each)} would do" if max_usd >= each else ""
        raise ConfigurationError(
            f"max-usd must be at least {worst:.2f} (until the cap of {plan.max_hours} h ends it), got {max_usd:g}{hint}"
        )


def describe(plan: Plan, name: str) -> list[str]:
    """Return the plan as lines of text."""
    lines = [line for machine in plan.machines for line in _describe_machine(machine, plan, name)]
    if len(plan.machines) > 1:
        lines.append(f"together: about {_usd(plan.usd(worst=False))}, at most {_usd(plan.usd())}")
    if plan.on == "jobs":
        lines.append("Prices are those of notebook instances; the price list's part for training jobs was not seen.")
    lines.append("Setup times are assumptions. Storage (volume, bucket) is billed by the month on top; taxes are not in it.")
    return lines


def _describe_machine(machine: MachinePlan, plan: Plan, name: str) -> list[str]:
    made = f"{name}-{machine.machine}" if plan.on == "instances" else f"job {name}-{machine.machine}-<time>"
    unconfirmed = ", which part of it unconfirmed" if machine.instance_type in UNCONFIRMED else ""
    source = f" (price list of {PRICES_OF}{unconfirmed})" if machine.price else ""
    lines = [f"{made}: {machine.instance_type} in {plan.region}, {rate(machine.instance_type, plan.region)}{source}"]
    width = max(len(run_name(run.config)) for run in machine.runs)
    for run in machine.runs:
        measured, published = (duration(run.seconds[name]) if name in run.seconds else "" for name in ("measured", "published"))
        measured = f"{measured} as measured on {run.machine}" if measured else "not measured on such a machine"
        published = f"{published} by the paper's seconds" if published else "not in the paper"
        lines.append(f"  {run_name(run.config):<{width}}  {run.config.epochs:,} epochs: {measured}; {published}")
    wait = f", {IDLE_MINUTES} min until it stops itself" if plan.on == "instances" else ""
    lines.append(f"  on top: {SETUP_MINUTES[plan.on]} min of setup (assumed; less at a second start){wait}, reports")
    for origin, title in (("measured", "our measurements, on this machine's like"), ("published", "the paper's seconds")):
        if (hours := machine.hours(origin)) is not None:
            starts = -(-hours // plan.max_hours)
            more = f"; {starts:.0f} starts, for each ends after {plan.max_hours} h" if starts > 1 else ""
            lines.append(f"  by {title}: {duration(hours * 3600)}, {_usd(machine.usd(hours))}{more}")
    lines.append(f"  at most: {plan.max_hours} h, {_usd(machine.usd(plan.max_hours))}; then it is stopped, whatever runs")
    return lines


def _usd(amount: float | None) -> str:
    return "an unknown price" if amount is None else f"{show(amount) if amount < 1 else f'{amount:.2f}'} USD"
