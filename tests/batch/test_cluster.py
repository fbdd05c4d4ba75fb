"""Runs on a Dask cluster: whatever is killed, the bits are the same, and nothing is left behind.

The cluster is a scheduler and a worker process with two workers, as `make cluster` starts them.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import TINY, MakeConfig, settings, train, until

from gan_lib import __main__ as program
from gan_lib.batch import runner
from gan_lib.batch.job import Job
from gan_lib.batch.progress import Progress
from gan_lib.config import RunConfig
from gan_lib.errors import ConfigurationError
from gan_lib.presets import run_name
from gan_lib.runs.machine import physical_cores
from gan_lib.runs.record import Record, RunFolder, count_epochs, read_record

if not find_spec("distributed"):
    needs_dask = pytest.mark.skip("distributed is not installed: the extra cluster")
else:
    needs_dask = pytest.mark.filterwarnings("ignore")  # of Dask's own
SOAK = bool(os.environ.get("GAN_LIB_SOAK"))


def job_of(config: RunConfig, results: Path) -> Job:
    return Job(config, results / "runs" / run_name(config))


# What is typed


def typed(*arguments: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[object, str]:
    """The exit code of a command, and what it says of a mistake."""
    monkeypatch.setattr(sys, "argv", ["gan-lib", *arguments])
    with pytest.raises(SystemExit) as ended:
        program.main()
    return ended.value.code, capsys.readouterr().err


@pytest.fixture
def keep_signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before, hook = signal.getsignal(signal.SIGTERM), sys.unraisablehook
    yield
    signal.signal(signal.SIGTERM, before)
    sys.unraisablehook = hook


@pytest.mark.usefixtures("keep_signals")
def test_without_the_extra_one_line_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    for name in ("cluster", "worker"):
        monkeypatch.delitem(sys.modules, f"gan_lib.batch.{name}", raising=False)
    arguments = ("run", "gan-cpu", "--scheduler", "tcp://127.0.0.1:9", f"--results-dir={tmp_path}")
    code, error = typed(*arguments, monkeypatch=monkeypatch, capsys=capsys)
    assert code == 2
    assert error.count("\n") == 1 and "pip install -e '.[cluster]'" in error


@pytest.mark.usefixtures("keep_signals")
def test_workers_of_this_machine_are_not_those_of_a_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("run", "gan-cpu", "--scheduler", "tcp://127.0.0.1:9", "--workers", "2", f"--results-dir={tmp_path}")
    code, error = typed(*arguments, monkeypatch=monkeypatch, capsys=capsys)
    assert code == 2 and error.count("\n") == 1 and "--scheduler" in error


@needs_dask
def test_other_versions_are_named() -> None:
    from gan_lib.batch.worker import check_versions, versions

    check_versions(versions(), dict(versions()), "tcp://a:1")
    with pytest.raises(ConfigurationError, match=r"tcp://a:1 .* torch is 1\.0 there, "):
        check_versions({**versions(), "torch": "1.0"}, versions(), "tcp://a:1")


@needs_dask
@pytest.mark.slow
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nowhere", "http://127.0.0.1:8786", "tcp://256.0.0.1:8786"])
def test_an_address_where_no_scheduler_answers(address: str, tmp_path: Path) -> None:
    ended = command(address, tmp_path, epochs=1).communicate(timeout=100)
    assert ended[1].count("\n") == 1 and address in ended[1], ended
    assert not (tmp_path / "runs").exists()


# A cluster


class LocalCluster:
    """A scheduler and two workers, each of them a process that can be killed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, 0
        self.scheduler: Any = None
        self.workers: Any = None

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def start(self, *options: str) -> None:
        file = self.folder / "scheduler.json"
        file.unlink(missing_ok=True)
        where = ("--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard", "--scheduler-file", str(file))
        self.scheduler = self._dask("scheduler", *where)
        until(file.exists, 60)
        if not self.port:
            from distributed import Client

            with Client(scheduler_file=str(file), set_as_default=False) as client:
                self.port = int(client.scheduler.address.rpartition(":")[2])
        self.start_workers(*options)

    def start_workers(self, *options: str) -> None:
        more = ("--nthreads", "1", "--nworkers", "2", "--no-dashboard", "--local-directory", str(self.folder))
        self.workers = self._dask("worker", *more, *options, self.address)

    def _dask(self, *arguments: str) -> "subprocess.Popen[str]":
        with (self.folder / f"{arguments[0]}.log").open("a") as log:
            return subprocess.Popen([sys.executable, "-m", "dask", *arguments], stdout=log, stderr=log, text=True)

    def worker_processes(self) -> list[psutil.Process]:
        """The processes in which tasks run; a nanny is their parent."""
        children = psutil.Process(self.workers.pid).children()
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]

    def stop(self) -> None:
        for process in (self.workers, self.scheduler):
            if process:
                process.terminate()
                process.wait(60)

    def orphans(self) -> list[psutil.Process]:
        """Processes of the cluster and its runs that outlived their parents; not those that this process started itself."""
        own = {child.pid for child in psutil.Process().children(recursive=True)}
        return [each for each in psutil.process_iter() if each.pid not in own and _mentions(each, str(self.folder))]


