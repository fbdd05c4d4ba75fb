"""The commands: gan-lib cloud plan, up, run, status, fetch, stop, down. They print; all else is in the modules beside."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gan_lib.errors import ConfigurationError
from gan_lib.presets import parse_changes, parse_seeds

if TYPE_CHECKING:
    from gan_lib.cloud.batch import Batch
    from gan_lib.cloud.instances import Ledger
    from gan_lib.cloud.plan import Plan
    from gan_lib.cloud.service import Aws
    from gan_lib.cloud.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results"

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Run configurations on SageMaker: plan, up, run, status, fetch, down. Region and credentials are the AWS SDK's own.",
)

Names = Annotated[list[str] | None, typer.Argument(help="As for gan-lib run. All four by default.", show_default=False)]
Preset = Annotated[str, typer.Option(help="quick or paper.")]
Seeds = Annotated[str, typer.Option(help="Which seeds to run: 0, 0-4 or 0,2,5.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Change one parameter. May be given again.")]
On = Annotated[str, typer.Option(help="instances (notebook instances, as in the paper) or jobs (training jobs).")]
Name = Annotated[str, typer.Option(help="Of the stack; its instances are called NAME-cpu and NAME-gpu.")]
MaxUsd = Annotated[
    float | None,
    typer.Option(min=0, help="Refuse what could cost more, counted until --max-hours ends it.", show_default=False),
]
MaxHours = Annotated[
    int | None,
    typer.Option(
        min=1, max=168, help="Refuse what is expected to take longer; each instance or job is ended then.", show_default=False
    ),
]


@app.command()
def plan(
    configurations: Names = None,
    preset: Preset = "paper",
    seeds: Seeds = "0",
    set_: Set = None,
    on: On = "instances",
    name: Name = "gan-lib",
    region: Annotated[str, typer.Option(help="AWS_REGION, else us-east-1, by default.", show_default=False)] = "",
    max_usd: MaxUsd = None,
    max_hours: MaxHours = None,
) -> None:
    """Show what would be made, for how long, at what price. Needs no account."""
    from gan_lib.cloud.prices import DEFAULT_REGION

    batch = _batch(configurations, preset, seeds, set_, name, on)
    region = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or DEFAULT_REGION
    _show_plan(batch, region, on, name, max_usd, max_hours)


@app.command()
def up(
    name: Name = "gan-lib",
    max_hours: Annotated[int, typer.Option(min=1, max=168, help="Every instance is stopped so long after its start.")] = 12,
) -> None:
    """Make the stack: bucket, roles, lifecycle configuration. Instances come with the first run; none is paid before."""
    from gan_lib.cloud import stack
    from gan_lib.cloud.plan import IDLE_MINUTES

    with _session(
        name, f"the stack may be half made; gan-lib cloud status shows it, gan-lib cloud down{_at(name)} removes it"
    ) as (aws, _):
        there = stack.find(aws, name)
        if there is None or there.status == "DELETE_COMPLETE":
            _say(f"making stack {name} in {aws.region}: a bucket, roles, the lifecycle configuration; no instance yet")
            there = stack.create(aws, name, idle_minutes=IDLE_MINUTES, max_hours=max_hours)
        else:
            there = stack.require(aws, name)
            _say(f"stack {name} is there already ({there.status})")
        _say(f"bucket: s3://{there.bucket}")
        cap = there.parameters.get("MaxHours", max_hours)
        _say(
            f"an instance stops itself after {there.parameters.get('IdleMinutes')} idle minutes, after {cap} hours in any case"
        )
        _say(f"next: gan-lib cloud run{_at(name)} [configurations]")


@app.command()
def run(
    configurations: Names = None,
    preset: Preset = "quick",
    seeds: Seeds = "0",
    set_: Set = None,
    on: On = "instances",
    name: Name = "gan-lib",
    max_usd: MaxUsd = None,
    max_hours: MaxHours = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Wait for the batches and stop each instance when its own has ended.")
    ] = False,
    spot: Annotated[
        bool, typer.Option("--spot", help="With --on jobs: spare capacity, cheaper, may be interrupted and goes on.")
    ] = False,
    image: Annotated[str | None, typer.Option(help="With --on jobs: the container, as a URI.", show_default=False)] = None,
) -> None:
    """Upload the project, start what the configurations need, and let each machine run its own."""
    from gan_lib.cloud import bucket, jobs, launch, stack

    batch = _batch(configurations, preset, seeds, set_, name, on)
    if on != "jobs" and (spot or image):
        raise ConfigurationError("--spot and --image belong to --on jobs")
    if on == "jobs" and follow:
        raise ConfigurationError("--follow belongs to --on instances: a job ends by itself")
    with _session(name) as (aws, ledger):
        there = stack.require(aws, name)
        project = bucket.pack_project(ROOT)
        cap = max_hours or int(there.parameters.get("MaxHours", 12))
        _show_plan(batch, aws.region, on, name, max_usd, max_hours, cap)
        if project.changes:
            _warn(f"{project.changes} changed or new files are not committed and stay here: {project.commit[:12]} is what runs")
        if on == "jobs":
            started = jobs.launch(aws, there, batch, project, ledger, _say, container=image, max_hours=cap, spot=spot)
        else:
            started = launch.launch(aws, there, batch, project, ledger, _say, max_hours)
            if follow:
                _finish(launch.follow(aws, there, started, ledger, _say), name)
                return
        for line in ledger.lines():
            _say(line)
        _say(f"each ends by itself, after {cap} h at the latest")
        _say(f"next: gan-lib cloud status{_at(name)}, then gan-lib cloud fetch{_at(name)}")


def _finish(well: bool, name: str) -> None:
    """The last words after following."""
    if not well:
        _warn(f"a batch did not end well, its batch.log is in the bucket; gan-lib cloud fetch{_at(name)} brings what there is")
        raise typer.Exit(1)
    _say(f"all batches ended, every instance is stopped; next: gan-lib cloud fetch{_at(name)}")


@app.command()
def status(name: Name = "gan-lib") -> None:
    """Show what is there, what runs, what it costs and how far it is, live."""
    from gan_lib.cloud import stack
    from gan_lib.cloud.status import describe

    stack.check_name(name)
    with _connection() as aws:
        for line in describe(aws, name):
            _say(line)


@app.command()
def fetch(
    name: Name = "gan-lib",
    results_dir: Annotated[
        Path, typer.Option("--results-dir", metavar="DIR", help="Where to.", show_default="results")
    ] = RESULTS,
    replace: Annotated[bool, typer.Option("--replace", help="Replace runs of the same name that were made elsewhere.")] = False,
) -> None:
    """Download finished runs into the results folder and write the comparison."""
    from gan_lib.batch import pages
    from gan_lib.cloud import fetch as fetching
    from gan_lib.cloud import stack
    from gan_lib.reporting import html

    stack.check_name(name)
    with _connection() as aws:
        fetched = fetching.fetch(aws, name, results_dir, replace=replace, say=_say)
    experiments = {run.partition("/")[0] for run in fetched}
    pages.make_comparison(results_dir, pages.with_siblings(experiments, results_dir))
    _say(f"Report: {html.write_index(results_dir)}")


@app.command()
def stop(name: Name = "gan-lib") -> None:
    """Stop every instance and job of the stack, and wait until they have stopped. Volumes and results stay."""
    from gan_lib.cloud import stack

    stack.check_name(name)
    with _session(name) as (aws, ledger):
        if not _stop_all(aws, name, ledger):
            _say("nothing runs")


@app.command()
def down(
    name: Name = "gan-lib",
    delete_bucket: Annotated[
        bool, typer.Option("--delete-bucket", help="Delete the bucket too, with all results in it.")
    ] = False,
) -> None:
    """Stop and remove everything, and check that it is gone. The bucket with the results is kept unless told otherwise."""
    from gan_lib.cloud import bucket, stack

    stack.check_name(name)
    with _session(name, f"what is left goes with the same command: gan-lib cloud down{_at(name)}") as (aws, ledger):
        _stop_all(aws, name, ledger)
        there = stack.find(aws, name)
        if there and there.status != "DELETE_COMPLETE":
            if there.status.startswith("UPDATE") and there.moving:  # which cannot be cut short by a deletion
                _say(f"waiting for the change that is under way ({there.status})")
                stack.wait_until_still(aws, there.id)
            _say(f"removing stack {name}; instances go with their volumes")
            stack.delete(aws, there)
        _check_gone(aws, name, there)
        for left in stack.left_buckets(aws, name):
            if delete_bucket:
                count = bucket.empty(aws, left)
                aws.s3.delete_bucket(Bucket=left)
                _say(f"bucket s3://{left} deleted, with {count} versions of objects")
            else:
                _say(f"s3://{left} is kept, and its storage costs: gan-lib cloud down{_at(name)} --delete-bucket deletes it")


def _stop_all(aws: "Aws", name: str, ledger: "Ledger") -> bool:
    """Stop instances and jobs, each in the ledger until it has stopped; returns whether anything ran."""
    from gan_lib.cloud import instances, jobs, launch, stack

    begin = stack.prefix(stack.find(aws, name), name)
    running: list[Any] = [instances.find(aws, launch.instance_name(begin, machine)) for machine in stack.MACHINES]
    running = [item for item in (*running, *jobs.find(aws, name)) if item and item.running]
    for item in running:
        ledger.add(item.name, item.type)
    for item in running:
        _say(f"stopping {item.name} ({item.type})")
        if isinstance(item, jobs.Job):
            jobs.stop(aws, item)
        else:
            instances.stop(aws, item.name)
        ledger.strike(item.name)
        _say(f"{item.name} stopped")
    return bool(running)


def _check_gone(aws: "Aws", name: str, there: "Stack | None") -> None:
    """Look again, by every way there is, and say so. Raises ServiceError for what is left."""
    from gan_lib.cloud import instances, launch, stack
    from gan_lib.errors import ServiceError

    stack.check_gone(aws, name)
    left = stack.leftovers(aws, there) if there else []
    names = [launch.instance_name(stack.prefix(there, name), machine) for machine in stack.MACHINES]
    left += [found.name for instance in names if (found := instances.find(aws, instance))]
    if left:
        raise ServiceError(f"still there after the stack's removal: {', '.join(left)}")
    _say(f"gone, checked: {'the stack and all that it lists, ' if there else 'no stack, '}no instance, no job that runs")


def _batch(configurations: list[str] | None, preset: str, seeds: str, set_: list[str] | None, name: str, on: str) -> "Batch":
    from gan_lib.cloud.batch import make_batch
    from gan_lib.cloud.stack import check_name

    check_name(name)
    if on not in ("instances", "jobs"):
        raise ConfigurationError(f"on must be instances or jobs, got {on!r}")
    return make_batch(configurations, preset, parse_seeds(seeds), parse_changes(set_ or []), set_ or [])


def _show_plan(
    batch: "Batch", region: str, on: str, name: str, max_usd: float | None, max_hours: int | None, cap: int | None = None
) -> "Plan":
    """Print the plan. Raises ConfigurationError when it is beyond the limits."""
    from gan_lib.cloud.plan import DEFAULT_MAX_HOURS, check_limits, describe, make_plan

    made = make_plan(batch.configs, region, RESULTS / "reference", on=on, max_hours=cap or max_hours or DEFAULT_MAX_HOURS)
    for line in describe(made, name):
        _say(line)
    check_limits(made, max_usd, max_hours)
    return made


@contextlib.contextmanager
def _connection() -> Iterator["Aws"]:
    """AWS, with its errors in one line."""
    from gan_lib.cloud.service import Aws, explained

    with explained():
        yield Aws()


@contextlib.contextmanager
def _session(name: str, also: str = "") -> Iterator[tuple["Aws", "Ledger"]]:
    """A command that may leave something running or half done: however it ends, the user is told what. Ctrl-C too."""
    from gan_lib.cloud.instances import Ledger, no_instance_unseen
    from gan_lib.cloud.stack import check_name

    check_name(name)
    ledger: Ledger | None = None
    try:
        with _connection() as aws:
            ledger = Ledger(aws.region, name)
            with no_instance_unseen(ledger, _warn):
                yield aws, ledger
    except KeyboardInterrupt as interrupt:
        if ledger is None or not ledger.lines():
            _warn("stopped; this command started nothing that is still running")
        if also:
            _warn(also)
        # the command line makes a kind of KeyboardInterrupt of SIGTERM
        raise typer.Exit(130 if type(interrupt) is KeyboardInterrupt else 143) from None


def _say(text: str) -> None:
    print(text, flush=True)


def _warn(text: str) -> None:
    print(f"gan-lib: {text}", file=sys.stderr, flush=True)


def _at(name: str) -> str:
    return "" if name == "gan-lib" else f" --name {name}"
