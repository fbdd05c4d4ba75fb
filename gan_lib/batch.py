"""Many runs, one report: papermill runs the notebooks, one process each, and nbconvert renders them."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gan_lib.config import CONFIGURATIONS, RunConfig, run_name
from gan_lib.errors import GanLibError, RecordError, ReportError
from gan_lib.estimate import Estimate
from gan_lib.record import Record, RunFolder, check_same, is_finished, lock_holder, read_record
from gan_lib.words import nearest, shorten

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
REFERENCE = ROOT / "results" / "reference"
_POLL_SECONDS = 0.5


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


@dataclass(frozen=True)
class Job:
    """One run to make: its parameters and its folder."""

    config: RunConfig
    folder: Path

    @property
    def name(self) -> str:
        """ "gan-cpu--quick/seed-0"."""
        return run_name(self.config)


def plan(configs: Iterable[RunConfig], results: Path, fresh: bool = False) -> list[Job]:
    """The jobs of a batch, checked before anything starts.

    Raises RecordError when the results folder cannot be written, when a folder holds a run of other parameters, or when
    another process is writing one of the runs.
    """
    jobs = [Job(config, results / "runs" / run_name(config)) for config in configs]
    for folder in (results, *(job.folder for job in jobs)):
        _check_writable(folder)
    for job in jobs:
        if holder := lock_holder(job.folder):
            raise RecordError(f"{job.folder} is being written by process {holder}: wait for it, or delete its run.lock")
        if not fresh and (job.folder / "config.json").exists():
            check_same(job.folder, job.config)
    return jobs


def _check_writable(folder: Path) -> None:
    """Raise RecordError unless a folder, or the nearest one above it that exists, takes a file."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    probe = folder / ".writable"
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


def run_batch(jobs: list[Job], *, fresh: bool = False, show: Callable[[Progress], None] | None = None) -> list[Record]:
    """Make the runs one after the other; finished ones are kept unless fresh. One run's failure stops no other.

    Raises KeyboardInterrupt after marking the current run as interrupted and stopping its process.
    """
    for job in jobs:
        # What another machine finished stays: this one could not make it again.
        if (reason := _unavailable(job.config)) and not is_finished(job.folder):
            RunFolder(job.folder).create(job.config)
            RunFolder(job.folder).finish("unavailable", reason, epochs=0)
    to_do = [job for job in jobs if (fresh or not is_finished(job.folder)) and not _unavailable(job.config)]
    clock = Estimate(job.config for job in to_do)
    for number, job in enumerate(to_do, start=1):
        try:
            with contextlib.closing(_run_notebook(job)) as epochs:  # closed at once, also when showing the progress fails
                for epoch in epochs:
                    clock.see(job.config, epoch)
                    if show:
                        left = clock.left(job.config, epoch)
                        show(Progress(job.name, number, len(to_do), epoch, job.config.epochs, left, clock.measured))
        except GanLibError as error:
            _close(job, "failed", str(error))
        clock.done(job.config, _record(job).summary)
    return [_record(job) for job in jobs]


