"""One run to make: its notebook in a process of its own, and what became of it, told from evidence."""

import contextlib
import math
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gan_lib.batch.exit_reason import describe, oom_kills
from gan_lib.batch.notebooks import NOTEBOOKS, NotebookProcess, check_parameters, last_line, last_lines, relative
from gan_lib.config import RunConfig
from gan_lib.errors import GanLibError, RecordError, ReportError
from gan_lib.presets import run_name
from gan_lib.runs.locks import Lock, noted_holder
from gan_lib.runs.record import Record, RunFolder, count_epochs, lock_holder, read_record
from gan_lib.runs.storage import read_json
from gan_lib.text import duration, one_line

_POLL_SECONDS = 0.5
_PATIENCE = 10.0  # seconds: a kernel whose process was killed is gone after one


@dataclass
class Job:
    """One run to make: its parameters, its folder, and the record that was there when the batch was planned."""

    config: RunConfig
    folder: Path
    found: Record | None = None
    _process: NotebookProcess | None = None

    @property
    def name(self) -> str:
        """ "gan-cpu--quick/seed-0"."""
        return run_name(self.config)

    @property
    def finished(self) -> bool:
        """Whether the run was trained to its end before this batch."""
        return self.found is not None and self.found.status == "ok"

    def warm_up(self) -> None:
        """Start the process of the run's notebook, which then waits. A run that cannot start says so when it is made."""
        with contextlib.suppress(OSError):
            self._process = self._process or self._start()

    def take(self) -> NotebookProcess:
        """The process, for one attempt: the next takes another."""
        process, self._process = self._process or self._start(), None
        return process

    def _start(self) -> NotebookProcess:
        results = relative(self.folder.parent.parent, NOTEBOOKS)
        parameters = {
            "configuration": self.config.configuration,
            **self.config.model_dump(mode="json", exclude={"model", "machine"}),
            "results_dir": results,
            "live": False,
        }
        notebook, log, lock = NOTEBOOKS / "01_train.ipynb", self.folder / "run.log", self.folder / "run.lock"
        check_parameters(notebook, parameters)
        return NotebookProcess(notebook, self.folder / "notebook.ipynb", parameters, log, lock)

    def stop(self) -> None:
        """End a process that was warmed up and not used."""
        if self._process:
            self._process.stop()


def make(
    job: Job,
    *,
    fresh: bool = False,
    timeout: float | None = None,
    retries: int = 0,
    see: Callable[[int], None] = lambda epoch: None,
) -> Record:
    """Make one run; returns its record, with a note on what went wrong beside the run itself.

    see: is told the epochs done so far about twice a second.
    """
    for attempt in range(1 + retries):
        record = _attempt(job, fresh and not attempt, timeout, see)
        if record.status not in ("killed", "lost"):
            break
    return record


@contextlib.contextmanager
def hold(job: Job) -> Iterator[None]:
    """Keep other batches from a run, from before the first of this batch starts until the last one is over."""
    job.folder.mkdir(parents=True, exist_ok=True)
    lock = Lock(job.folder / "batch.lock")
    lock.acquire()
    try:
        yield
    finally:
        lock.release()
        with contextlib.suppress(OSError):  # not empty, as a rule
            for folder in (job.folder, job.folder.parent, job.folder.parent.parent):
                folder.rmdir()


def record_unavailable(job: Job, reason: str, fresh: bool) -> None:
    """Record that this machine cannot make a run; what another machine finished of it stays.

    fresh: in place of an unfinished one, also of other parameters.
    """
    if not job.finished:
        folder = RunFolder(job.folder)
        folder.create(job.config) if fresh else folder.reopen(job.config)
        folder.finish("unavailable", reason, epochs=count_epochs(job.folder))


def is_done(record: Record | None) -> bool:
    """Whether a run is finished and has its report: one that was trained and not yet rendered only runs its notebook again.

    One that is kept as a record alone, without weights, has nothing left to render.
    """
    if record is None or record.status != "ok":
        return False
    return (record.path / "report.html").exists() or not (record.path / "generator.safetensors").exists()


def _attempt(job: Job, fresh: bool, timeout: float | None, see: Callable[[int], None]) -> Record:
    trouble = None
    try:
        if (pid := lock_holder(job.folder)) is not None:  # since the batch was planned: a notebook in JupyterLab, say
            raise ReportError(f"{job.folder} is being written by process {pid}: left alone")
        if fresh:
            RunFolder(job.folder).clear()
        _execute(job, fresh, timeout, see)
        _render(record_of(job))
    except ReportError as error:  # the run itself is whole, or somebody else's
        trouble = str(error)
    except (GanLibError, OSError) as error:
        trouble = one_line(error)
        with contextlib.suppress(OSError, RecordError):
            _close(job, "failed", trouble)
    record = record_of(job)
    if trouble is None or trouble == record.reason:
        return record
    return replace(record, notes=[*record.notes, trouble])


