"""One run to make: its notebook in a process of its own, and what became of it, judged by evidence."""

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from gan_lib.batch.exit_reason import describe, oom_kills
from gan_lib.batch.notebooks import NOTEBOOKS, check_parameters, last_line, last_lines, relative, start_notebook, stop
from gan_lib.config import RunConfig
from gan_lib.errors import GanLibError, RecordError, ReportError
from gan_lib.presets import run_name
from gan_lib.runs.locks import Lock
from gan_lib.runs.record import Record, RunFolder, count_epochs, lock_holder, read_record
from gan_lib.runs.storage import read_json
from gan_lib.text import duration, one_line

_PATIENCE = 12.0  # seconds: notebooks.py gives a process ten to stop


@dataclass
class Job:
    """One run to make: its parameters, its folder, and the record that was there when the batch was planned."""

    config: RunConfig
    folder: Path
    record: Record | None = None

    @property
    def name(self) -> str:
        """ "gan-cpu--quick/seed-0"."""
        return run_name(self.config)

    @property
    def finished(self) -> bool:
        """Whether the run was trained to its end before this batch."""
        return self.record is not None and self.record.status == "ok"


class Run:
    """A job that is being made. Whatever goes wrong with it is noted in its record, and stops no other."""

    def __init__(
        self, job: Job, *, fresh: bool = False, timeout: float | None = None, retries: int = 0, threads: int = 0
    ) -> None:
        """Start it. timeout: seconds until it is stopped. retries: how often it is resumed after it was killed."""
        self.job, self._timeout, self._retries, self._threads = job, timeout, retries, threads
        self.process: BaseProcess | None = None
        self._trouble: str | None = None
        with self._noting():
            self._start(fresh)

    @property
    def epochs(self) -> int:
        """Epochs that are done."""
        return count_epochs(self.job.folder)

    def poll(self) -> Record | None:
        """Its record, with a note on what went wrong beside the run itself; None while it is being made."""
        process = self.process
        if process and process.is_alive() and time.monotonic() < self._deadline:
            return None
        if process:
            with self._noting():
                if process.is_alive():
                    stop(process)
                    close_stopped(self.job, "timed-out", f"stopped after {duration(self._timeout or 0)}, as --timeout asks")
                else:
                    self._settle(process)
                _render_trouble(record_of(self.job))
            self.process = None
        record = record_of(self.job)
        if record.status in ("killed", "lost") and self._retries:
            self._retries -= 1
            with self._noting():
                self._start(fresh=False)
            return None
        if self._trouble is None or self._trouble == record.reason:
            return record
        return replace(record, notes=[*record.notes, self._trouble])

    def interrupted(self) -> None:
        """Record that its process was stopped."""
        close_stopped(self.job, "interrupted", "stopped while it was running")

    def _start(self, fresh: bool) -> None:
        folder, config = self.job.folder, self.job.config
        if (pid := lock_holder(folder)) is not None:  # since the batch was planned: a notebook in JupyterLab, say
            raise ReportError(f"{folder} is being written by process {pid}: left alone")
        if fresh:
            RunFolder(folder).clear()
        stale_files = ["notebook.ipynb", "report.html"]
        if fresh or not self.job.finished:
            stale_files.append("summary.json")  # how it ended last time is no evidence of how it ends now
        for stale in stale_files:
            (folder / stale).unlink(missing_ok=True)
        notebook, page, log = NOTEBOOKS / "01_train.ipynb", folder / "report.html", folder / "run.log"
        parameters = {
            "configuration": config.configuration,
            **config.model_dump(mode="json", exclude={"model", "machine"}),
            "results_dir": relative(folder.parent.parent, NOTEBOOKS),
            "live": False,
        }
        check_parameters(notebook, parameters)
        self._oom_kills, self._deadline = oom_kills(), time.monotonic() + (self._timeout or math.inf)
        self.process = start_notebook(notebook, folder / "notebook.ipynb", parameters, log, page, _title(config), self._threads)

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except ReportError as error:  # the run itself is whole, or somebody else's
            self._trouble = str(error)
        except (GanLibError, OSError, EOFError) as error:
            self._trouble = one_line(error)
            with contextlib.suppress(OSError, RecordError):
                close(self.job, "failed", self._trouble)

    def _settle(self, process: BaseProcess) -> None:
        """The run's status, from the exit code of its process and what its record says; never from papermill's own metadata."""
        deadline = time.monotonic() + _PATIENCE
        while lock_holder(self.job.folder) is not None and time.monotonic() < deadline:
            time.sleep(0.1)  # its server was killed, and the process itself notices
        log, code, status = self.job.folder / "run.log", process.exitcode or 0, _summary(self.job).get("status")
        if code == 0 and status == "ok":
            log.unlink(missing_ok=True)
        elif status == "ok":
            # Trained and recorded: only its report is missing, which the next batch makes up for.
            raise ReportError(f"{self.job.name} is trained, but its notebook failed afterwards: {last_line(log)}")
        elif status in ("failed", "unavailable", "interrupted"):
            return
        elif code < 0:
            words = last_lines(log, 1)[:300]
            reason = describe(-code, process.pid, self._oom_kills)
            close(self.job, "killed", reason + (f"; its last line: {words}" if words else ""))
        elif code == 0:
            close(self.job, "lost", "its notebook ended without a word from the run")
        else:
            close(self.job, "failed", last_line(log))


def close_stopped(job: Job, status: str, reason: str) -> None:
    """Record the end of a run that a batch stopped, unless it was over before."""
    if _summary(job).get("status") in ("interrupted", None):
        close(job, status, reason)


def close(job: Job, status: str, reason: str) -> None:
    """Record the end of a run where the run itself could not."""
    folder, known = RunFolder(job.folder), _summary(job)
    if known.get("status") == "ok" or lock_holder(folder.path) is not None:
        return
    if not (folder.path / "config.json").exists():
        folder.create(job.config)
    before = {key: known[key] for key in known.keys() - {"status", "reason", "schema_version", "finished"}}
    folder.finish(status, reason, **{"epochs": count_epochs(job.folder), **before})
    (folder.path / "run.lock").unlink(missing_ok=True)


def _summary(job: Job) -> dict[str, Any]:
    with contextlib.suppress(RecordError):
        return read_json(job.folder / "summary.json", missing={})
    return {}


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


def record_of(job: Job) -> Record:
    """A job's record; one that cannot be read is a failed run, and stops no other."""
    try:
        return read_record(job.folder)
    except RecordError as error:
        return Record(job.folder, job.config, "failed", str(error))


def _render_trouble(record: Record) -> None:
    """The page of a run that did not end well, which its own process could not make."""
    notebook = record.path / "notebook.ipynb"
    if record.status != "ok" and notebook.exists():
        from gan_lib.reporting.html import render

        log = last_lines(record.path / "run.log")
        render(notebook, record.path / "report.html", _title(record.config), f"{record.status}: {record.reason}", log)


def _title(config: RunConfig) -> str:
    return f"{config.configuration}, seed {config.seed}"


def unavailable(config: RunConfig) -> str | None:
    """Why this machine cannot make a run, or None when it can."""
    if config.machine == "cpu":
        return None  # without the seconds that importing torch takes
    from gan_lib.runs.machine import unavailable_reason

    return unavailable_reason(config.machine)
