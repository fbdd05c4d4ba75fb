"""Many runs, one after another or side by side: all checked before the first starts, each in a process of its own."""

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Protocol

from gan_lib.batch.job import Job, Run, hold, is_done, record_of, record_unavailable, unavailable
from gan_lib.batch.notebooks import stop, warm_up
from gan_lib.batch.progress import Progress
from gan_lib.config import RunConfig
from gan_lib.errors import ConfigurationError, RecordError
from gan_lib.presets import epochs_for_few, run_name
from gan_lib.runs.locks import holder
from gan_lib.runs.record import Record, check_images, check_same, read_record
from gan_lib.runs.storage import refuse_outside
from gan_lib.text import duration

_POLL_SECONDS = 0.5
_OTHER_FILES = 1000  # that a batch may have open besides the locks of its runs
# What loading images depends on.
_SOURCE = ("data", "training_images", "selection", "data_seed", "image_size", "channels", "background", "skip_broken")


def plan(configs: Iterable[RunConfig], results: Path, fresh: bool = False) -> list[Job]:
    """The jobs of a batch, checked before anything starts.

    Raises RecordError when the results folder cannot be written, when links lead a run's folder out of it, when a folder
    holds a run of other parameters, or when another process is writing one of the runs.
    """
    jobs = [Job(config, results / "runs" / run_name(config)) for config in configs]
    if len({job.folder for job in jobs}) < len(jobs):
        raise ConfigurationError("name must tell runs apart (two of this batch would share a folder), got one for both")
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
                job.record = read_record(job.folder, series=False)
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
    """Load the images of jobs; return a line on each source, and a hint where a preset is too short for few images.

    Raises what would only fail later, in a kernel, one line each: DataError or ConfigurationError for images or a precision
    that cannot be used, RecordError for images of a folder that were changed since a run of them was finished.
    """
    from gan_lib.data import check_classes, load_images
    from gan_lib.runs.evaluation import too_few
    from gan_lib.runs.machine import pick_device, pick_precision, unavailable_reason

    loaded: dict[tuple[Any, ...], tuple[str, int, Any]] = {}  # checksum, number of images, and their labels
    lines: list[str] = []
    for job in jobs:
        finished = job.finished and not fresh
        if finished and not job.config.data.startswith("folder:"):
            continue
        if not finished and not unavailable_reason(job.config.machine):
            pick_precision(job.config.precision, pick_device(job.config.machine))
        source = tuple(getattr(job.config, name) for name in _SOURCE)
        if source not in loaded:
            images = load_images(job.config)
            loaded[source] = images.checksum, images.reading.used, images.train_labels
            lines.append(f"{job.config.data}: {images.reading.text()}")
            if not finished and job.config.evaluate_every and (reason := too_few(images)):
                lines.append(f"Quality will not be measured: {reason}")
        checksum, used, labels = loaded[source]
        check_classes(job.config, labels)
        if finished:
            check_images(job.folder, checksum)
        elif epochs := epochs_for_few(job.config, used):
            few = f"{job.config.epochs:,} epochs of {used:,} images are few steps"
            lines.append(f"{job.config.configuration}: {few}; --set epochs={epochs} makes as many as with 2,000 images")
    return list(dict.fromkeys(lines))


class Making(Protocol):
    """A run that is being made, here or elsewhere."""

    job: Job

    @property
    def epochs(self) -> int:
        """Epochs that are done."""

    def poll(self) -> Record | None:
        """Its record; None while it is being made."""


class Place(Protocol):
    """Where a batch's runs are made: this machine, or a cluster (cluster.py)."""

    def unavailable(self, config: RunConfig) -> str | None:
        """Why a run cannot be made there, or None when it can."""

    def share(self, jobs: Sequence[Job]) -> None:
        """Share out the cores. Raises ConfigurationError where each run would not get those that it asks for."""

    def has_room(self, config: RunConfig, running: Sequence[Any]) -> bool:
        """Whether a run can be made beside those that are."""

    def start(self, job: Job, **options: Any) -> Making:
        """Start a run. options: fresh, timeout and retries, as Run has them."""

    def wait(self, running: Sequence[Any]) -> None:
        """Wait a moment, or until a run ends."""

    def stop(self, running: Sequence[Any]) -> None:
        """Stop runs, with a checkpoint, and record it."""


class _Here:
    """This machine: so many runs side by side, which share its cores; on a GPU one by one."""

    def __init__(self, workers: int) -> None:
        self._workers, self._threads = workers, 0
        warm_up(training=True)

    def unavailable(self, config: RunConfig) -> str | None:
        return unavailable(config)

    def share(self, jobs: Sequence[Job]) -> None:
        if self._workers > 1:
            self._threads = share_cores(self._workers, jobs)

    def has_room(self, config: RunConfig, running: Sequence[Run]) -> bool:
        gpu_is_free = all(run.job.config.machine == "cpu" for run in running)
        return len(running) < self._workers and (config.machine == "cpu" or gpu_is_free)

    def start(self, job: Job, **options: Any) -> Run:
        return Run(job, threads=self._threads, **options)

    def wait(self, running: Sequence[Run]) -> None:
        wait([run.process.sentinel for run in running if run.process], _POLL_SECONDS)

    def stop(self, running: Sequence[Run]) -> None:
        stop(*(run.process for run in running if run.process))
        for run in running:
            run.interrupted()


