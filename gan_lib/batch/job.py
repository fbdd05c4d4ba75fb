"""One run to make: its notebook in a process of its own, and what became of it, told from evidence."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan_lib.batch.exit_reason import describe, oom_kills
from gan_lib.batch.notebooks import NOTEBOOKS, check_parameters, execute, last_line, last_lines, relative, stop
from gan_lib.config import RunConfig
from gan_lib.errors import GanLibError, RecordError, ReportError
from gan_lib.presets import run_name
from gan_lib.runs.locks import Lock, noted_holder
from gan_lib.runs.record import Record, RunFolder, count_epochs, is_finished, lock_holder, read_record
from gan_lib.runs.storage import read_json
from gan_lib.text import duration, one_line

_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Job:
    """One run to make: its parameters and its folder."""

    config: RunConfig
    folder: Path

    @property
    def name(self) -> str:
        """ "gan-cpu--quick/seed-0"."""
        return run_name(self.config)


def make(job: Job, fresh: bool, timeout: float | None, retries: int, see: Callable[[int], None]) -> str | None:
    """Make one run; returns what went wrong beside the run itself, if anything did."""
    trouble = None
    for attempt in range(1 + retries):
        try:
            if (pid := lock_holder(job.folder)) is not None:  # since the batch was planned: a notebook in JupyterLab, say
                return f"{job.folder} is being written by process {pid}: left alone"
            if fresh and not attempt:
                RunFolder(job.folder).clear()
            _run_notebook(job, timeout, see)
        except ReportError as error:  # the run itself is whole
            trouble = str(error)
        except (GanLibError, OSError) as error:
            trouble = one_line(error)
            with contextlib.suppress(OSError, RecordError):
                _close(job, "failed", trouble)
        if record_of(job).status not in ("killed", "lost"):
            break
    return trouble


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


def say_if_unavailable(job: Job, fresh: bool) -> None:
    """Say of a run that this machine cannot make that it is unavailable; what another machine finished of it stays.

    fresh: in place of an unfinished one, also of other parameters.
    """
    reason = unavailable(job.config)
    if reason and not is_finished(job.folder):
        folder = RunFolder(job.folder)
        folder.create(job.config) if fresh else folder.reopen(job.config)
        folder.finish("unavailable", reason, epochs=count_epochs(job.folder))


def is_done(job: Job) -> bool:
    """Whether a run is finished and has its report: one that was trained and not yet rendered only runs its notebook again.

    One that is kept as a record alone, without weights, has nothing left to render.
    """
    rendered, weights = (job.folder / name for name in ("report.html", "generator.safetensors"))
    return is_finished(job.folder) and (rendered.exists() or not weights.exists())


def _run_notebook(job: Job, timeout: float | None, see: Callable[[int], None]) -> None:
    """Run 01_train.ipynb into a run's folder and render it; `see` is told the epochs done so far about twice a second."""
    notebook, output, log = NOTEBOOKS / "01_train.ipynb", job.folder / "notebook.ipynb", job.folder / "run.log"
    parameters = {
        "configuration": job.config.configuration,
        **job.config.model_dump(mode="json", exclude={"model", "machine"}),
        "results_dir": relative(job.folder.parent.parent, NOTEBOOKS),
        "live": False,
    }
    check_parameters(notebook, parameters)
    stale_files = [output, log, job.folder / "report.html"]
    if not is_finished(job.folder):
        stale_files.append(job.folder / "summary.json")  # how it ended last time is no evidence of how it ends now
    for stale in stale_files:
        stale.unlink(missing_ok=True)
    oom_before = oom_kills()
    deadline = time.monotonic() + (timeout or math.inf)
    process = execute(notebook, output, parameters, log, job.folder / "run.lock")
    try:
        while process.poll() is None and time.monotonic() < deadline:
            see(count_epochs(job.folder))
            time.sleep(_POLL_SECONDS)
    except BaseException:
        stop(process)
        _close_stopped(job, "interrupted", "stopped while it was running")
        raise
    if process.poll() is None:
        stop(process)
        _close_stopped(job, "timed-out", f"stopped after {duration(timeout or 0)}, as --timeout asks")
    else:
        stop(process)
        _settle(job, process.returncode, oom_before)
    _render_run(job, output)


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
    elif code < 0 or code > 128:
        pid = None if code < 0 else noted_holder(job.folder / "run.lock")
        who = "its notebook's process was " if code < 0 else ""
        _close(job, "killed", who + describe(abs(code) if code < 0 else code - 128, pid, oom_before))
    elif code == 0:
        _close(job, "lost", "its notebook ended without a word from the run")
    else:
        _close(job, "failed", last_line(log))


def _close_stopped(job: Job, status: str, reason: str) -> None:
    """The last word on a run that this batch stopped, unless it was over before."""
    if _summary(job.folder).get("status") in ("interrupted", None):
        _close(job, status, reason)


def _close(job: Job, status: str, reason: str) -> None:
    """Write a run's last word where the run itself could not."""
    if lock_holder(job.folder) is not None:
        return
    folder = RunFolder(job.folder)
    if not (job.folder / "config.json").exists():
        folder.create(job.config)
    known = _summary(job.folder)
    before = {key: known[key] for key in known.keys() - {"status", "reason", "schema_version", "finished"}}
    folder.finish(status, reason, **{"epochs": count_epochs(job.folder), **before})
    (job.folder / "run.lock").unlink(missing_ok=True)


def record_of(job: Job) -> Record:
    """A job's record; one that cannot be read is a failed run, and stops no other."""
    try:
        return read_record(job.folder)
    except RecordError as error:
        return Record(job.folder, job.config, "failed", str(error))


def _render_run(job: Job, notebook: Path) -> None:
    from gan_lib.reporting.html import render

    if not notebook.exists():
        return
    record = record_of(job)
    trouble = said = ""
    if record.status != "ok":
        trouble = f"{record.status}: {record.reason}"
        said = last_lines(job.folder / "run.log")
    render(notebook, job.folder / "report.html", f"{job.config.configuration}, seed {job.config.seed}", trouble, said)


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
