"""Many runs, one report: papermill runs the notebooks, one process each, and nbconvert renders them."""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gan_lib.config import RunConfig
from gan_lib.configurations import ALL_CONFIGURATIONS, run_name
from gan_lib.errors import RecordError, ReportError
from gan_lib.estimate import Estimate
from gan_lib.execution import NOTEBOOKS, ROOT, execute, last_line, relative, stop
from gan_lib.job import Job, hold, is_done, make, record_of, say_if_unavailable, unavailable
from gan_lib.locks import Lock, holder
from gan_lib.record import Record, check_same
from gan_lib.words import nearest, shorten

_PATIENCE = 600  # seconds for another batch's report, which takes half a minute
REFERENCE = ROOT / "results" / "reference"


@dataclass(frozen=True)
class Progress:
    """Where a batch is: one line's worth."""

    run: str
    number: int  # of this run, counted from 1
    runs: int
    epoch: int
    epochs: int
    seconds_left: float  # for everything that is still to do
    measured: bool  # False as long as seconds_left rests on a guess


def plan(configs: Iterable[RunConfig], results: Path, fresh: bool = False) -> list[Job]:
    """The jobs of a batch, checked before anything starts.

    Raises RecordError when the results folder cannot be written, when a folder holds a run of other parameters, or when
    another process is writing one of the runs.
    """
    jobs = [Job(config, results / "runs" / run_name(config)) for config in configs]
    for folder in (results, *(job.folder for job in jobs)):
        _check_writable(folder)
    for job in jobs:
        for name in ("run.lock", "batch.lock"):
            if (pid := holder(job.folder / name)) is not None:
                raise RecordError(f"{job.folder} is being written by process {pid}: wait for it, or stop it")
        if not fresh and (job.folder / "config.json").exists():
            check_same(job.folder, job.config)
    return jobs


def _check_writable(folder: Path) -> None:
    """Raise RecordError unless a folder, or the nearest one above it that exists, takes a file."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    probe = folder / f".writable-{os.getpid()}"  # two batches may look at once
    try:
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise RecordError(f"results folder {folder} cannot be written: {error.strerror}") from error


def check_inputs(configs: Iterable[RunConfig]) -> None:
    """Refuse what would only fail later, in a kernel: images that are not there or not whole, a precision that cannot be.

    Raises DataError or ConfigurationError, one line each.
    """
    from gan_lib.data import load_images
    from gan_lib.machine import pick_device, pick_precision, unavailable_reason

    for config in configs:
        if not unavailable_reason(config.machine):
            pick_precision(config.precision, pick_device(config.machine))
    what_loading_depends_on = ("data", "training_images", "selection", "data_seed", "image_size", "channels")
    for config in {tuple(getattr(config, name) for name in what_loading_depends_on): config for config in configs}.values():
        load_images(config)


def run_batch(
    jobs: list[Job],
    *,
    fresh: bool = False,
    timeout: float | None = None,
    retries: int = 0,
    show: Callable[[Progress], None] | None = None,
) -> list[Record]:
    """Make the runs one after the other; finished ones are kept unless fresh, unfinished ones go on from their checkpoints.

    One run's failure stops no other. timeout: seconds after which a run is stopped, with a checkpoint. retries: how often a
    run that was killed is taken up again. Raises KeyboardInterrupt after stopping the current run, with a checkpoint, and
    RecordError when another batch holds one of the runs.
    """
    with contextlib.ExitStack() as held:
        for job in jobs:
            held.enter_context(hold(job))
        for job in jobs:
            say_if_unavailable(job, fresh)
        to_do = [job for job in jobs if (fresh or not is_done(job)) and not unavailable(job.config)]
        clock = Estimate(job.config for job in to_do)
        troubles: dict[Job, str] = {}
        for number, job in enumerate(to_do, start=1):

            def see(epoch: int, number: int = number, job: Job = job) -> None:
                clock.see(job.config, epoch)
                if show:
                    left = clock.left(job.config, epoch)
                    show(Progress(job.name, number, len(to_do), epoch, job.config.epochs, left, clock.measured))

            if trouble := make(job, fresh, timeout, retries, see):
                troubles[job] = trouble
            clock.done(job.config, record_of(job).summary)
        return [_with_trouble(record_of(job), troubles.get(job)) for job in jobs]


def _with_trouble(record: Record, trouble: str | None) -> Record:
    """A record that also tells what its folder cannot say."""
    if trouble is None or trouble == record.reason:
        return record
    return replace(record, notes=[*record.notes, trouble])


def with_siblings(experiments: Iterable[str], results: Path) -> list[str]:
    """Some experiments, and those of the same variant on disk of the configurations that they leave out."""
    chosen = {name.partition("--")[0]: name for name in experiments}
    variants = {name.partition("--")[2] for name in chosen.values()}
    for configuration in ALL_CONFIGURATIONS.keys() - chosen.keys():
        for variant in sorted(variants):
            name = f"{configuration}--{variant}" if variant else configuration
            if (results / "runs" / name).is_dir():
                chosen[configuration] = name
    return sorted(chosen.values())


def compare(results: Path, experiments: list[str]) -> Path:
    """Execute 02_compare.ipynb on some experiments (folders below runs) and render it; returns the HTML file.

    Raises RecordError when one of them does not exist, ReportError when the notebook fails.
    """
    known = sorted(path.name for path in (results / "runs").glob("*") if path.is_dir())
    for name in experiments:
        if name not in known:
            raise RecordError(f"experiment {shorten(name)} does not exist in {results / 'runs'}{nearest(name, known)}")
    return write_comparison(results / "runs", REFERENCE, experiments, results / "comparison.html")


def write_comparison(runs: Path, reference: Path, experiments: list[str], page: Path) -> Path:
    """Execute 02_compare.ipynb on some experiments below a folder of runs, which may be the reference runs' own."""
    bench = page.parent / "bench"
    parameters = {
        "results_dir": relative(runs, NOTEBOOKS),
        "reference_dir": relative(reference, NOTEBOOKS),
        "experiments": experiments,
        "bench_dir": relative(bench if bench.is_dir() else ROOT / "results" / "bench", NOTEBOOKS),
    }
    return report("02_compare.ipynb", parameters, page, "The GAN configurations compared")


def report(notebook: str, parameters: dict[str, Any], page: Path, title: str) -> Path:
    """Execute a notebook and render it to a page; returns the page. Raises ReportError when the notebook fails."""
    from gan_lib.report import render

    output, log = page.with_suffix(".ipynb"), page.with_suffix(".log")
    with _alone_with(page):
        process = execute(NOTEBOOKS / notebook, output, parameters, log)
        try:
            code = process.wait()
        finally:
            stop(process)
        if code:
            raise ReportError(f"{notebook} failed: {last_line(log)} (all of it in {log})")
        log.unlink()
        return render(output, page, title)


@contextlib.contextmanager
def _alone_with(page: Path) -> Iterator[None]:
    """Wait until no other process writes a page: two batches in one results folder may be through at the same time.

    Raises RecordError when the other one takes longer than any report does.
    """
    page.parent.mkdir(parents=True, exist_ok=True)
    lock, deadline = Lock(page.with_suffix(".lock")), time.monotonic() + _PATIENCE
    while True:
        try:
            lock.acquire()  # which itself waits for a moment
            break
        except RecordError:
            if time.monotonic() > deadline:
                raise
    try:
        yield
    finally:
        lock.release()
