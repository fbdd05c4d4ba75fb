"""The command line: gan-lib run, list, compare, sample, score, bench, cloud."""

import contextlib
import importlib.metadata
import io
import json
import math
import re
import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gan_lib.batch import notebooks, pages, runner
from gan_lib.batch.job import Job, is_done, unavailable
from gan_lib.batch.progress import ProgressLine, prepare, say, short
from gan_lib.cloud import commands as cloud
from gan_lib.cloud.commands import Seeds, Set
from gan_lib.config import RunConfig
from gan_lib.errors import ConfigurationError, GanLibError, RecordError
from gan_lib.presets import ALL_CONFIGURATIONS, DEFAULT_CONFIGURATIONS, configure, parse_changes, parse_counts, parse_seeds
from gan_lib.runs.record import Record, find_records, read_record
from gan_lib.runs.storage import write_bytes
from gan_lib.text import duration, nearest, shorten

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


def _parameters() -> str:
    """Every parameter with its bounds, for run --help."""
    lines = ["Parameters, for --set:"]
    for name, field in RunConfig.model_json_schema()["properties"].items():
        kinds = [field, *field.get("anyOf", [])]
        bounds = [", ".join(map(str, kind["enum"])) for kind in kinds if "enum" in kind]
        for word, keys in (("from", ("minimum", "exclusiveMinimum")), ("to", ("maximum", "exclusiveMaximum"))):
            bounds += [f"{word} {kind[key]:,}" for kind in kinds for key in keys if key in kind]
        if name not in ("model", "machine", "seed"):
            lines.append(f"{name} ({' '.join(bounds) or 'text'}): {field.get('description', '')}")
    return "\n\n".join(lines)


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
Class = typer.Option("--class", "--digit", help="Of this class alone: its number, or its folder's name.", show_default=False)
Output = typer.Option(help="Picture to write, in the format of its name; samples-seed-N.png by default.", show_default=False)
_SORTS = {"name": "name", "date": "finished", "quality": "frechet_distance", "seconds": "seconds_per_epoch"}


@app.command(epilog=_parameters())
def run(
    configurations: Names = None,
    preset: Annotated[str, typer.Option(help="quick: minutes. paper: the paper's length, up to an hour on a CPU.")] = "quick",
    seeds: Seeds = "0",
    set_: Set = None,
    results_dir: Results = RESULTS,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start again: also runs that are finished or half done.")] = False,
    timeout: Annotated[float | None, Timeout] = None,
    retries: Annotated[int, typer.Option(min=0, max=100, help="Resume a run that was killed so many times.")] = 0,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="Runs side by side, which share this machine's cores.")] = 1,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write the comparison at the end.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run, how long and where; run nothing.")] = False,
) -> None:
    """Train configurations, one after the other or side by side, and write the comparison.

    Runs that are finished with the same parameters are kept, and those that were stopped are resumed.
    Configurations that this machine cannot run are reported as unavailable.
    """
    changes, chosen = parse_changes(set_ or []), configurations or DEFAULT_CONFIGURATIONS
    for name in chosen:
        _check_configuration(name)
    configs = [configure(name, preset, **changes, seed=seed) for seed in parse_seeds(seeds) for name in chosen]
    jobs = runner.plan(list(dict.fromkeys(configs)), results_dir, fresh)
    if dry_run:
        return _show_plan(jobs, results_dir, fresh)
    line = ProgressLine()
    try:
        records = runner.run_batch(
            jobs,
            workers=workers,
            check=lambda: _check_inputs(jobs, results_dir, fresh),
            show=line.show,
            fresh=fresh,
            timeout=timeout,
            retries=retries,
        )
    except (KeyboardInterrupt, SystemExit):
        line.end()
        # Without --fresh, which would throw away what there is.
        command = shlex.join(["gan-lib", *(argument for argument in sys.argv[1:] if argument != "--fresh")])
        say(f"gan-lib: stopped; to resume: {command}", error=True)
        raise
    finally:
        line.end()
    for record in records:
        _show(_facts(record))
    if report:
        pages.make_comparison(results_dir, pages.with_siblings({job.folder.parent.name for job in jobs}, results_dir))
        say(f"Report: {short(_index(results_dir))}")
    if not all(is_done(record) or unavailable(record.config) for record in records):
        raise typer.Exit(1)


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


