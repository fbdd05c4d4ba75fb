"""The command line: gan-lib run, list, compare, sample, score, bench, cloud."""

import contextlib
import shlex
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from gan_lib.batch import notebooks, pages, runner
from gan_lib.batch.job import is_done, unavailable
from gan_lib.batch.progress import ProgressLine, prepare, say, short
from gan_lib.cloud import commands as cloud
from gan_lib.errors import ConfigurationError, GanLibError, RecordError
from gan_lib.presets import ALL_CONFIGURATIONS, CONFIGURATIONS, configure, parse_changes, parse_counts, parse_seeds
from gan_lib.runs.record import Record, find_records, read_record
from gan_lib.text import nearest

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Train and compare the four GAN configurations of Moroz et al. (2022).",
)
app.add_typer(cloud.app, name="cloud")

# Typer carries its own copy of click, whose exceptions it does not name: this is the base of those about wrong arguments.
_UsageError: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")

Results = Annotated[
    Path, typer.Option("--results-dir", help="Folder of runs and reports.", metavar="DIR", show_default="results")
]
RESULTS = notebooks.ROOT / "results"


@app.command()
def run(
    configurations: Annotated[
        list[str] | None,
        typer.Argument(
            help=f"Any of {', '.join(ALL_CONFIGURATIONS)}. The paper's, the first four, by default.", show_default=False
        ),
    ] = None,
    preset: Annotated[str, typer.Option(help="quick: minutes. paper: the paper's length, up to an hour on a CPU.")] = "quick",
    seeds: Annotated[str, typer.Option(help="Which seeds to run: 0, 0-4 or 0,2,5.")] = "0",
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Change one parameter. May be given again.")
    ] = None,
    results_dir: Results = RESULTS,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start again: also runs that are finished or half done.")] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=1, max=1e9, metavar="SECONDS", help="Stop a run after so long, with a checkpoint.", show_default=False
        ),
    ] = None,
    retries: Annotated[int, typer.Option(min=0, max=100, help="Take up a run that was killed so many times.")] = 0,
) -> None:
    """Train configurations, one after the other, and write the comparison.

    Runs that are finished with the same parameters are kept, and those that were stopped go on where they were.
    Configurations that this machine cannot run are reported as unavailable.
    """
    changes = parse_changes(set_ or [])
    configs = [
        configure(name, preset, **changes, seed=seed)
        for seed in parse_seeds(seeds)
        for name in configurations or CONFIGURATIONS
    ]
    jobs = runner.plan(list(dict.fromkeys(configs)), results_dir, fresh)
    finished = 0 if fresh else sum(job.finished for job in jobs)
    runs = f"{len(jobs)} run{'s' if len(jobs) > 1 else ''} in {short(results_dir / 'runs')}"
    say(runs + (f", {finished} finished already" if finished else ""))
    line = ProgressLine()
    with contextlib.ExitStack() as stack:
        names = pages.with_siblings({job.folder.parent.name for job in jobs}, results_dir)
        comparison = stack.enter_context(pages.comparison(results_dir, names))
        stack.callback(line.end)
        try:
            records = runner.run_batch(
                jobs,
                fresh=fresh,
                timeout=timeout,
                retries=retries,
                check=True,
                show=line.show,
                afterwards=comparison.warm_up,
            )
        except KeyboardInterrupt:
            line.end()
            # Without --fresh, which would throw away what there is.
            command = shlex.join(["gan-lib", *(argument for argument in sys.argv[1:] if argument != "--fresh")])
            say(f"gan-lib: stopped; to resume: {command}", error=True)
            raise
        line.end()
        for record in records:
            _show(record)
        comparison.make()
        say(f"Report: {short(_index(results_dir))}")
    if not all(is_done(record) or unavailable(record.config) for record in records):
        raise typer.Exit(1)


@app.command("list")
def list_(results_dir: Results = RESULTS) -> None:
    """List every run, with its status."""
    records, problems = find_records(results_dir / "runs")
    references, _ = find_records(results_dir / "reference")
    if not records + references:
        say(f"No runs in {short(results_dir)} yet: gan-lib run makes some.")
    width = max((len(record.name) for record in records + references), default=0)
    for title, group in (("", records), ("Reference runs:", references)):
        if group and title:
            say(title)
        for record in group:
            _show(record, width)
    for problem in problems:
        say(f"gan-lib: {problem}", error=True)


@app.command()
def compare(
    experiments: Annotated[
        list[str] | None,
        typer.Argument(
            help="Folders below runs, such as gan-cpu--quick. The newest run's and its like by default.",
            show_default=False,
        ),
    ] = None,
    results_dir: Results = RESULTS,
) -> None:
    """Write the comparison report again, from the runs there are."""
    if not results_dir.is_dir():
        raise RecordError(f"results folder {results_dir} does not exist")
    pages.make_comparison(results_dir, experiments or [])
    say(f"Report: {short(_index(results_dir))}")


