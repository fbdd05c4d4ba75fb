"""The command line: gan-lib run, list, compare, search, export, sample, score, bench, cloud."""

import contextlib
import importlib.metadata
import json
import re
import shlex
import shutil
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from gan_lib.batch import notebooks, pages, runner
from gan_lib.batch.job import Job, is_done, unavailable
from gan_lib.batch.progress import ProgressLine, prepare, say, short
from gan_lib.cloud import commands as cloud
from gan_lib.cloud.commands import Seeds, Set
from gan_lib.config import RunConfig, describe_parameters
from gan_lib.errors import ConfigurationError, GanLibError, MachineUnavailable, RecordError
from gan_lib.presets import ALL_CONFIGURATIONS, DEFAULT_CONFIGURATIONS, configure, parse_counts, parse_seeds, parse_sweep
from gan_lib.runs import listing
from gan_lib.runs.record import Record, find_records
from gan_lib.runs.storage import refuse_outside, write_bytes
from gan_lib.text import counted, nearest, shorten

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Train and compare GAN configurations: the four of Moroz et al. (2022) and further ones.",
)
app.add_typer(cloud.app, name="cloud")


def _results(text: str | Path) -> Path:
    if not str(text).strip():
        raise ConfigurationError("--results-dir must be a folder, got an empty name")
    try:
        str(Path(text).absolute()).encode()
    except UnicodeEncodeError:  # which a notebook's parameters could not hold
        raise ConfigurationError(f"--results-dir must be a folder with a name in UTF-8, got {str(text)!a:.80}") from None
    return Path(text)


def _version(wanted: bool) -> None:
    if wanted:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            say(f"gan-lib {importlib.metadata.version('gan-lib')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", is_eager=True, callback=_version, help="Show the version.")] = False,
) -> None:
    pass


# Typer carries its own copy of click, whose exceptions it does not name: this is the base of those about wrong arguments.
_UsageError: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")

RESULTS = notebooks.ROOT / "results"
Results = Annotated[
    Path,
    typer.Option("--results-dir", help="Folder of runs and reports.", metavar="DIR", show_default="results", parser=_results),
]
Run = Annotated[str, typer.Argument(help="A run's folder, or its name, such as cgan-cpu--quick/seed-0.")]
Names = Annotated[
    list[str] | None,
    typer.Argument(help=f"Any of {', '.join(ALL_CONFIGURATIONS)}; by default the paper's and optimal.", show_default=False),
]
Experiments = Annotated[
    list[str] | None,
    typer.Argument(help="Folders below runs, such as gan-cpu--quick. By default the newest and its like.", show_default=False),
]
Timeout = typer.Option(
    min=1, max=1e9, metavar="SECONDS", help="Stop a run after so long, with a checkpoint.", show_default=False
)
Scheduler = typer.Option(
    metavar="ADDRESS", help="Make the runs on the workers of a Dask cluster, such as tcp://HOST:8786.", show_default=False
)
Class = typer.Option("--class", "--digit", help="Of this class alone: its number, or its folder's name.", show_default=False)
Output = typer.Option(help="Picture to write, in the format of its name; samples-seed-N.png by default.", show_default=False)


