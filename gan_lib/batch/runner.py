"""Many runs, one report: papermill runs the notebooks, one process each, and nbconvert renders them."""

import contextlib
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from gan_lib.batch.job import Job, hold, is_done, make, record_of, say_if_unavailable, unavailable
from gan_lib.batch.progress import Estimate, Progress
from gan_lib.config import RunConfig
from gan_lib.errors import RecordError
from gan_lib.presets import run_name
from gan_lib.runs.locks import holder
from gan_lib.runs.record import Record, check_images, check_same


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
    from gan_lib.runs.machine import pick_device, pick_precision, unavailable_reason

    for config in configs:
        if not unavailable_reason(config.machine):
            pick_precision(config.precision, pick_device(config.machine))
    for config in {_source(config): config for config in configs}.values():
        load_images(config)


def check_finished(jobs: Iterable[Job]) -> None:
    """Raise RecordError where a folder's images were changed since a run of them was finished."""
    from gan_lib.data import load_images

    checksums: dict[tuple[Any, ...], str] = {}
    for job in jobs:
        if job.config.data.startswith("folder:"):
            if (source := _source(job.config)) not in checksums:
                checksums[source] = load_images(job.config).checksum
            check_images(job.folder, checksums[source])


def _source(config: RunConfig) -> tuple[Any, ...]:
    """What loading images depends on."""
    names = ("data", "training_images", "selection", "data_seed", "image_size", "channels", "background", "skip_broken")
    return tuple(getattr(config, name) for name in names)


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