def run_batch(
    jobs: Sequence[Job],
    *,
    workers: int = 1,
    cluster: Place | None = None,
    check: Callable[[], object] = lambda: None,
    show: Callable[[Progress], None] = lambda progress: None,
    fresh: bool = False,
    **options: Any,
) -> list[Record]:
    """Make the runs; finished ones are kept unless fresh, unfinished ones resume from their checkpoints.

    One run's failure stops no other. workers: runs side by side, which share the cores. cluster: where they are made, in place
    of this machine. check: what may refuse the batch, such as check_inputs. options: a Run's timeout and retries. Raises
    ConfigurationError for more workers than cores, KeyboardInterrupt after stopping the current runs, with a checkpoint, and
    RecordError when another batch holds one of them.
    """
    with contextlib.ExitStack() as stack:
        _allow_files(len(jobs))
        for job in jobs:
            stack.enter_context(hold(job))
        place = cluster or _Here(workers)
        reasons = {job.name: place.unavailable(job.config) for job in jobs}
        to_do = [job for job in jobs if (fresh or not is_done(job.record)) and not reasons[job.name]]
        place.share(to_do)
        check()
        for job in jobs:
            if reason := reasons[job.name]:
                record_unavailable(job, reason, fresh)
        records = _make(to_do, place, show, fresh=fresh, **options)
        return [records.get(job.name) or record_of(job) for job in jobs]


def _allow_files(count: int) -> None:
    """Raise the soft limit of open files, often 1,024: a batch keeps one lock file open for each run."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # Windows has no such limit
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = count + _OTHER_FILES if hard == resource.RLIM_INFINITY else min(count + _OTHER_FILES, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def share_cores(workers: int, jobs: Iterable[Job]) -> int:
    """The threads of each run where so many share the cores. Raises ConfigurationError where they would not get one each."""
    from gan_lib.runs.machine import physical_cores

    cores = physical_cores()
    if workers > cores:
        raise ConfigurationError(f"workers must be at most {cores} (one for each core of this machine), got {workers}")
    check_threads(jobs, cores // workers, f"{workers} workers share {cores} cores")
    return cores // workers


def check_threads(jobs: Iterable[Job], most: int, why: str) -> None:
    """Raise ConfigurationError where a run asks for more threads than its share of the cores."""
    if (threads := max((job.config.threads for job in jobs), default=0)) > most:
        raise ConfigurationError(f"threads must be at most {most} ({why}), got {threads}")


def _make(jobs: Sequence[Job], place: Place, show: Callable[[Progress], None], **options: Any) -> dict[str, Record]:
    """Make runs, as many at once as there is room for; returns their records by name."""
    waiting, running, records = list(jobs), list[Making](), dict[str, Record]()
    progress = _progress(jobs)
    try:
        while waiting or running:
            able = next((job for job in waiting if place.has_room(job.config, running)), None)
            if able:
                waiting.remove(able)
                running.append(place.start(able, **options))
                continue
            show(progress(running, records))
            place.wait(running)
            for run in running[:]:
                if record := run.poll():
                    records[run.job.name] = record
                    running.remove(run)
    except BaseException:
        place.stop(running)
        raise
    return records


def _progress(jobs: Sequence[Job]) -> Callable[[Sequence[Making], dict[str, Record]], Progress]:
    """How far some jobs are, as the share of the arithmetic of all of them that is done."""
    from gan_lib.training.flops import flops_per_epoch

    work = {job.name: flops_per_epoch(job.config) for job in jobs}
    total = sum(work[job.name] * job.config.epochs for job in jobs)

    def progress(running: Sequence[Making], records: dict[str, Record]) -> Progress:
        runs = tuple((run.job.name, run.epochs, run.job.config.epochs) for run in running)
        failed = sum(record.status != "ok" for record in records.values())
        done = sum(work[job.name] * job.config.epochs for job in jobs if job.name in records)
        done += sum(work[name] * epoch for name, epoch, _ in runs)
        return Progress(runs, len(jobs) - len(records) - len(runs), len(records) - failed, failed, done, total)

    return progress


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


def describe_plan(jobs: Iterable[Job], known: Sequence[Record], fresh: bool = False) -> list[str]:
    """What would run and how long, a line for each job and one for all; known: the runs that seconds are estimated from."""
    lines, total = [], 0.0
    for job in jobs:
        left = job.config.epochs - (0 if fresh or job.record is None else job.record.epochs_done)
        what = f"{left:,} epoch{'' if left == 1 else 's'}"
        if job.finished and not fresh:
            what = "finished already"
        elif reason := unavailable(job.config):
            what = f"unavailable: {reason}"
        elif estimate := measured_seconds(job.config, known):
            seconds = estimate[0] * left / job.config.epochs
            total += seconds
            what += f", about {duration(seconds)} as measured on {estimate[1]}"
        else:
            what += ", never measured"
        lines.append(f"{job.name}  {what}")
    return [*lines, f"About {duration(total)} of training in all."]