@app.command(epilog=describe_parameters())
def run(
    configurations: Names = None,
    preset: Annotated[str, typer.Option(help="quick: minutes. paper: the paper's length, up to an hour on a CPU.")] = "quick",
    seeds: Seeds = "0",
    set_: Set = None,
    name: Annotated[
        str, typer.Option(help="Name of this group of runs, used in their folders' names.", show_default=False)
    ] = "",
    results_dir: Results = RESULTS,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start again: also runs that are finished or half done.")] = False,
    timeout: Annotated[float | None, Timeout] = None,
    retries: Annotated[int, typer.Option(min=0, max=100, help="Resume a run that was killed so many times.")] = 0,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="Runs side by side, which share this machine's cores.")] = 1,
    scheduler: Annotated[str, Scheduler] = "",
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write the comparison at the end.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run, how long and where; run nothing.")] = False,
) -> None:
    """Train configurations, one after the other or side by side, and write the comparison.

    Runs that are finished with the same parameters are kept, and those that were stopped are resumed.
    Configurations that this machine cannot run are reported as unavailable. Several values, as in
    --set learning_rate=1e-4,2e-4 --set width=16,24, make every combination: the best images are listed first, and the best
    combination of each configuration is compared.
    """
    sweep, chosen = parse_sweep(set_ or []), configurations or DEFAULT_CONFIGURATIONS
    named = {"name": name} if name else {}
    for configuration in chosen:
        _check_configuration(configuration)
    configs = [
        configure(each, preset, **changes, **named, seed=seed)
        for seed in parse_seeds(seeds)
        for each in chosen
        for changes in sweep
    ]
    _check_places(workers, scheduler)
    jobs = runner.plan(list(dict.fromkeys(configs)), results_dir, fresh)
    if dry_run:
        known = [run for runs in (results_dir / "runs", RESULTS / "reference") for run in find_records(runs, series=False)[0]]
        for text in runner.describe_plan(jobs, known, fresh):
            say(text)
        return say(f"Into {short(results_dir / 'runs')}; nothing was run.")
    with _progress_line() as line, _cluster(scheduler, results_dir) as cluster:
        records = runner.run_batch(
            jobs,
            workers=workers,
            cluster=cluster,
            check=lambda: _check_inputs(jobs, results_dir, fresh),
            show=line.show,
            fresh=fresh,
            timeout=timeout,
            retries=retries,
        )
    rows = [listing.facts(record) for record in records]
    experiments = {job.folder.parent.name for job in jobs}
    if len(sweep) > 1:  # the best first, and of each configuration the best one in the comparison
        order = sorted(range(len(rows)), key=lambda at: listing.sort_key(rows[at], "quality"))
        rows, ranked = [rows[at] for at in order], [records[at] for at in order]
        experiments = set({record.config.configuration: record.path.parent.name for record in reversed(ranked)}.values())
    for text in listing.lines(rows):
        say(text)
    if workers == 1 and not scheduler:
        _warn_of_others(record for job, record in zip(jobs, records, strict=True) if not job.finished)
    if report:
        pages.make_comparison(results_dir, pages.with_siblings(experiments, results_dir))
        say(f"Report: {short(_index(results_dir))}")
    if not all(is_done(record) or record.status == "unavailable" or unavailable(record.config) for record in records):
        raise typer.Exit(1)


def _check_places(workers: int, scheduler: str) -> None:
    if scheduler and workers > 1:
        raise ConfigurationError(f"--workers is for this machine, leave it out with --scheduler, got {workers}")


@contextlib.contextmanager
def _cluster(address: str, results: Path) -> Iterator[runner.Place | None]:
    """The Dask cluster at an address, and a line on it; None without one."""
    if not address:
        yield None
        return
    from gan_lib.batch.cluster import Cluster

    with Cluster(address, results) as cluster:
        say(cluster)
        yield cluster


@contextlib.contextmanager
def _progress_line() -> Iterator[ProgressLine]:
    """The moving line. Where the command is stopped, another line says how to resume it."""
    line = ProgressLine()
    try:
        yield line
    except (KeyboardInterrupt, SystemExit):
        line.end()
        # Without --fresh, which would throw away what there is.
        command = shlex.join([*_program(), *(argument for argument in sys.argv[1:] if argument != "--fresh")])
        say(f"gan-lib: stopped; to resume: {command}", error=True)
        raise
    finally:
        line.end()


def _program() -> list[str]:
    """The words that call this program where the user stands: gan-lib, or its path as it was typed."""
    if shutil.which("gan-lib"):
        return ["gan-lib"]
    return [sys.executable, "-m", "gan_lib"] if Path(sys.argv[0]).name == "__main__.py" else [sys.argv[0]]


def _warn_of_others(records: Iterable[Record]) -> None:
    """Print one line where other programs took much of the CPU while runs were trained."""
    if shares := [share for record in records if (share := record.summary.get("others_cpu_share"))]:
        from gan_lib.runs.machine import BUSY  # imports PyTorch, which these runs needed anyway

        if max(shares) >= BUSY:
            say(f"Other programs took up to {max(shares):.0%} of the CPU. On a quiet machine the runs take fewer seconds.")


def _check_configuration(name: str) -> None:
    """Point a name that is a parameter, or half of a configuration's name, to what was meant. Raises ConfigurationError."""
    parameter, equals, value = name.partition("=")
    if equals:
        if parameter not in RunConfig.model_fields and len(close := nearest(parameter, RunConfig.model_fields).split("'")) == 3:
            parameter = close[1]
        raise ConfigurationError(f"{name!r} is no configuration: parameters are changed by --set {parameter}={value}")
    if f"{name}-cpu" in ALL_CONFIGURATIONS:
        from gan_lib.runs.machine import unavailable_reason

        here = f"{name}-cpu" if unavailable_reason("gpu") else f"{name}-cpu or {name}-gpu"
        raise ConfigurationError(f"unknown configuration {name!r}: this machine can run {here}")


