"""Many runs, one after another: all checked before the first starts, each in a process of its own."""

import contextlib
import importlib
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from gan_lib.batch.job import Job, hold, is_done, make, record_of, record_unavailable, unavailable
from gan_lib.batch.progress import Progress
from gan_lib.config import RunConfig
from gan_lib.errors import RecordError
from gan_lib.presets import run_name
from gan_lib.runs.locks import holder
from gan_lib.runs.record import Record, check_images, check_same, read_record
from gan_lib.runs.storage import refuse_outside

# What loading images depends on.
_SOURCE = ("data", "training_images", "selection", "data_seed", "image_size", "channels", "background", "skip_broken")


def plan(configs: Iterable[RunConfig], results: Path, fresh: bool = False) -> list[Job]:
    """The jobs of a batch, checked before anything starts.

    Raises RecordError when the results folder cannot be written, when links lead a run's folder out of it, when a folder
    holds a run of other parameters, or when another process is writing one of the runs.
    """
    jobs = [Job(config, results / "runs" / run_name(config)) for config in configs]
    for job in jobs:
        refuse_outside(job.folder, results)
    for folder in (results, *(job.folder for job in jobs)):
        _check_writable(folder)
    for job in jobs:
        for name in ("run.lock", "batch.lock"):
            if (pid := holder(job.folder / name)) is not None:
                raise RecordError(f"{job.folder} is being written by process {pid}: wait for it, or stop it")
        if (job.folder / "config.json").exists():
            if not fresh:
                check_same(job.folder, job.config)
            with contextlib.suppress(RecordError):  # of a damaged run: it is made again
                job.found = read_record(job.folder)
    return jobs


def _check_writable(folder: Path) -> None:
    """Raise RecordError unless a folder, or the nearest one above it that exists, takes a file."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):  # a new one, without a name where the system has such files
            pass
    except OSError as error:
        raise RecordError(f"results folder {folder} cannot be written: {error.strerror}") from error


def check_inputs(jobs: Iterable[Job], fresh: bool = False) -> list[str]:
    """Load the images of jobs; returns a line on each source.

    Raises what would only fail later, in a kernel, one line each: DataError or ConfigurationError for images or a precision
    that cannot be used, RecordError for images of a folder that were changed since a run of them was finished.
    """
    from gan_lib.data import load_images
    from gan_lib.runs.machine import pick_device, pick_precision, unavailable_reason

    checksums: dict[tuple[Any, ...], str] = {}
    lines: list[str] = []
    for job in jobs:
        finished = job.finished and not fresh
        if finished and not job.config.data.startswith("folder:"):
            continue
        if not finished and not unavailable_reason(job.config.machine):
            pick_precision(job.config.precision, pick_device(job.config.machine))
        source = tuple(getattr(job.config, name) for name in _SOURCE)
        if source not in checksums:
            images = load_images(job.config)
            checksums[source] = images.checksum
            lines.append(f"{job.config.data}: {images.reading.text()}")
        if finished:
            check_images(job.folder, checksums[source])
    return list(dict.fromkeys(lines))


def run_batch(
    jobs: Sequence[Job],
    *,
    fresh: bool = False,
    timeout: float | None = None,
    retries: int = 0,
    check: Callable[[], object] = lambda: None,
    show: Callable[[Progress], None] = lambda progress: None,
    afterwards: Callable[[], object] = lambda: None,
) -> list[Record]:
    """Make the runs one after the other; finished ones are kept unless fresh, unfinished ones resume from their checkpoints.

    One run's failure stops no other. timeout: seconds after which a run is stopped, with a checkpoint. retries: how often a
    run that was killed is taken up again. check: what may refuse the batch, such as check_inputs, while the first process
    warms up. afterwards: is called while the last
    run is measured, to warm up what follows, as the next run's process is then. Raises KeyboardInterrupt after stopping the
    current run, with a checkpoint, and RecordError when another batch holds one of the runs.
    """
    records: dict[str, Record] = {}
    with contextlib.ExitStack() as stack:
        for job in jobs:
            stack.enter_context(hold(job))
        reasons = {job.name: unavailable(job.config) for job in jobs}
        to_do = [job for job in jobs if (fresh or not is_done(job.found)) and not reasons[job.name]]
        for job in to_do:
            stack.callback(job.stop)
        warm_ups = [*(job.warm_up for job in to_do), afterwards]
        warm_ups.pop(0)()
        check()
        if to_do:
            importlib.import_module("nbconvert")  # takes its half second while the kernel takes its own
        for job in jobs:
            if reason := reasons[job.name]:
                record_unavailable(job, reason, fresh)
        show_epoch = _shower(to_do, show)
        for job, warm_up_next in zip(to_do, warm_ups, strict=True):

            def see(epoch: int, job: Job = job, warm_up_next: Callable[[], object] = warm_up_next) -> None:
                show_epoch(job, epoch)
                if epoch >= job.config.epochs:  # no epoch is timed while another process starts
                    warm_up_next()

            records[job.name] = make(job, fresh=fresh, timeout=timeout, retries=retries, see=see)
        return [records.get(job.name) or record_of(job) for job in jobs]


def _shower(jobs: Sequence[Job], show: Callable[[Progress], None]) -> Callable[[Job, int], None]:
    """How an epoch of one of some jobs is shown: as its share of the arithmetic of all of them."""
    from gan_lib.training.flops import flops_per_epoch

    per_epoch = {job.name: flops_per_epoch(job.config) for job in jobs}
    total = sum(per_epoch[job.name] * job.config.epochs for job in jobs)

    def show_epoch(job: Job, epoch: int) -> None:
        before = jobs.index(job)
        done = sum(per_epoch[other.name] * other.config.epochs for other in jobs[:before]) + per_epoch[job.name] * epoch
        show(Progress(job.name, before + 1, len(jobs), epoch, job.config.epochs, done, total))

    return show_epoch


def relative_work(config: RunConfig, other: RunConfig) -> float:
    """How many times the arithmetic of another run's epoch one epoch of this run is."""
    from gan_lib.training.flops import flops_per_epoch

    return flops_per_epoch(config) / flops_per_epoch(other)


def measured_seconds(config: RunConfig, records: Iterable[Record]) -> tuple[float, str] | None:
    """Seconds that a run's training takes by the first record of its configuration, scaled by arithmetic, and its machine."""
    for record in records:
        seconds = record.summary.get("seconds_per_epoch")
        if record.config.configuration == config.configuration and isinstance(seconds, float):
            label = str(record.machine.get("label", "a machine without a name"))
            return seconds * relative_work(config, record.config) * config.epochs, label
    return None