def _mentions(process: psutil.Process, text: str) -> bool:
    with contextlib.suppress(psutil.Error):
        return text in process.environ().get("GAN_LIB_TEST_CLUSTER", "")
    return False


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCluster]:
    """A cluster that runs; at its end no process of it is left."""
    folder = tmp_path_factory.mktemp("cluster")
    monkeypatch.setenv("GAN_LIB_TEST_CLUSTER", str(folder))  # by which its processes are known, also without their parents
    made = LocalCluster(folder)
    try:
        made.start()
        yield made
    finally:
        monkeypatch.delenv("GAN_LIB_TEST_CLUSTER")
        made.stop()
        until(lambda: not made.orphans(), 60)


@contextlib.contextmanager
def joined(address: str, results: Path, shared: bool) -> Iterator[Any]:
    """The cluster as a batch sees it. A token of another content is what a worker sees that does not share the folder."""
    from gan_lib.batch.cluster import Cluster
    from gan_lib.batch.worker import token_file

    with Cluster(address, results) as cluster:
        if not shared:
            token_file(results, cluster.token).write_text("of another folder")
            cluster.shared = False
        yield cluster


def make(configs: list[RunConfig], address: str, results: Path, shared: bool, **options: Any) -> list[Record]:
    with joined(address, results, shared) as cluster:
        return runner.run_batch(runner.plan(configs, results), cluster=cluster, **options)


def command(address: str, results: Path, **parameters: Any) -> "subprocess.Popen[str]":
    options = [
        *settings({**TINY, "threads": 0, **parameters}),
        f"--results-dir={results}",
        "--scheduler",
        address,
        "--no-report",
    ]
    line = [sys.executable, "-m", "gan_lib", "run", "gan-cpu", "--seeds=0-3", *options]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def bits(record: Record) -> tuple[bytes, ...]:
    return tuple((record.path / f"{name}.safetensors").read_bytes() for name in ("generator", "discriminator"))


def whole(results: Path) -> bool:
    """Whether nothing half-written lies about: no lock, no temporary file, no folder that is landing."""
    return not [path for path in results.rglob("*") if path.suffix in (".lock", ".tmp") or path.name.startswith(".")]


def undisturbed(configs: list[RunConfig], folder: Path) -> list[tuple[bytes, ...]]:
    workers = min(2, physical_cores())
    return [bits(record) for record in runner.run_batch(runner.plan(configs, folder), workers=workers)]


shared_or_not = pytest.mark.parametrize("shared", [True, False], ids=["shared folder", "no shared folder"])
pytestmark = pytest.mark.usefixtures("no_hanging")