def _check_inputs(jobs: list[Job], results: Path, fresh: bool) -> None:
    """Check the images, and say how many there are and how many runs."""
    for text in runner.check_inputs(jobs, fresh):
        say(text)
    finished = 0 if fresh else sum(job.finished for job in jobs)
    runs = f"{len(jobs)} run{'s' if len(jobs) > 1 else ''} in {short(results / 'runs')}"
    say(f"{runs}, {finished} finished already" if finished else runs)


@app.command("list")
def list_(
    results_dir: Results = RESULTS,
    sort: Annotated[str, typer.Option(help=f"By {', '.join(listing.SORTS)}.")] = "name",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """List every run: status, losses, quality, date, machine."""
    if sort not in listing.SORTS:
        raise ConfigurationError(f"unknown order {sort!r}{nearest(sort, listing.SORTS)}")
    own, problems = listing.list_runs(results_dir / "runs", sort)
    reference, more_problems = listing.list_runs(results_dir / "reference", sort)
    rows = [{**row, "reference": runs is reference} for runs in (own, reference) for row in runs]
    width = max((len(row["name"]) for row in rows), default=0)
    if as_json:
        texts = json.dumps(rows, indent=2).splitlines()
    elif not rows:
        texts = [f"No runs in {short(results_dir)} yet: gan-lib run makes some."]
    else:
        texts = [*listing.lines(own, width), *(["Reference runs:"] if reference else []), *listing.lines(reference, width)]
    for text in texts:
        say(text)
    for problem in (*problems, *more_problems):
        say(f"gan-lib: {problem}", error=True)


@app.command()
def compare(experiments: Experiments = None, results_dir: Results = RESULTS) -> None:
    """Write the comparison report again, from the runs there are."""
    if not results_dir.is_dir():
        raise RecordError(f"results folder {results_dir} does not exist")
    pages.make_comparison(results_dir, experiments or [])
    say(f"Report: {short(_index(results_dir))}")


@app.command()
def search(
    name: Annotated[str, typer.Argument(help="Name of the search and of its folder in results/search.")] = "search",
    sampler: Annotated[str, typer.Option(help="nsga2 (a genetic algorithm), random or tpe.")] = "nsga2",
    trials: Annotated[int, typer.Option(min=1, max=100_000, help="Runs to train, in generations of 8.")] = 40,
    budget: Annotated[
        float | None, typer.Option(min=1, help="Seconds of all runs together. The search ends at --trials or here.")
    ] = None,
    cost: Annotated[str, typer.Option(help="The second goal: seconds, usd or flops (the same on every machine).")] = "seconds",
    max_seconds: Annotated[float | None, typer.Option(min=0.01, help="Limit for the training of one run.")] = None,
    max_usd: Annotated[float | None, typer.Option(min=1e-6, help="Limit for the cost of one run.")] = None,
    max_parameters: Annotated[
        int | None, typer.Option(min=1, help="Limit for both networks together; larger ones are not trained.")
    ] = None,
    longer: Annotated[
        int, typer.Option(min=0, max=1000, help="At the end, train the best tenth with so many times the epochs; 0: none.")
    ] = 8,
    space: Annotated[Path | None, typer.Option(help="A file like gan_lib/studies/space.toml.", show_default=False)] = None,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="Runs side by side. The trials stay the same.")] = 1,
    scheduler: Annotated[str, Scheduler] = "",
    set_: Set = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of the proposals and of every run.")] = 0,
    results_dir: Results = RESULTS,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write the page at the end.")] = True,
) -> None:
    """Search for the configuration with the best images at the least cost, and write a page on it.

    Trials are ordinary runs, in the search's own folder. --set epochs=20 is the same in every trial, --set width=16,24 one of
    these. The same command resumes a search that was stopped. --trials 80 extends a finished one.
    """
    from gan_lib.studies import search as study
    from gan_lib.studies import search_comparison
    from gan_lib.studies import space as spaces

    if not re.fullmatch(r"\w[\w.-]{0,59}", name):
        raise ConfigurationError(f"a search's name must be letters, digits, dots and dashes, got {shorten(name)}")
    settings = study.Settings(
        spaces.read_space(space or spaces.SPACE, set_ or []),
        sampler=sampler,
        cost=cost,
        trials=trials,
        budget=budget,
        max_seconds=max_seconds,
        max_usd=max_usd,
        max_parameters=max_parameters,
        longer=longer,
        seed=seed,
    )
    _check_places(workers, scheduler)
    folder, example = results_dir / "search" / name, spaces.example(settings.space)
    refuse_outside(folder, results_dir)
    if not scheduler and (reason := unavailable(example)):
        raise MachineUnavailable(reason)
    plan = runner.plan([example], folder)
    if not scheduler:
        runner.share_cores(workers, plan)
    for text in runner.check_inputs(plan):
        say(text)
    with _progress_line() as line, _cluster(scheduler, folder) as cluster:

        def say_line(text: str) -> None:
            line.end()
            say(text)

        train = search_comparison.trainer(folder, show=line.show, workers=workers, cluster=cluster)
        result = study.run_search(settings, folder, train, say_line)
    for best in (result.records[name_] for name_ in result.best.run.head(3)):
        for text in [*listing.lines([listing.facts(best)]), f"  {spaces.command(best.config)}"]:
            say(text)
    if report:
        say(f"Report: {short(search_comparison.publish_search(folder))}")
    if result.best.empty:
        reasons = result.frame.reason.dropna()
        why = f" (of the last one: {reasons.iloc[-1]})" if len(reasons) else ""
        say(f"gan-lib: no run is within the limits{why}", error=True)
        raise typer.Exit(1)


