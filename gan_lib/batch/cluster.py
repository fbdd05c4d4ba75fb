"""A Dask cluster as the place where a batch's runs are made. It needs the extra `cluster`, and this project on all machines."""

import contextlib
import logging
import re
import secrets
import threading
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import CancelledError
from dataclasses import replace
from pathlib import Path
from typing import Any

import distributed
from distributed.client import ClosedClientError
from distributed.comm import CommClosedError, get_address_host
from distributed.scheduler import KilledWorker

from gan_lib.batch import travel, worker
from gan_lib.batch.job import Job, close, close_stopped, record_of
from gan_lib.batch.runner import check_threads
from gan_lib.config import RunConfig
from gan_lib.errors import ClusterError, ConfigurationError, RecordError
from gan_lib.runs.record import Record, RunFolder, count_epochs
from gan_lib.runs.storage import write_bytes
from gan_lib.text import counted, one_line

_POLL_SECONDS = 0.5
_SECONDS = 10.0  # that a scheduler may take to answer
_AWAY = 60.0  # seconds that the scheduler may be away
_STOPPING = 30.0  # seconds for the runs to stop with a checkpoint, and to come back
_UNSEEN = 60.0  # seconds until a file that was written on another machine is seen here
_MOST_LOST = 5  # times that the scheduler may give up a run: by default after four lost workers