def execute(notebook: Path, output: Path, parameters: dict[str, Any], log: Path) -> subprocess.Popen[bytes]:
    """Start papermill on a notebook in a process of its own.

    Paths are given relative to the repository, so that an executed notebook does not carry this machine's folders about.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "papermill", _relative(notebook), _relative(output), "--kernel", "python3"]
    command += ["--cwd", _relative(notebook.parent), "--no-progress-bar", "--log-output"]
    command += ["--parameters_yaml", yaml.safe_dump(parameters, allow_unicode=True)]
    with log.open("wb") as file:
        # stdin closed and Ctrl-C kept away from it: only the batch decides how a run ends.
        return subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a papermill process and its kernel: it shuts its kernel down when interrupted, not when terminated."""
    for sign, patience in ((signal.SIGINT, 15), (signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        if process.poll() is not None:
            return
        process.send_signal(sign)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue


def check_parameters(notebook: Path, parameters: Iterable[str]) -> None:
    """Refuse a parameter that the notebook does not declare: papermill itself would only warn."""
    import papermill

    declared = papermill.inspect_notebook(str(notebook))
    for name in parameters:
        if name not in declared:
            raise GanLibError(f"{notebook.name} declares no parameter {name!r}; it has {', '.join(declared)}")


def with_siblings(experiments: Iterable[str], results: Path) -> list[str]:
    """Some experiments, and those of the same variant on disk of the configurations that they leave out."""
    chosen = {name.partition("--")[0]: name for name in experiments}
    variants = {name.partition("--")[2] for name in chosen.values()}
    for configuration in CONFIGURATIONS.keys() - chosen.keys():
        for variant in sorted(variants):
            name = f"{configuration}--{variant}" if variant else configuration
            if (results / "runs" / name).is_dir():
                chosen[configuration] = name
    return sorted(chosen.values())


def compare(results: Path, experiments: list[str]) -> Path:
    """Execute 02_compare.ipynb on some experiments (folders below runs) and render it; returns the HTML file.

    Raises RecordError when one of them does not exist, ReportError when the notebook fails.
    """
    from gan_lib.report import render

    known = sorted(path.name for path in (results / "runs").glob("*") if path.is_dir())
    for name in experiments:
        if name not in known:
            raise RecordError(f"experiment {shorten(name)} does not exist in {results / 'runs'}{nearest(name, known)}")
    output = results / "comparison.ipynb"
    parameters = {
        "results_dir": _relative(results / "runs", NOTEBOOKS),
        "reference_dir": _relative(REFERENCE, NOTEBOOKS),
        "experiments": experiments,
        "bench_dir": _relative(bench if (bench := results / "bench").is_dir() else ROOT / "results" / "bench", NOTEBOOKS),
    }
    log = results / "comparison.log"
    process = execute(NOTEBOOKS / "02_compare.ipynb", output, parameters, log)
    try:
        code = process.wait()
    finally:
        stop(process)
    if code:
        raise ReportError(f"the comparison failed: {_last_line(log)} (all of it in {log})")
    log.unlink()
    return render(output, results / "comparison.html", "The GAN configurations compared")


def _run_notebook(job: Job) -> Generator[int]:
    """Run 01_train.ipynb into a run's folder, yielding the epochs done so far about twice a second."""
    notebook, output, log = NOTEBOOKS / "01_train.ipynb", job.folder / "notebook.ipynb", job.folder / "run.log"
    parameters = {
        **job.config.model_dump(mode="json"),
        "results_dir": _relative(job.folder.parent.parent, NOTEBOOKS),
        "live": False,
    }
    check_parameters(notebook, parameters)
    job.folder.mkdir(parents=True, exist_ok=True)
    RunFolder(job.folder).clear()
    for stale in (output, log, job.folder / "report.html"):
        stale.unlink(missing_ok=True)
    process = execute(notebook, output, parameters, log)
    try:
        while process.poll() is None:
            yield _epochs_written(job.folder)
            time.sleep(_POLL_SECONDS)
    except BaseException:
        stop(process)
        _close(job, "interrupted", "stopped while it was running")
        raise
    _settle(job, process.returncode, log)
    _render_run(job, output)


def _settle(job: Job, code: int, log: Path) -> None:
    """The run's status, from the exit code of its process and what its record says; never from papermill's own metadata."""
    summary = _summary(job.folder)
    if code == 0 and summary.get("status") == "ok":
        log.unlink(missing_ok=True)
        return
    if summary.get("status") in ("failed", "unavailable", "interrupted"):
        return
    if summary.get("status") == "ok":
        _close(job, "failed", f"trained, but the notebook failed afterwards: {_last_line(log)}")
    elif code < 0 or code > 128:  # papermill exits with 138 when its kernel is gone
        name = f" by {signal.Signals(-code).name}" if code < 0 else ""
        _close(job, "killed", f"the process was killed{name} (exit code {code}); out of memory is the usual cause")
    else:
        _close(job, "failed", _last_line(log))


def _close(job: Job, status: str, reason: str) -> None:
    """Write a run's last word where the run itself could not."""
    if not (job.folder / "config.json").exists():
        RunFolder(job.folder).create(job.config)
    before = {
        key: value
        for key, value in _summary(job.folder).items()
        if key not in ("status", "reason", "schema_version", "finished")
    }
    RunFolder(job.folder).finish(status, reason, **before)


def _record(job: Job) -> Record:
    """A job's record; one that cannot be read is a failed run, and stops no other."""
    try:
        return read_record(job.folder)
    except RecordError as error:
        return Record(job.folder, job.config, "failed", str(error))


def _render_run(job: Job, notebook: Path) -> None:
    from gan_lib.report import render

    if notebook.exists():
        render(notebook, job.folder / "report.html", f"{job.config.configuration}, seed {job.config.seed}")


def _unavailable(config: RunConfig) -> str | None:
    if config.machine == "cpu":
        return None  # without the seconds that importing torch takes
    from gan_lib.machine import unavailable_reason

    return unavailable_reason(config.machine)


def _epochs_written(folder: Path) -> int:
    try:
        return max(0, (folder / "history.csv").read_bytes().count(b"\n") - 1)
    except OSError:
        return 0


def _summary(folder: Path) -> dict[str, Any]:
    try:
        value = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "nothing was printed"


def _relative(path: Path, start: Path = ROOT) -> str:
    return os.path.relpath(path.resolve(), start)