@app.command()
def export(
    runs: Annotated[
        list[str] | None, typer.Argument(help="Folders or names of runs; all by default.", show_default=False)
    ] = None,
    to: Annotated[str, typer.Option(help="tensorboard, mlflow or trackio.")] = "tensorboard",
    output: Annotated[Path | None, typer.Option(help="Folder to write; results/TOOL by default.", show_default=False)] = None,
    results_dir: Results = RESULTS,
) -> None:
    """Copy runs into the files of another tool.

    Run folders stay the truth: gan-lib reads nothing back. A second export of a run replaces the first.
    The tool itself is not part of this project: pip install tensorboard, mlflow or trackio.
    """
    from gan_lib.reporting import export as tools

    records = [listing.find_run(name, results_dir) for name in runs] if runs else find_records(results_dir / "runs")[0]
    if not records:
        raise RecordError(f"no runs in {results_dir / 'runs'} yet: gan-lib run makes some")
    folder = output or results_dir / to
    refuse_outside(folder, output or results_dir)
    command = tools.export(records, to, folder)
    say(f"{counted(len(records), 'run')}; to look at them: {command}")


@app.command()
def sample(
    run: Run,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="How many images.")] = 64,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of the latents.")] = 0,
    label: Annotated[str | None, Class] = None,
    output: Annotated[Path | None, Output] = None,
    results_dir: Results = RESULTS,
) -> None:
    """Draw a grid of images from a run's saved generator."""
    from gan_lib import pictures
    from gan_lib.runs.trained import load_network
    from gan_lib.training import sampling

    target = output or Path(f"samples-seed-{seed}.png")
    kind = pictures.format_of(target)
    record = listing.find_run(run, results_dir)
    number = _class_number(label, record)
    generator = load_network(record.config, record.path, "generator")
    images = sampling.sample(generator, sampling.fixed_latents(record.config, count, seed, number))
    write_bytes(target, pictures.encode(pictures.grid(images), kind))
    say(f"{counted(count, 'image')}: {target}")


@app.command()
def score(
    run: Run,
    images: Annotated[list[Path], typer.Argument(help="Image files to judge.")],
    label: Annotated[str | None, Class] = None,
    results_dir: Results = RESULTS,
) -> None:
    """Let a run's discriminator judge images: how likely it takes each to be a real one, and how real images fare."""
    from gan_lib import data
    from gan_lib.runs.trained import Trained

    record = listing.find_run(run, results_dir)
    loaded = data.load_files(images, record.config.image_shape, record.config.background)
    networks, number = Trained(record.path), _class_number(label, record)
    beliefs = networks.judge(loaded, number).tolist()
    column, usual = "  score" if record.config.scores else "P(real)", loaded[:0]
    try:
        real = data.load_images(record.config)
        held_out = real.held_out if number is None else real.held_out[real.held_out_labels == number]
        if len(held_out):
            usual = networks.judge(held_out, number)
            column += "  share of real held-out images judged lower"
    except GanLibError as error:
        say(f"gan-lib: no held-out images to compare with: {error}", error=True)
    width = max(len(str(path)) for path in images)
    say(f"{'image':<{width}}  {column}")
    for path, belief in zip(images, beliefs, strict=True):
        rank = f"  {float((usual < belief).float().mean()):.0%}" if len(usual) else ""
        say(f"{path!s:<{width}}  {belief:7.3f}{rank}")