class Cluster:
    """A cluster's workers, inside `with`: one run for each of their threads, on a GPU where a worker has the resource GPU.

    Every run gets the same number of threads, the smallest number of cores per run on any host: all workers give equal bits.
    """

    def __init__(self, address: str, results: Path) -> None:
        """Raises ConfigurationError where no scheduler answers."""
        self.address, self.results, self.token = address, results, secrets.token_hex(16)
        self.epochs, self.stopping, self.shared = dict[str, int](), False, False
        self._woken, self._threads, self._cores = threading.Event(), 0, dict[str, int]()
        for name in ("distributed", "distributed.client"):  # each has a level of its own
            logging.getLogger(name).setLevel(logging.CRITICAL)  # this class reports what happens, in its own lines
        must = "--scheduler must be the address of a Dask scheduler that answers, such as tcp://127.0.0.1:8786"
        if not re.fullmatch(r"(tcp|tls)://\S+:\d{1,5}", address):  # a client that was never connected does not close
            raise ConfigurationError(f"{must}, got {address!r:.80}")
        try:
            self.client = self._connect()
        except (OSError, ValueError, ImportError) as error:
            raise ConfigurationError(f"{must}, got {address!r:.80} ({one_line(error):.200})") from error

    def __enter__(self) -> "Cluster":
        """Raises ConfigurationError where the workers cannot make what this machine would."""
        try:
            self.results.mkdir(parents=True, exist_ok=True)
            write_bytes(worker.token_file(self.results, self.token), self.token.encode())
            self._look()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        worker.token_file(self.results, self.token).unlink(missing_ok=True)
        with contextlib.suppress(Exception):  # the scheduler may be gone
            self.client.close(timeout=_SECONDS)

    def __str__(self) -> str:
        hosts, slots = counted(len(self._cores), "host"), sum(each["nthreads"] for each in self._workers)
        folder = "shared" if self.shared else "not shared: runs are made elsewhere and come back when they end"
        each = counted(self._threads, "thread") + " each"
        return f"Cluster {self.address}: {counted(slots, 'run')} side by side on {hosts}, {each}; results folder {folder}"

    def _connect(self) -> distributed.Client:
        with warnings.catch_warnings(action="ignore"):  # of versions, which are compared below
            client = distributed.Client(self.address, timeout=_SECONDS, set_as_default=False)
        client.subscribe_topic(self.token, lambda event: self.epochs.update([event[1]]))
        self._workers, self._seen_at = list[dict[str, Any]](), 0.0
        return client

    def _look(self) -> None:
        try:
            self.client.run_on_scheduler(worker.versions)
        except Exception as error:
            raise ConfigurationError(f"scheduler {self.address} must have this project: {one_line(error):.200}") from error
        with contextlib.suppress(TimeoutError):
            self.client.wait_for_workers(1, timeout=_SECONDS)
        answers = self.client.run(worker.look, str(self.results.resolve()), self.token, on_error="return")
        self.shared, hosts = bool(answers), self._hosts()
        for address, answer in answers.items():
            if isinstance(answer, Exception):
                raise ConfigurationError(f"worker {address} must have this project: {one_line(answer):.200}")
            there, cores, shares = answer
            worker.check_versions(there, worker.versions(), address)
            self.shared &= shares
            self._cores[get_address_host(address)] = cores
        if not self._cores:
            raise ConfigurationError(f"the cluster at {self.address} must have a worker (dask worker {self.address}), got none")
        for host, cores in self._cores.items():
            if hosts.get(host, 1) > cores:
                how = f"dask worker --nthreads 1 --nworkers {cores}"
                raise ConfigurationError(
                    f"workers on {host} must have at most {cores} threads, its cores ({how}), got {hosts[host]}"
                )
        self._threads = min(cores // hosts.get(host, 1) for host, cores in self._cores.items())

    def _hosts(self) -> dict[str, int]:
        """Runs that each host has room for."""
        self._refresh()
        hosts = dict[str, int]()
        for each in self._workers:
            hosts[each["host"]] = hosts.get(each["host"], 0) + each["nthreads"]
        return hosts

    def _refresh(self) -> None:
        """Ask which workers there are; what was known stays where nobody answers."""
        with contextlib.suppress(OSError, ClosedClientError, AttributeError):
            self._workers = list(self.client.scheduler_info()["workers"].values())
        self._seen_at = time.monotonic()

    def _gpus(self) -> int:
        return int(sum(each["resources"].get("GPU", 0) for each in self._workers))

    def unavailable(self, config: RunConfig) -> str | None:
        """Return why no worker can make a run, or None. If a worker only claims to have a GPU, the run itself finds out."""
        if config.machine == "cpu" or self._gpus():
            return None
        return f"needs a worker that was started with --resources GPU=1, and the cluster at {self.address} has none"

    def share(self, jobs: Sequence[Job]) -> None:
        """See runner.Place."""
        check_threads(jobs, self._threads, "the fewest cores that a host of the cluster has for each run")

    def has_room(self, config: RunConfig, running: Sequence["_Remote"]) -> bool:
        """See runner.Place."""
        gpu = [run for run in running if run.job.config.machine == "gpu"]
        slots = sum(each["nthreads"] for each in self._workers) if self.connected else 0
        return len(running) < slots and (config.machine == "cpu" or len(gpu) < self._gpus())

    @property
    def connected(self) -> bool:
        """Whether the client is connected to the scheduler."""
        return bool(self.client.status == "running")

    def start(self, job: Job, *, fresh: bool = False, **options: Any) -> "_Remote":
        """Start a run. fresh: clear its folder now, because a worker that takes the run over must resume it."""
        if fresh:
            RunFolder(job.folder).clear()
        return _Remote(job, self, options)

    def submit(self, job: Job, options: dict[str, Any]) -> "distributed.Future | None":
        """Submit a run's task; None where the scheduler is gone."""
        order = {
            **{"config": job.config.model_dump(mode="json"), "options": options, "threads": self._threads},
            **{"token": self.token, "results": str(self.results.resolve()), "versions": worker.versions()},
            "archive": b"" if self.shared else travel.pack(job.folder),
        }
        resources = {"GPU": 1} if job.config.machine == "gpu" else None
        key = f"gan-lib-{job.name}-{secrets.token_hex(8)}"
        with warnings.catch_warnings(action="ignore"), contextlib.suppress(OSError, ClosedClientError):  # of large orders
            future = self.client.submit(worker.make, order, key=key, pure=False, resources=resources)
            future.add_done_callback(lambda _: self._woken.set())
            return future
        return None

    def wait(self, running: Sequence["_Remote"]) -> None:
        """Wait a moment or until a run ends; up to a minute for a scheduler that is away. Raises ClusterError after that."""
        self._woken.wait(_POLL_SECONDS)
        self._woken.clear()
        deadline = time.monotonic() + _AWAY
        while not self.connected:
            if time.monotonic() > deadline:
                raise ClusterError(f"the scheduler {self.address} went away and did not come back; finished runs are kept")
            with contextlib.suppress(Exception):
                self.client.close(timeout=1)
            with contextlib.suppress(OSError, ValueError):
                self.client = self._connect()
            time.sleep(_POLL_SECONDS)
        if time.monotonic() - self._seen_at > 2:
            self._refresh()

    def stop(self, running: Sequence["_Remote"]) -> None:
        """Stop runs, with a checkpoint, and wait until they came back."""
        self.stopping, deadline = True, time.monotonic() + _STOPPING
        try:
            if self.connected:
                self.client.run(worker.stop_batch, self.token, on_error="ignore")
            while self.connected and not all(run.poll() for run in running) and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS / 5)
        finally:
            for run in running:
                run.cancel()


