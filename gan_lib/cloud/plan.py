"""What a batch in the cloud would take: instances, hours and dollars, each number with its origin."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gan_lib import paper
from gan_lib.cloud.prices import DATE, Price, price
from gan_lib.config import RunConfig
from gan_lib.errors import ConfigurationError
from gan_lib.presets import configure, run_name
from gan_lib.runs.record import Record, find_records
from gan_lib.text import duration, show
from gan_lib.training.flops import flops_per_epoch

INSTANCE_TYPES = {machine: instance.name for machine, instance in paper.INSTANCES.items()}
DEFAULT_MAX_HOURS = 12  # the stack's own default
IDLE_MINUTES = 15  # how long an instance made by `gan-lib cloud` waits, with nothing running, before it stops itself
# Assumptions, not measurements: nobody has timed them on SageMaker.
SETUP_MINUTES = {"instances": 20, "jobs": 10}
REPORT_SECONDS = 30.0  # one run's notebook and report, and its share of the comparison


@dataclass(frozen=True)
class Estimate:
    """How long one run would take, by one origin."""

    seconds: float
    origin: str


@dataclass(frozen=True)
class Run:
    """One run of a batch; None where an origin has no number for it."""

    config: RunConfig
    measured: Estimate | None
    published: Estimate | None

    @property
    def expected(self) -> float:
        """Seconds: ours where we measured, else the paper's."""
        best = self.measured or self.published
        return best.seconds + REPORT_SECONDS if best else 0.0


@dataclass(frozen=True)
class MachinePlan:
    """One instance or job, and the runs that belong to it."""

    machine: str  # cpu or gpu
    instance_type: str
    price: Price | None
    runs: tuple[Run, ...]
    overhead_hours: float  # setup, and the wait until the auto-stop

    @property
    def expected_hours(self) -> float:
        """Hours from start to stop, by the best origin of each run."""
        return self.overhead_hours + sum(run.expected for run in self.runs) / 3600

    def hours(self, origin: str) -> float | None:
        """Hours by one origin, "measured" or "published"; None unless it has a number for every run."""
        estimates = [getattr(run, origin) for run in self.runs]
        if not all(estimates):
            return None
        return self.overhead_hours + sum(estimate.seconds + REPORT_SECONDS for estimate in estimates) / 3600

    def usd(self, hours: float) -> float | None:
        """What so many hours cost, or None without a price."""
        return self.price.usd_per_hour * hours if self.price else None


@dataclass(frozen=True)
class Plan:
    """A whole batch."""

    region: str
    on: str  # instances or jobs
    max_hours: int  # at which each instance is stopped, or each job ended
    machines: tuple[MachinePlan, ...]

    @property
    def worst_usd(self) -> float | None:
        """Dollars if everything ran until it is cut off; None without a price."""
        costs = [machine.usd(self.max_hours) for machine in self.machines]
        return None if None in costs else sum(cost for cost in costs if cost is not None)


def make_plan(
    configs: Iterable[RunConfig], region: str, reference: Path, *, on: str = "instances", max_hours: int = DEFAULT_MAX_HOURS
) -> Plan:
    """The plan of a batch. reference: the folder of the project's own measured runs."""
    records = [record for record in find_records(reference)[0] if record.status == "ok"]
    overhead = SETUP_MINUTES[on] / 60 + (IDLE_MINUTES / 60 if on == "instances" else 0)
    by_machine: dict[str, list[Run]] = {}
    for config in configs:
        run = Run(config, _measured(config, records), _published(config))
        by_machine.setdefault(config.machine, []).append(run)
    machines = [
        MachinePlan(machine, INSTANCE_TYPES[machine], price(INSTANCE_TYPES[machine], region), tuple(runs), overhead)
        for machine, runs in sorted(by_machine.items())
    ]
    return Plan(region, on, max_hours, tuple(machines))


def _measured(config: RunConfig, records: list[Record]) -> Estimate | None:
    """From the project's reference run of the same network on the same kind of machine."""
    for record in records:
        seconds = record.summary.get("seconds_per_epoch")
        if record.config.configuration == config.configuration and isinstance(seconds, float):
            scale = flops_per_epoch(config) / flops_per_epoch(record.config)
            label = str(record.machine.get("label", "a machine without a name"))
            return Estimate(seconds * scale * config.epochs, label)
    return None