@app.command()
def bench(
    machine: Annotated[str, typer.Option(help="cpu or gpu.")] = "cpu",
    rounds: Annotated[int, typer.Option(min=1, max=1000, help="Alternating rounds of an epoch each.")] = 7,
    images: Annotated[str, typer.Option(help="Numbers of images to see the cost grow with, such as 2000,20000,60000.")] = "",
    compiled: Annotated[bool, typer.Option("--compile", help="Measure the plain loop with torch.compile too.")] = False,
    results_dir: Results = RESULTS,
) -> None:
    """Measure training speed: ours against a plain PyTorch loop, and against what the machine could do at best.

    Leave the machine alone meanwhile. Writes bench/MACHINE.json and a figure of it.
    """
    from gan_lib.studies import bench as speed

    if machine not in ("cpu", "gpu"):
        raise ConfigurationError(f"machine must be cpu or gpu, got {machine!r}")
    report = speed.bench(machine, rounds, parse_counts(images), say, compiled)
    target = speed.save_bench(report, results_dir / "bench")
    write_bytes(target.with_suffix(".png"), speed.chart([speed.Bench.model_validate(report)]).png())
    for model, facts in report["models"].items():
        faster = f", {facts['times_faster']:.3g} times as fast as a plain loop" if facts["times_faster"] else ""
        share = f"{facts['share_of_matrix_rate']:.0%} of the matrix rate"
        say(f"{model}: {facts['median_seconds']['ours']:.3g} s per epoch{faster}, {share}")
    say(f"Record: {short(target)}")


def _class_number(given: str | None, record: Record) -> int | None:
    """A class by its name, where folders named the classes, or by its number. Raises ConfigurationError."""
    if given is None:
        return None
    if not (count := record.config.classes):
        raise ConfigurationError(f"--class needs a run with classes (made by --set classes=10), got {given} for {record.name}")
    reading = record.machine.get("images")
    names = reading.get("classes") if isinstance(reading, dict) else None
    for known in (names[:count] if isinstance(names, list) else [], [str(number) for number in range(count)]):
        if given in known:
            return known.index(given)
    listed = f" or one of {shorten(names)}" if names else ""
    raise ConfigurationError(f"--class must be from 0 to {count - 1}{listed} (the classes of {record.name}), got {given}")


def _index(results: Path) -> Path:
    """Write the index, and name the runs that no page can show."""
    from gan_lib.reporting.html import write_index

    runs = find_records(results / "runs", series=False)
    for problem in runs[1]:
        say(f"gan-lib: {problem}", error=True)
    return write_index(results, runs)


def _explain(error: Any) -> str:
    """What is wrong with the arguments; where an unknown option is a parameter, how that is changed."""
    option = str(getattr(error, "option_name", None) or "")
    name = option.lstrip("-").replace("-", "_")
    if name not in RunConfig.model_fields:
        return str(error.format_message())
    following = sys.argv[sys.argv.index(option) + 1 :] if option in sys.argv else []
    value = following[0] if following and not following[0].startswith("-") else "VALUE"
    return (
        f"{option} is a parameter: --set {name}={value} changes it" if name != "seed" else "seed is not an option: use --seeds"
    )


def main() -> None:
    """Run the command line. Exit codes: 0 all is well, 1 a run failed, 2 a user's mistake, 130 Ctrl-C, 143 SIGTERM."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    prepare()
    try:
        code = app(standalone_mode=False)
    except GanLibError as error:
        say(f"gan-lib: {error}", error=True)
        code = error.exit_code
    except OSError as error:  # a folder that cannot be written, a full disk
        say(f"gan-lib: {error.filename or 'a file'}: {error.strerror or error}", error=True)
        code = 2
    except _UsageError as error:
        text = _explain(error)
        for line in text.splitlines():
            say(line if text.startswith("Usage:") else f"gan-lib: {line}", error=True)
        code = 2
    sys.exit(code)
