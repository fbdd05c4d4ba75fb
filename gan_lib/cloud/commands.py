"""The commands: gan-lib cloud plan, up, run, status, fetch, stop, down. Only these functions print."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from gan_lib.batch.progress import say
from gan_lib.cloud import bucket, instances, jobs
from gan_lib.cloud import plan as planning
from gan_lib.cloud import stack as stacks
from gan_lib.cloud.service import Aws, explained
from gan_lib.cloud.status import describe
from gan_lib.errors import ConfigurationError, ServiceError
from gan_lib.presets import CONFIGURATIONS, parse_changes, parse_seeds

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results"

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Run configurations on SageMaker: plan, up, run, status, fetch, down. Region and credentials are the AWS SDK's own.",
)

Names = Annotated[list[str] | None, typer.Argument(help="As for gan-lib run. The paper's four by default.", show_default=False)]
Preset = Annotated[str, typer.Option(help="quick or paper.")]
Seeds = Annotated[str, typer.Option(help="Which seeds to run: 0, 0-4 or 0,2,5.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Change one parameter. May be given again.")]
On = Annotated[str, typer.Option(help="instances (notebook instances, as in the paper) or jobs (training jobs).")]
Name = Annotated[str, typer.Option(help="Of the stack; its instances are called NAME-cpu and NAME-gpu.")]
MaxUsd = Annotated[float | None, typer.Option(min=0, help="Refuse what could cost more, until --max-hours ends it.")]
MaxHours = Annotated[int | None, typer.Option(min=1, max=168, help="Refuse what should take longer; it is ended then.")]


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
    batch = _batch(configurations, preset, seeds, set_, name, on)
    region = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or planning.DEFAULT_REGION
    _show_plan(batch, region, on, name, max_usd, max_hours, max_hours or planning.MAX_HOURS)


@app.command()
def up(
    name: Name = "gan-lib",
    max_hours: Annotated[int, typer.Option(min=1, max=168, help="Every instance is stopped so long after its start.")] = 12,
) -> None:
    """Make the stack: bucket, roles, lifecycle configuration. Instances come with the first run; none is paid before."""
    half_made = f"the stack may be half made; gan-lib cloud status shows it, gan-lib cloud down{_at(name)} removes it"
    with _session(name, half_made) as aws:
        if stacks.find(aws, name).exists:
            stack = stacks.require(aws, name)
            say(f"stack {name} exists already ({stack.status})")
        else:
            say(f"making stack {name} in {aws.region}: a bucket, roles, the lifecycle configuration; no instance yet")
            stack = stacks.create(aws, name, idle_minutes=planning.IDLE_MINUTES, max_hours=max_hours)
        idle, cap = stack.parameters.get("IdleMinutes"), stack.parameters.get("MaxHours", max_hours)
        say(f"bucket: s3://{stack.bucket}")
        say(f"an instance stops itself after {idle} idle minutes, after {cap} hours in any case")
        say(f"next: gan-lib cloud run{_at(name)} [configurations]")


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
    follow: Annotated[bool, typer.Option("--follow", help="Wait, and stop each instance when its batch has ended.")] = False,
    spot: Annotated[
        bool, typer.Option("--spot", help="With --on jobs: spare capacity; it may be cut off, and resumes.")
    ] = False,
    image: Annotated[str | None, typer.Option(help="With --on jobs: the container, as a URI.", show_default=False)] = None,
) -> None:
    """Upload the project, start what the configurations need, and let each machine run its own."""
    batch = _batch(configurations, preset, seeds, set_, name, on)
    if on != "jobs" and (spot or image):
        raise ConfigurationError("--spot and --image belong to --on jobs")
    if on == "jobs" and follow:
        raise ConfigurationError("--follow belongs to --on instances: a job ends by itself")
    with _session(name) as aws:
        stack = stacks.require(aws, name)
        project = bucket.pack_project(ROOT)
        cap = max_hours or int(stack.parameters.get("MaxHours", planning.MAX_HOURS))
        _show_plan(batch, aws.region, on, name, max_usd, max_hours, cap)
        if project.changes:
            _warn(f"{project.changes} changed or new files are not committed and stay here: {project.commit[:12]} is what runs")
        if on == "jobs":
            jobs.launch(aws, stack, batch, project, say, jobs.Settings(cap, spot, image or ""))
        else:
            names = instances.launch(aws, stack, batch, project, say, max_hours)
            if follow:
                if not instances.follow(aws, stack.bucket, names, say):
                    _warn("a batch did not end well, its batch.log is in the bucket")
                    raise typer.Exit(1)
                say(f"all batches ended, every instance is stopped; next: gan-lib cloud fetch{_at(name)}")
                return
        say(f"{instances.ledger(aws, name)}; each ends by itself, after {cap} h at the latest")
        say(f"next: gan-lib cloud status{_at(name)}, then gan-lib cloud fetch{_at(name)}")


@app.command()
def status(name: Name = "gan-lib") -> None:
    """Show what exists, what runs, what it costs and how far it is, live."""
    stacks.check_name(name)
    with explained():
        for line in describe(Aws(), name):
            say(line)


@app.command()
def fetch(
    name: Name = "gan-lib",
    results_dir: Annotated[Path, typer.Option(metavar="DIR", help="Where to.", show_default="results")] = RESULTS,
    replace: Annotated[bool, typer.Option("--replace", help="Replace runs of the same name that were made elsewhere.")] = False,
) -> None:
    """Download finished runs into the results folder and write the comparison."""
    from gan_lib.batch import pages
    from gan_lib.reporting import html

    stacks.check_name(name)
    with explained():
        fetched = bucket.fetch(Aws(), name, results_dir, replace=replace, say=say)
    experiments = {run.partition("/")[0] for run in fetched}
    pages.make_comparison(results_dir, pages.with_siblings(experiments, results_dir))
    say(f"Report: {html.write_index(results_dir)}")


@app.command()
def stop(name: Name = "gan-lib") -> None:
    """Stop every instance and job of the stack, and wait until they have stopped. Volumes and results stay."""
    with _session(name) as aws:
        if not _stop_all(aws, stacks.find(aws, name)):
            say("nothing runs")


@app.command()
def down(
    name: Name = "gan-lib",
    delete_bucket: Annotated[bool, typer.Option("--delete-bucket", help="The bucket too, with all results in it.")] = False,
) -> None:
    """Stop and remove everything, and check that it is gone. The bucket with the results is kept by default."""
    with _session(name, f"what is left goes with the same command: gan-lib cloud down{_at(name)}") as aws:
        stack = stacks.find(aws, name)
        _stop_all(aws, stack)
        if stack.exists:
            if stack.status.startswith("UPDATE") and stack.moving:  # a deletion cannot cut this short
                say(f"waiting for the change that is under way ({stack.status})")
                with contextlib.suppress(ServiceError):
                    stacks.settle(aws, stack.id, "stack_update_complete", "the change failed")
            say(f"removing stack {name}; instances go with their volumes")
            stacks.delete(aws, stack)
        names = [stack.instance(machine) for machine in stacks.MACHINES]
        if left := [name for name in names if instances.find(aws, name)]:  # check again with another call
            raise ServiceError(f"still in the account after the stack's removal: {', '.join(left)}")
        made = "the stack and all that it lists" if stack.exists else "no stack"
        say(f"gone, checked: {made}, no instance, no job that runs")
        for bucket_name in stacks.left_buckets(aws, name):
            if delete_bucket:
                count = bucket.empty(aws, bucket_name)
                aws.s3.delete_bucket(Bucket=bucket_name)
                say(f"bucket s3://{bucket_name} deleted, with {count} versions of objects")
            else:
                say(f"s3://{bucket_name} is kept and costs storage: gan-lib cloud down{_at(name)} --delete-bucket deletes it")


def _stop_all(aws: Aws, stack: stacks.Stack) -> bool:
    """Stop instances and jobs, each stays in the ledger until it has stopped. Returns whether anything ran."""
    items = [instances.find(aws, stack.instance(machine)) for machine in stacks.MACHINES]
    running = [(instances.stop, item) for item in items if item and item.running]
    running += [(jobs.stop, item) for item in jobs.find(aws, stack.name) if item.running]
    aws.started |= {item.name: item.type for _, item in running}
    for stop_it, item in running:
        say(f"stopping {item.name} ({item.type})")
        stop_it(aws, item.name)
        say(f"{item.name} stopped")
    return bool(running)


def _batch(names: list[str] | None, preset: str, seeds: str, set_: list[str] | None, name: str, on: str) -> planning.Batch:
    stacks.check_name(name)
    if on not in ("instances", "jobs"):
        raise ConfigurationError(f"on must be instances or jobs, got {on!r}")
    names, settings = list(dict.fromkeys(names or CONFIGURATIONS)), tuple(set_ or ())
    batch = planning.Batch(tuple(names), preset, tuple(parse_seeds(seeds)), parse_changes(list(settings)), settings)
    if folders := [config.data for config in batch.configs if config.data.startswith("folder:")]:
        wanted = "digits, mnist or fashion-mnist (a folder of yours is not in the cloud)"
        raise ConfigurationError(f"data must be {wanted}, got {folders[0]!r}")
    return batch


def _show_plan(
    batch: planning.Batch, region: str, on: str, name: str, max_usd: float | None, max_hours: int | None, cap: int
) -> None:
    """Print the plan. Raises ConfigurationError when it exceeds the limits."""
    made = planning.make_plan(batch.configs, region, RESULTS / "reference", on=on, max_hours=cap)
    for line in planning.describe(made, name):
        say(line)
    planning.check_limits(made, max_usd, max_hours)


@contextlib.contextmanager
def _session(name: str, also: str = "") -> Iterator[Aws]:
    """Open a session for a command that may leave something running. At its end, also after Ctrl-C, print what may run."""
    stacks.check_name(name)
    with explained():
        aws = Aws()
    try:
        with explained():
            yield aws
    except BaseException as end:
        running = instances.ledger(aws, name)
        if running:
            _warn(running)
        if isinstance(end, (KeyboardInterrupt, SystemExit)):  # Ctrl-C, SIGTERM
            if not running:
                _warn("stopped; this command started nothing that is still running")
            if also:
                _warn(also)
        raise


def _warn(text: str) -> None:
    say(f"gan-lib: {text}", error=True)


def _at(name: str) -> str:
    return "" if name == "gan-lib" else f" --name {name}"