def _execute(job: Job, fresh: bool, timeout: float | None, see: Callable[[int], None]) -> None:
    """Run 01_train.ipynb into a run's folder, and record how it ended where the run itself could not."""
    stale_files = ["notebook.ipynb", "report.html"]
    if fresh or not job.finished:
        stale_files.append("summary.json")  # how it ended last time is no evidence of how it ends now
    for stale in stale_files:
        (job.folder / stale).unlink(missing_ok=True)
    oom_before = oom_kills()
    deadline = time.monotonic() + (timeout or math.inf)
    process = job.take()
    try:
        process.go()
        while process.poll() is None and time.monotonic() < deadline:
            see(count_epochs(job.folder))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_SECONDS)
    except BaseException:
        process.stop()
        _close_stopped(job, "interrupted", "stopped while it was running")
        raise
    code = process.poll()
    process.stop()
    if code is None:
        _close_stopped(job, "timed-out", f"stopped after {duration(timeout or 0)}, as --timeout asks")
    else:
        _settle(job, code, oom_before)


def _settle(job: Job, code: int, oom_before: int | None) -> None:
    """The run's status, from the exit code of its process and what its record says; never from papermill's own metadata."""
    log = job.folder / "run.log"
    status = _summary(job.folder).get("status")
    if code == 0 and status == "ok":
        log.unlink(missing_ok=True)
    elif status == "ok":
        # Trained and recorded: only its report is missing, which the next batch makes up for.
        raise ReportError(f"{job.name} is trained, but its notebook failed afterwards: {last_line(log)}")
    elif status in ("failed", "unavailable", "interrupted"):
        return
    elif code < 0:
        _close(job, "killed", "its notebook's process was " + describe(-code, None, oom_before))
    elif code > 128:
        words = last_lines(log, 1)[:300]
        reason = describe(code - 128, noted_holder(job.folder / "run.lock"), oom_before)
        _close(job, "killed", reason + (f"; its last line: {words}" if words else ""))
    elif code == 0:
        _close(job, "lost", "its notebook ended without a word from the run")
    else:
        _close(job, "failed", last_line(log))


def _close_stopped(job: Job, status: str, reason: str) -> None:
    """The last word on a run that this batch stopped, unless it was over before."""
    if _summary(job.folder).get("status") in ("interrupted", None):
        _close(job, status, reason)


def _close(job: Job, status: str, reason: str) -> None:
    """Write a run's last word where the run itself could not, once its process is gone."""
    deadline = time.monotonic() + _PATIENCE
    while lock_holder(job.folder) is not None:
        if time.monotonic() > deadline:
            return
        time.sleep(0.1)
    folder, known = RunFolder(job.folder), _summary(job.folder)
    if known.get("status") == "ok":
        return
    if not (job.folder / "config.json").exists():
        folder.create(job.config)
    before = {key: known[key] for key in known.keys() - {"status", "reason", "schema_version", "finished"}}
    folder.finish(status, reason, **{"epochs": count_epochs(job.folder), **before})
    (job.folder / "run.lock").unlink(missing_ok=True)


def record_of(job: Job) -> Record:
    """A job's record; one that cannot be read is a failed run, and stops no other."""
    try:
        return read_record(job.folder)
    except RecordError as error:
        return Record(job.folder, job.config, "failed", str(error))


def _render(record: Record) -> None:
    from gan_lib.reporting.html import render

    notebook, title = record.path / "notebook.ipynb", f"{record.config.configuration}, seed {record.config.seed}"
    if not notebook.exists():
        return
    trouble = said = ""
    if record.status != "ok":
        trouble = f"{record.status}: {record.reason}"
        said = last_lines(record.path / "run.log")
    render(notebook, record.path / "report.html", title, trouble, said)


def unavailable(config: RunConfig) -> str | None:
    """Why this machine cannot make a run, or None when it can."""
    if config.machine == "cpu":
        return None  # without the seconds that importing torch takes
    from gan_lib.runs.machine import unavailable_reason

    return unavailable_reason(config.machine)


def _summary(folder: Path) -> dict[str, Any]:
    try:
        return read_json(folder / "summary.json", missing={})
    except RecordError:
        return {}