@needs_dask
@pytest.mark.slow
@shared_or_not
def test_the_bits_are_those_of_a_plain_run(shared: bool, tiny: MakeConfig, cluster: LocalCluster, tmp_path: Path) -> None:
    configs = [tiny(seed=seed, evaluate_every=1) for seed in range(3)]
    seen: list[Progress] = []
    records = make([*configs, tiny(machine="gpu")], cluster.address, tmp_path / "far", shared, show=seen.append)
    assert [record.status for record in records] == ["ok"] * 3 + ["unavailable"]
    assert "GPU=1" in str(records[3].reason) and records[3].epochs_done == 0
    near = runner.run_batch(runner.plan(configs, tmp_path / "near"))
    for far, here in zip(records, near, strict=False):
        assert bits(far) == bits(here)
        assert {path.name for path in far.path.iterdir()} == {path.name for path in here.path.iterdir()}
        times = ("training_seconds", "other_seconds", "evaluation_seconds")
        for series, other in ((far.history, here.history), (far.metrics, here.metrics)):
            assert {name: other[name] for name in other if name not in times}.items() <= series.items()
    assert {len(step.runs) + step.waiting + step.done + step.failed for step in seen} == {3}
    assert max(len(step.runs) for step in seen) == 2
    assert whole(tmp_path / "far")


@needs_dask
@pytest.mark.slow
@shared_or_not
def test_a_worker_that_is_killed_costs_no_run(shared: bool, tiny: MakeConfig, cluster: LocalCluster, tmp_path: Path) -> None:
    epochs, runs, kills = (60, 12, 10) if SOAK else (150, 3, 2)
    configs = [tiny(seed=seed, epochs=epochs, sample_every=epochs, checkpoint_seconds=0.5) for seed in range(runs)]
    expected, ended, killed = undisturbed(configs, tmp_path / "near"), threading.Event(), list[int]()
    training = threading.Event()  # with a checkpoint to resume from, the first time

    def show(progress: Progress) -> None:
        if progress.runs and all(epoch > 20 for _, epoch, _ in progress.runs):
            training.set()

    def kill() -> None:
        dice = random.Random(1)  # noqa: S311
        training.wait(60)
        while len(killed) < kills and not (killed and ended.wait(dice.uniform(1, 5))):
            with contextlib.suppress(psutil.Error, IndexError):
                victim = dice.choice(cluster.worker_processes())
                victim.kill()
                killed.append(victim.pid)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    begun = time.monotonic()
    records = make(configs, cluster.address, tmp_path / "far", shared, show=show)
    ended.set()
    thread.join()
    assert [record.status for record in records] == ["ok"] * runs
    assert [bits(record) for record in records] == expected
    assert whole(tmp_path / "far")
    resumed = sum(note.startswith("resumed after") for record in records for note in record.notes)
    assert len(killed) >= min(kills, 2) and (not shared or resumed)
    print(f"\n{runs} runs, {len(killed)} kills, {resumed} times resumed, {time.monotonic() - begun:.0f} s")
    until(lambda: len(cluster.worker_processes()) == 2)


@needs_dask
@pytest.mark.slow
@shared_or_not
def test_a_scheduler_that_is_killed_and_started_again(
    shared: bool, tiny: MakeConfig, cluster: LocalCluster, tmp_path: Path
) -> None:
    configs = [tiny(seed=seed, epochs=300, sample_every=300, checkpoint_seconds=0.5) for seed in range(3)]
    expected, once = undisturbed(configs, tmp_path / "near"), threading.Event()

    def restart() -> None:
        cluster.scheduler.kill()
        cluster.scheduler.wait()
        cluster.workers.wait(60)  # a worker without a scheduler ends, with its runs
        cluster.start()

    thread = threading.Thread(target=restart)

    def show(progress: Progress) -> None:
        if not once.is_set() and sum(epoch for _, epoch, _ in progress.runs) > 60:
            once.set()
            thread.start()

    records = make(configs, cluster.address, tmp_path / "far", shared, show=show)
    thread.join()
    assert [record.status for record in records] == ["ok"] * 3
    assert [bits(record) for record in records] == expected
    assert whole(tmp_path / "far")


@needs_dask
@pytest.mark.slow
def test_a_scheduler_that_stays_away_ends_the_batch_with_one_line(cluster: LocalCluster, tmp_path: Path) -> None:
    batch = command(cluster.address, tmp_path, epochs=100_000, sample_every=100_000)
    until(lambda: any(map(count_epochs, (tmp_path / "runs").glob("*/*"))), 60)
    cluster.scheduler.kill()
    _, error = batch.communicate(timeout=200)
    assert batch.returncode == 1
    assert error.count("\n") == 1 and "went away" in error, error
    statuses = [read_record(path).status for path in (tmp_path / "runs").glob("*/*")]
    assert statuses == ["interrupted"] * 2


