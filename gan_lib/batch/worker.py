"""The task of a Dask worker: start a run's process, wait for it, and stop it when it is no longer wanted.

The worker's own process trains nothing: training would hold the interpreter's lock, and the worker could not send heartbeats.
"""

import contextlib
import functools
import hashlib
import importlib.metadata
import multiprocessing
import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import distributed
from distributed.comm import get_address_host
from distributed.utils import sync

from gan_lib.batch import travel
from gan_lib.batch.job import Job, Run, is_done, record_of
from gan_lib.batch.notebooks import NOTEBOOKS, stop
from gan_lib.config import RunConfig
from gan_lib.errors import ConfigurationError
from gan_lib.presets import run_name
from gan_lib.runs.record import Record, lock_holder

_POLL_SECONDS = 0.5
_LOCKED = 120.0  # seconds that the process of a lost worker may still hold its run's folder
_SECONDS = 10.0  # that the scheduler may take to answer
_stopped: set[str] = set()  # batches whose runs are to stop
_starting = threading.Lock()


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions that a run's bits depend on."""
    source = hashlib.sha256()
    for path in (*sorted(Path(__file__).parents[1].rglob("*.py")), NOTEBOOKS / "01_train.ipynb"):
        source.update(path.read_bytes())
    packages = {name: importlib.metadata.version(name) for name in ("torch", "numpy")}
    return {"Python": ".".join(platform.python_version_tuple()[:2]), **packages, "gan-lib's source": source.hexdigest()[:12]}


def check_versions(there: dict[str, str], here: dict[str, str], address: str) -> None:
    """Raise ConfigurationError where a worker has other versions, and so would give other bits."""
    if changed := [f"{name} is {there.get(name)} there, {here[name]} here" for name in here if there.get(name) != here[name]]:
        raise ConfigurationError(f"worker {address} must have this machine's versions: {', '.join(changed)}")


def token_file(results: Path, token: str) -> Path:
    """Return the file by which a worker recognises the results folder of the client."""
    return results / f".cluster-{token[:8]}"


def look(results: str, token: str) -> tuple[dict[str, str], int, bool]:
    """A worker's versions, its cores, and whether it shares the results folder."""
    from gan_lib.runs.machine import physical_cores

    return versions(), physical_cores(), _shares(Path(results), token)


def _shares(results: Path, token: str) -> bool:
    with contextlib.suppress(OSError):
        return token_file(results, token).read_text(encoding="utf-8") == token and os.access(results, os.W_OK)
    return False


def stop_batch(token: str) -> None:
    """Stop a batch's runs on this worker."""
    _stopped.add(token)


def make(order: dict[str, Any]) -> dict[str, Any]:
    """The task: make one run in a process of its own.

    order: the run's config, the options of its Run, and the batch's token, results folder, versions and threads; with what
    there is of the run, packed. Returns its status, notes on what went wrong beside it, and where the results folder is not
    shared the run folder, packed; or that the worker was lost.
    """
    worker, token = distributed.get_worker(), order["token"]
    key = worker.get_current_task()
    check_versions(versions(), order["versions"], worker.address)
    # A daemon process may have no children, because they could outlive it. Ours end with it, however it ends.
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]

    def wanted() -> bool:
        """Whether the batch, the task and the worker all still run."""
        task = worker.state.tasks.get(key)
        executing = task is not None and task.state in ("executing", "long-running")
        return executing and token not in _stopped and worker.status == distributed.Status.running

    with contextlib.ExitStack() as stack:
        results, config = Path(order["results"]), RunConfig(**order["config"])
        if not (shared := _shares(results, token)):
            results = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gan-lib-", dir=worker.local_directory)))
        job = Job(config, results / "runs" / run_name(config))
        if not shared and order["archive"]:
            travel.unpack(order["archive"], job.folder)
        options = {**order["options"], "threads": _threads(worker, order["threads"])}
        record = _make(job, wanted, lambda epochs: worker.log_event(token, [job.name, epochs]), **options)
        if record is None and token not in _stopped:
            return {"lost": True}
        notes = [note for note in record.notes if note not in record_of(job).notes] if record else []
        return {"status": record_of(job).status, "notes": notes, "archive": b"" if shared else travel.pack(job.folder)}


def _make(job: Job, wanted: Callable[[], bool], say: Callable[[int], None], **options: Any) -> Record | None:
    """Make a run and report its epochs. Return None where it was stopped, with a checkpoint, because it is not wanted."""
    deadline = time.monotonic() + _LOCKED
    while lock_holder(job.folder) is not None and wanted() and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)  # the worker that had it was lost, and its process is about to stop
    job.record = record_of(job)
    if is_done(job.record):
        return job.record
    if not wanted():
        return None
    with _starting:
        run = Run(job, **options)
    epochs = -1
    while True:
        with _starting:  # it may start again
            if record := run.poll():
                return record
        if run.process and not wanted():
            stop(run.process)
            run.interrupted()
            return record if (record := record_of(job)).status == "ok" else None
        if run.epochs != epochs:
            say(epochs := run.epochs)
        wait([run.process.sentinel] if run.process else [], _POLL_SECONDS)


def _threads(worker: distributed.Worker, most: int) -> int:
    """Return the threads of a run here: as many as everywhere, or fewer on a host that joined later and has fewer cores."""
    from gan_lib.runs.machine import physical_cores

    workers = sync(worker.loop, worker.scheduler.identity, callback_timeout=_SECONDS)["workers"].values()
    slots = sum(each["nthreads"] for each in workers if each["host"] == get_address_host(worker.address))
    return max(1, min(most, physical_cores() // max(1, slots)))