@app.command()
def sample(
    run: Annotated[str, typer.Argument(help="A run's folder, or its name, such as cgan-cpu--quick/seed-0.")],
    count: Annotated[int, typer.Option(min=1, max=10_000, help="How many images.")] = 64,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of the latents.")] = 0,
    output: Annotated[
        Path | None, typer.Option(help="PNG file to write. samples-seed-N.png by default.", show_default=False)
    ] = None,
    results_dir: Results = RESULTS,
) -> None:
    """Draw a grid of images from a run's saved generator."""
    from gan_lib import pictures
    from gan_lib.runs import trained
    from gan_lib.training import sampling

    record = _find(run, results_dir)
    generator = trained.load_network(record.config, record.path, "generator")
    drawn = sampling.sample(generator, sampling.fixed_latents(record.config, count, seed))
    target = output or Path(f"samples-seed-{seed}.png")
    try:
        target.write_bytes(pictures.png(pictures.grid(drawn)))
    except OSError as error:
        raise RecordError(f"output {target} cannot be written: {error.strerror}") from error
    say(f"{count} images: {target}")


@app.command()
def score(
    run: Annotated[str, typer.Argument(help="A run's folder, or its name, such as cgan-cpu--quick/seed-0.")],
    images: Annotated[list[Path], typer.Argument(help="Image files to judge.")],
    results_dir: Results = RESULTS,
) -> None:
    """Let a run's discriminator judge images: how likely it takes each to be a real one, and how real digits fare."""
    from gan_lib import data
    from gan_lib.runs import trained
    from gan_lib.training import sampling

    record = _find(run, results_dir)
    loaded = data.load_files(images, record.config.image_shape, record.config.background)
    discriminator = trained.load_network(record.config, record.path, "discriminator")
    judge = sampling.score if record.config.scores else sampling.judge
    beliefs = judge(discriminator, loaded).tolist()
    try:
        held_out = data.load_images(record.config).held_out
    except GanLibError as error:
        say(f"gan-lib: no held-out images to compare with: {error}", error=True)
        held_out = loaded[:0]
    usual = judge(discriminator, held_out) if len(held_out) else None
    width = max(len(str(path)) for path in images)
    column = "  score" if record.config.scores else "P(real)"
    say(f"{'image':<{width}}  {column}" + ("  share of real held-out images judged lower" if usual is not None else ""))
    for path, belief in zip(images, beliefs, strict=True):
        rank = f"  {float((usual < belief).float().mean()):.0%}" if usual is not None else ""
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
    target.with_suffix(".png").write_bytes(speed.chart([speed.Bench.model_validate(report)]).png())
    for model, facts in report["models"].items():
        faster = f", {facts['times_faster']:.3g} times as fast as a plain loop" if facts["times_faster"] else ""
        share = f"{facts['share_of_matrix_rate']:.0%} of the matrix rate"
        say(f"{model}: {facts['median_seconds']['ours']:.3g} s per epoch{faster}, {share}")
    say(f"Record: {short(target)}")


def _find(run: str, results: Path) -> Record:
    """A run by its folder or by its name below the results folder. Raises RecordError with the nearest name."""
    for folder in (Path(run), results / "runs" / run, results / "reference" / run) if run.strip(".") else ():
        with contextlib.suppress(OSError):  # a name too long for a file, say
            if (folder / "config.json").exists():
                return read_record(folder)
    known = [record.name for record in find_records(results / "runs")[0]]
    raise RecordError(f"run {run!r} does not exist{nearest(run, known) if known else ': there are no runs yet'}")


def _index(results: Path) -> Path:
    from gan_lib.reporting.html import write_index

    return write_index(results)


def _show(record: Record, width: int = 0) -> None:
    say(_one_line(record, width))
    for note in record.notes:
        say(f"  note: {note}")


def _one_line(record: Record, width: int = 0) -> str:
    each = record.summary.get("seconds_per_epoch")
    facts = [f"{record.epochs_done:,} epochs"] if record.epochs_done else []
    facts += [f"{each:.3g} s per epoch"] if each else []
    facts += [str(record.machine["label"])] if record.machine.get("label") else []
    facts += [record.reason] if record.reason else []
    return f"{record.name:<{width}}  {record.status:<11}  {', '.join(facts)}".rstrip()


class _Terminated(KeyboardInterrupt):
    """SIGTERM: treated like Ctrl-C, but for the exit code."""

    came = False


def _terminate(signum: int, frame: FrameType | None) -> NoReturn:
    _Terminated.came = True
    raise _Terminated


def main() -> None:
    """Run the command line. Exit codes: 0 all is well, 1 a run failed, 2 a user's mistake, 130 Ctrl-C, 143 SIGTERM."""
    signal.signal(signal.SIGTERM, _terminate)
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
        text = error.format_message()
        for line in text.splitlines():
            say(line if text.startswith("Usage:") else f"gan-lib: {line}", error=True)
        code = 2
    sys.exit(143 if code == 130 and _Terminated.came else code)  # typer makes 130 of every kind of KeyboardInterrupt


if __name__ == "__main__":
    main()