class _Remote:
    """A run on a worker. Where the worker is lost, the run is submitted to another one."""

    def __init__(self, job: Job, cluster: Cluster, options: dict[str, Any]) -> None:
        self.job, self._cluster, self._options, self._lost = job, cluster, options, 0
        self._end: dict[str, Any] | None = None
        self._future = cluster.submit(job, options)

    @property
    def epochs(self) -> int:
        """Epochs that are done, as far as is known here."""
        return max(count_epochs(self.job.folder), self._cluster.epochs.get(self.job.name, 0))

    def poll(self) -> Record | None:
        """Its record; None while it is being made, or not seen here yet."""
        if self._end is None:
            self._end, self._deadline = self._receive(), time.monotonic() + _UNSEEN
        if self._end is None:
            return None
        record = record_of(self.job)
        if record.status != self._end["status"] and time.monotonic() < self._deadline:
            return None
        return replace(record, notes=[*record.notes, *self._end["notes"]])

    def cancel(self) -> None:
        """Cancel the run if it has not ended, and record that it was stopped."""
        if self._end is None:
            with contextlib.suppress(Exception):  # the scheduler may be gone
                self._future.cancel()  # type: ignore[union-attr]
            with contextlib.suppress(OSError, RecordError):
                close_stopped(self.job, "interrupted", "stopped while it was running")

    def _receive(self) -> dict[str, Any] | None:
        """Return the result of the task, or None while it runs. Submit a lost run again."""
        future, cluster = self._future, self._cluster
        if not cluster.connected:
            return None
        try:
            if future is None or future.client is not cluster.client or future.cancelled():
                return self._submit_again()  # the scheduler was started again, and knows nothing of it
            if not future.done():
                return None
            end: dict[str, Any] = future.result(timeout=_SECONDS)
            if "lost" in end:  # its worker closed
                return self._submit_again()
            if end["archive"]:
                travel.land(end["archive"], self.job)
            return end
        except KilledWorker:
            self._lost += 1
            if self._lost < _MOST_LOST:
                return self._submit_again()
            return self._close("killed", "too many of its workers were lost")
        except (TimeoutError, CancelledError, CommClosedError):  # the worker with the result is gone, or the scheduler
            return None
        except Exception as error:
            return self._close("failed", one_line(error))

    def _submit_again(self) -> dict[str, Any] | None:
        if self._cluster.stopping:
            return self._close("interrupted", "stopped while it was running")
        self._future = self._cluster.submit(self.job, self._options)
        return None

    def _close(self, status: str, reason: str) -> dict[str, Any]:
        """Record the end of a run that could not record it itself."""
        with contextlib.suppress(OSError, RecordError):
            (close_stopped if status == "interrupted" else close)(self.job, status, reason)
        return {"status": record_of(self.job).status, "notes": []}