def _show_plan(jobs: list[Job], results: Path, fresh: bool) -> None:
    known = [run for folder in (results / "runs", RESULTS / "reference") for run in find_records(folder)[0]]
    total = 0.0
    for job in jobs:
        if job.finished and not fresh:
            what = "finished already"
        elif reason := unavailable(job.config):
            what = f"unavailable: {reason}"
        elif estimate := runner.measured_seconds(job.config, known):
            done = 0 if fresh or job.found is None else job.found.epochs_done
            seconds = estimate[0] * (1 - done / job.config.epochs)
            total += seconds
            what = f"{job.config.epochs - done:,} epochs, about {duration(seconds)} as measured on {estimate[1]}"
        else:
            what = f"{job.config.epochs:,} epochs, never measured"
        say(f"{job.name}  {what}")
    say(f"About {duration(total)} of training in all, into {short(results / 'runs')}; nothing was run.")


@app.command("list")
def list_(
    results_dir: Results = RESULTS,
    sort: Annotated[str, typer.Option(help=f"By {', '.join(_SORTS)}.")] = "name",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """List every run: status, losses, quality, date, machine."""
    if sort not in _SORTS:
        raise ConfigurationError(f"unknown order {sort!r}{nearest(sort, _SORTS)}")
    groups, problems = zip(*(find_records(results_dir / below) for below in ("runs", "reference")), strict=True)
    rows = [[{**_facts(record), "reference": bool(number)} for record in group] for number, group in enumerate(groups)]
    for group in rows:
        group.sort(key=lambda row: _sort_key(row, sort))
    everything = [*rows[0], *rows[1]]
    width = max((len(row["name"]) for row in everything), default=0)
    if as_json:
        for line in json.dumps(everything, indent=2).splitlines():
            say(line)
    elif not everything:
        say(f"No runs in {short(results_dir)} yet: gan-lib run makes some.")
    for title, group in () if as_json else zip(("", "Reference runs:"), rows, strict=True):
        if title and group:
            say(title)
        for row in group:
            _show(row, width)
    for problem in (*problems[0], *problems[1]):
        say(f"gan-lib: {problem}", error=True)


def _sort_key(row: dict[str, Any], sort: str) -> tuple[bool, Any]:
    """What is missing comes last, and seed-10 after seed-2."""
    value = row[_SORTS[sort]]
    if sort == "name":
        value = [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", value)]
    return value is None, value


@app.command()
def compare(experiments: Experiments = None, results_dir: Results = RESULTS) -> None:
    """Write the comparison report again, from the runs there are."""
    if not results_dir.is_dir():
        raise RecordError(f"results folder {results_dir} does not exist")
    pages.make_comparison(results_dir, experiments or [])
    say(f"Report: {short(_index(results_dir))}")


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
    from PIL import Image

    from gan_lib import pictures
    from gan_lib.runs import trained
    from gan_lib.training import sampling

    target = output or Path(f"samples-seed-{seed}.png")
    kind = _picture_format(target)
    record = _find(run, results_dir)
    number = _class_number(label, record)
    generator = trained.load_network(record.config, record.path, "generator")
    images = sampling.sample(generator, sampling.fixed_latents(record.config, count, seed, number))
    content = io.BytesIO()
    try:
        Image.open(io.BytesIO(pictures.png(pictures.grid(images)))).save(content, kind)
        write_bytes(target, content.getvalue())
    except OSError as error:
        raise RecordError(f"output {target} cannot be written: {error.strerror}") from error
    say(f"{count} images: {target}")


@app.command()
def score(
    run: Run,
    images: Annotated[list[Path], typer.Argument(help="Image files to judge.")],
    label: Annotated[str | None, Class] = None,
    results_dir: Results = RESULTS,
) -> None:
    """Let a run's discriminator judge images: how likely it takes each to be a real one, and how real digits fare."""
    from gan_lib import data
    from gan_lib.runs import trained

    record = _find(run, results_dir)
    loaded = data.load_files(images, record.config.image_shape, record.config.background)
    networks, number = trained.Trained(record.path), _class_number(label, record)
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
    results_dir: Results = RESULTS,
) -> None:
    """Measure training speed: ours against a plain PyTorch loop, and against what the machine could do at best.

    Leave the machine alone meanwhile. Writes bench/MACHINE.json and a figure of it.
    """
    from gan_lib.studies import bench as speed

    if machine not in ("cpu", "gpu"):
        raise ConfigurationError(f"machine must be cpu or gpu, got {machine!r}")
    report = speed.bench(machine, rounds, parse_counts(images), say)
    target = speed.save_bench(report, results_dir / "bench")
    write_bytes(target.with_suffix(".png"), speed.chart([speed.Bench.model_validate(report)]).png())
    for model, facts in report["models"].items():
        faster = f", {facts['times_faster']:.3g} times as fast as a plain loop" if facts["times_faster"] else ""
        share = f"{facts['share_of_matrix_rate']:.0%} of the matrix rate"
        say(f"{model}: {facts['median_seconds']['ours']:.3g} s per epoch{faster}, {share}")
    say(f"Record: {short(target)}")


def _picture_format(path: Path) -> str:
    """The format that a file's name asks for. Raises ConfigurationError where there is none."""
    from PIL import Image

    Image.init()
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind is None or kind not in Image.SAVE or kind in ("PDF", "EPS"):
        raise ConfigurationError(f"output must be named after a kind of picture, such as .png or .jpg, got {path.name!r}")
    return kind


def _find(run: str, results: Path) -> Record:
    """A run by its folder or by its name below the results folder, the seed may be left out where there is one.

    Raises RecordError with the nearest name.
    """
    for folder in (Path(run), results / "runs" / run, results / "reference" / run) if run.strip(".") else ():
        with contextlib.suppress(OSError):  # a name too long for a file, say
            if (folder / "config.json").exists():
                return read_record(folder)
            seeds = sorted(path.parent.name for path in folder.glob("seed-*/config.json"))
            if len(seeds) > 1:
                raise RecordError(f"run {run!r} has {len(seeds)} seeds: name one, such as {run.rstrip('/')}/{seeds[0]}")
            if seeds:
                return read_record(folder / seeds[0])
    known = [record.name for record in find_records(results / "runs")[0]]
    raise RecordError(f"run {run!r} does not exist{nearest(run, known) if known else ': there are no runs yet'}")


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

    for problem in find_records(results / "runs")[1]:
        say(f"gan-lib: {problem}", error=True)
    return write_index(results)


def _show(facts: dict[str, Any], width: int = 0) -> None:
    say(_one_line(facts, width))
    for note in facts["notes"]:
        say(f"  note: {note}")


def _one_line(facts: dict[str, Any], width: int = 0) -> str:
    words = [form.format(facts[name]) for name, form in _WORDS.items() if facts[name]]
    return f"{facts['name']:<{width}}  {facts['status']:<11}  {', '.join(words)}".rstrip()


_WORDS = {
    "epochs": "{:,} epochs",
    "seconds_per_epoch": "{:.3g} s per epoch",
    "discriminator_loss": "D {:.3g}",
    "generator_loss": "G {:.3g}",
    "frechet_distance": "Fréchet distance {:.3g}",
    "finished": "{:.10}",
    "machine": "{}",
    "reason": "{}",
}


def _facts(record: Record) -> dict[str, Any]:
    """What is listed of a run, as plain JSON values; None where there is no number."""
    quality, summary = record.summary.get("quality"), record.summary
    numbers = {name: summary.get(name) for name in ("seconds_per_epoch", "discriminator_loss", "generator_loss")}
    numbers["frechet_distance"] = quality.get("frechet_distance") if isinstance(quality, dict) else None
    return {
        "name": record.name,
        "status": record.status,
        "epochs": record.epochs_done,
        **{name: value if isinstance(value, float) and math.isfinite(value) else None for name, value in numbers.items()},
        "finished": str(record.summary.get("finished") or "") or None,
        "machine": str(record.machine.get("label") or "") or None,
        "reason": record.reason,
        "notes": record.notes,
        "path": str(record.path),
    }


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