def _published(config: RunConfig) -> Estimate | None:
    """From Table 2 of the paper, for its own batch and images; other sizes are scaled by their arithmetic. None for a further
    configuration, which the paper does not have."""
    if config.configuration not in paper.RESULTS:
        return None
    scale = flops_per_epoch(config) / flops_per_epoch(configure(config.configuration))
    return Estimate(paper.RESULTS[config.configuration].seconds_per_epoch * scale * config.epochs, "the paper")


def check_limits(plan: Plan, max_usd: float | None, max_hours: int | None) -> None:
    """Refuse a plan beyond what the user would spend: hours by expectation, dollars in the worst case.

    Raises ConfigurationError, naming the limit. A max_hours that was given also ends the instances: see Plan.max_hours.
    """
    for machine in plan.machines if max_hours is not None else ():
        if machine.expected_hours > plan.max_hours:
            raise ConfigurationError(
                f"max-hours must be at least {machine.expected_hours:.1f} (what the {machine.machine} runs should take, "
                f"setup included), got {max_hours}"
            )
    if max_usd is None:
        return
    worst = plan.worst_usd
    if worst is None:
        raise ConfigurationError(f"max-usd cannot be promised in {plan.region}: prices are known for us-east-1 of {DATE} only")
    if worst > max_usd:
        each = worst / plan.max_hours
        hint = f"; --max-hours {int(max_usd / each)} would do" if max_usd >= each else ""
        raise ConfigurationError(
            f"max-usd must be at least {worst:.2f} (until the cap of {plan.max_hours} h ends it), got {max_usd:g}{hint}"
        )


def describe(plan: Plan, name: str) -> list[str]:
    """The plan for people, line by line."""
    lines = []
    for machine in plan.machines:
        lines += _describe_machine(machine, plan, name)
    if len(plan.machines) > 1:
        expected = [machine.usd(machine.expected_hours) for machine in plan.machines]
        total = sum(cost for cost in expected if cost is not None)
        lines.append(f"together: about {_usd(None if None in expected else total)}, at most {_usd(plan.worst_usd)}")
    if plan.on == "jobs":
        lines.append("Prices are those of notebook instances; the price list's part for training jobs was not seen.")
    lines.append("Setup times are assumptions. Storage (volume, bucket) is billed by the month on top; taxes are not in it.")
    return lines


def _describe_machine(machine: MachinePlan, plan: Plan, name: str) -> list[str]:
    made = f"{name}-{machine.machine}" if plan.on == "instances" else f"job {name}-{machine.machine}-<time>"
    lines = [f"{made}: {machine.instance_type} in {plan.region}, {_price(machine)}"]
    width = max(len(run_name(run.config)) for run in machine.runs)
    for run in machine.runs:
        ours = (
            f"{duration(run.measured.seconds)} as measured on {run.measured.origin}"
            if run.measured
            else "not measured by us on such a machine"
        )
        theirs = f"{duration(run.published.seconds)} by the paper's seconds" if run.published else "not in the paper"
        lines.append(f"  {run_name(run.config):<{width}}  {run.config.epochs:,} epochs: {ours}; {theirs}")
    wait = f", {IDLE_MINUTES} min until it stops itself" if plan.on == "instances" else ""
    lines.append(f"  on top: {SETUP_MINUTES[plan.on]} min of setup (assumed; less at a second start){wait}, reports")
    for origin, title in (("measured", "our measurements, had we this machine"), ("published", "the paper's seconds")):
        hours = machine.hours(origin)
        if hours is not None:
            starts = -(-hours // plan.max_hours)
            more = f"; {starts:.0f} starts, for each ends after {plan.max_hours} h" if starts > 1 else ""
            lines.append(f"  by {title}: {duration(hours * 3600)}, {_usd(machine.usd(hours))}{more}")
    lines.append(f"  at most: {plan.max_hours} h, {_usd(machine.usd(plan.max_hours))}; then it is stopped, whatever runs")
    return lines


def _price(machine: MachinePlan) -> str:
    if machine.price is None:
        return "price unknown"
    source = f"price list of {DATE}" + ("" if machine.price.confirmed else ", which part of it unconfirmed")
    return f"{machine.price.usd_per_hour:g} USD per hour ({source})"


def _usd(amount: float | None) -> str:
    return "an unknown price" if amount is None else f"{show(amount) if amount < 1 else f'{amount:.2f}'} USD"