@needs_dask
@pytest.mark.slow
@shared_or_not
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_stops_all_runs_with_a_checkpoint(
    number: signal.Signals, shared: bool, tiny: MakeConfig, cluster: LocalCluster, tmp_path: Path
) -> None:
    configs = [tiny(seed=seed, epochs=300, sample_every=300, checkpoint_seconds=1000.0) for seed in range(3)]

    def show(progress: Progress) -> None:
        if len(progress.runs) == 2 and all(epoch > 2 for _, epoch, _ in progress.runs):
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(143)

    with pytest.raises((KeyboardInterrupt, SystemExit)):
        make(configs, cluster.address, tmp_path / "far", shared, show=show)
    folders = [job.folder for job in runner.plan(configs, tmp_path / "far")]
    assert [read_record(folder).status for folder in folders[:2]] == ["interrupted"] * 2
    assert all((folder / "checkpoint.safetensors").exists() for folder in folders[:2])
    assert not folders[2].exists()
    records = make(configs, cluster.address, tmp_path / "far", shared)  # the same command again
    assert [record.notes[0].startswith("resumed after") for record in records[:2]] == [True, True]
    assert [bits(record) for record in records] == undisturbed(configs, tmp_path / "near")


@needs_dask
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_command_leaves_no_orphan(number: signal.Signals, cluster: LocalCluster, tmp_path: Path) -> None:
    batch = command(cluster.address, tmp_path, epochs=100_000, sample_every=100_000)
    until(lambda: sum(map(bool, map(count_epochs, (tmp_path / "runs").glob("*/*")))) == 2, 60)
    batch.send_signal(number)
    batch.communicate(timeout=60)
    assert batch.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[number]

    started = [file.parent for file in (tmp_path / "runs").glob("*/*/config.json")]  # what waits has a batch.lock alone
    assert len(started) == 2

    def stopped() -> bool:
        return all(read_record(path).status == "interrupted" for path in started)

    until(stopped, 30 if number == signal.SIGKILL else 0.1)
    assert all((path / "checkpoint.safetensors").exists() for path in started)


@needs_dask
@pytest.mark.slow
def test_a_run_that_fails_stops_no_other(tiny: MakeConfig, cluster: LocalCluster, tmp_path: Path) -> None:
    bad = tmp_path / "images"
    bad.mkdir()
    for name in "xyz":
        (bad / f"{name}.png").write_bytes(b"not a picture")
    fails = tiny(data=f"folder:{bad}", training_images=2, batch_size=2)
    records = make([fails, tiny()], cluster.address, tmp_path / "far", shared=False)
    assert [record.status for record in records] == ["failed", "ok"]
    assert "x.png" in str(records[0].reason)
    with pytest.raises(ConfigurationError, match="threads must be at most 1"):
        make([tiny(threads=2)], cluster.address, tmp_path / "none", shared=False)


@needs_dask
@pytest.mark.slow
def test_what_the_scheduler_costs_for_a_run(tiny: MakeConfig, cluster: LocalCluster, tmp_path: Path) -> None:
    """500 empty runs: each is finished already, so that its worker only looks at it."""
    first = job_of(tiny(), tmp_path)
    train(first.config, first.folder)
    jobs = [first]
    for seed in range(1, 500):
        job = job_of(tiny(seed=seed), tmp_path)
        shutil.copytree(first.folder, job.folder)
        (job.folder / "report.html").write_text("made")
        RunFolder(job.folder)._write_config(job.config)
        jobs.append(job)
    (first.folder / "report.html").write_text("made")
    with joined(cluster.address, tmp_path, shared=True) as place:
        place.share(jobs)
        begun = time.perf_counter()
        records = runner._make(jobs, place, lambda progress: None)
        seconds = time.perf_counter() - begun
    assert [record.status for record in records.values()] == ["ok"] * 500
    print(f"\n500 empty runs on two workers: {seconds:.1f} s, {1000 * seconds / 500:.0f} ms for each")
    assert seconds < 100
