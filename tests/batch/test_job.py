"""How one run ended is judged by evidence, each status once and on purpose."""

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from conftest import MakeConfig

from gan_lib.batch import job as job_module
from gan_lib.batch import runner
from gan_lib.batch.job import Job, hold, is_done, record_of, record_unavailable
from gan_lib.config import RunConfig
from gan_lib.errors import RecordError
from gan_lib.presets import run_name
from gan_lib.runs.locks import noted_holder
from gan_lib.runs.record import Record, RunFolder, count_epochs
from gan_lib.runs.storage import write_json


def new_job(config: RunConfig, results: Path) -> Job:
    return Job(config, results / "runs" / run_name(config))


def make(job: Job, **options: Any) -> Record:
    return runner.run_batch([job], **options)[0]


def when_it_trains(job: Job, act: Callable[[int], object]) -> threading.Thread:
    """Call act(its process) as soon as three epochs are in the history."""

    def wait() -> None:
        while count_epochs(job.folder) < 3:
            time.sleep(0.05)
        act(noted_holder(job.folder / "run.lock") or 0)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


@pytest.mark.slow
def test_killed_with_the_signal_and_taken_up_again_from_the_checkpoint(
    tiny: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = new_job(tiny(epochs=100_000, checkpoint_seconds=0.05), tmp_path)
    when_it_trains(job, lambda pid: os.kill(pid, signal.SIGKILL))
    record = make(job)
    assert (record.status, record.notes) == ("killed", [])
    assert str(record.reason).startswith("killed by SIGKILL")
    assert not (job.folder / "run.lock").exists()
    html = (job.folder / "report.html").read_text()
    assert re.search(r'<div class="trouble"><p><strong>killed: killed by SIGKILL', html), "the report opens with it"
    before = record.epochs_done
    assert before > 1
    # Taken up again, and stopped by its time limit: by a clock that jumps ahead once it has trained on.
    job.record = record
    clock = SimpleNamespace(sleep=time.sleep, monotonic=lambda: 1000.0 * (count_epochs(job.folder) > before + 50))
    monkeypatch.setattr(job_module, "time", clock)
    record = make(job, timeout=600.0)
    assert (record.status, record.reason) == ("timed-out", "stopped after 10 min 0 s, as --timeout asks")
    assert record.notes[0].startswith("resumed after epoch ")
    assert list(record.history["epoch"]) == list(range(1, record.epochs_done + 1))


def test_a_run_whose_server_is_killed_saves_and_the_next_gets_another_server(tiny: MakeConfig, tmp_path: Path) -> None:
    job = new_job(tiny(epochs=100_000), tmp_path)
    when_it_trains(job, lambda pid: psutil.Process(pid).parent().kill())  # type: ignore[union-attr]
    record = make(job)
    assert (record.status, (job.folder / "checkpoint.safetensors").exists()) == ("interrupted", True)
    assert make(new_job(tiny(), tmp_path)).status == "ok"


def test_a_killed_run_is_retried_from_its_checkpoint(tiny: MakeConfig, tmp_path: Path) -> None:
    job = new_job(tiny(epochs=100, checkpoint_seconds=0.1), tmp_path)
    killer = when_it_trains(job, lambda pid: os.kill(pid, signal.SIGKILL))
    record = make(job, retries=1)
    killer.join()
    assert (record.status, record.epochs_done) == ("ok", 100)
    assert len(record.notes) <= 1  # where it went on, if there was a checkpoint yet
    assert is_done(record)


@pytest.mark.slow
def test_failed_with_the_reason_and_its_last_lines(tiny: MakeConfig, tmp_path: Path) -> None:
    job = new_job(tiny(data="folder:/nonexistent<b>"), tmp_path)
    record = make(job, retries=3)
    assert (record.status, record.epochs_done) == ("failed", 0)
    assert "/nonexistent<b>" in str(record.reason)
    html = (job.folder / "report.html").read_text()
    assert '<div class="trouble"><p><strong>failed: data folder /nonexistent&lt;b&gt;' in html
    assert "/nonexistent<b>" not in html


def test_unavailable_and_what_another_machine_half_did_stays(tiny: MakeConfig, tmp_path: Path) -> None:
    job = new_job(tiny(machine="gpu"), tmp_path)
    folder = RunFolder(job.folder)
    folder.create(job.config)
    folder.finish("interrupted", "stopped")
    (job.folder / "checkpoint.safetensors").write_bytes(b"somebody's work")
    record_unavailable(job, "needs a CUDA GPU", fresh=False)
    assert (record_of(job).status, record_of(job).reason) == ("unavailable", "needs a CUDA GPU")
    assert (job.folder / "checkpoint.safetensors").read_bytes() == b"somebody's work"
    longer = Job(tiny(machine="gpu", epochs=9), job.folder)
    with pytest.raises(RecordError, match="epochs = 3 there, 9 here"):
        record_unavailable(longer, "needs a CUDA GPU", fresh=False)
    record_unavailable(longer, "needs a CUDA GPU", fresh=True)
    assert (record_of(longer).status, record_of(longer).config.epochs) == ("unavailable", 9)


def test_lost_when_the_process_went_without_a_word(tiny: MakeConfig, tmp_path: Path) -> None:
    job = new_job(tiny(), tmp_path)
    folder = RunFolder(job.folder)
    folder.create(job.config)
    assert record_of(job).status == "running"
    folder.release()
    assert record_of(job).status == "lost"


@pytest.mark.slow
def test_a_trained_run_without_its_report_only_runs_its_notebook_again(tiny: MakeConfig, tmp_path: Path) -> None:
    job = new_job(tiny(), tmp_path)
    job.record = make(job)
    assert is_done(job.record)
    before = {name: (job.folder / name).read_bytes() for name in ("history.csv", "summary.json", "generator.safetensors")}
    (job.folder / "report.html").unlink()
    assert not is_done(job.record)
    assert is_done(make(job))
    assert {name: (job.folder / name).read_bytes() for name in before} == before
    (job.folder / "report.html").unlink()
    for weights in job.folder.glob("*.safetensors"):
        weights.unlink()
    assert is_done(record_of(job)), "a record without weights has nothing left to render"


def test_a_run_that_somebody_else_writes_is_left_alone(tiny: MakeConfig, tmp_path: Path) -> None:
    job = new_job(tiny(), tmp_path)
    RunFolder(job.folder).create(job.config)
    before = {path.name: path.read_bytes() for path in job.folder.iterdir()}
    record = make(job, fresh=True)
    assert record.notes == [f"{job.folder} is being written by process {os.getpid()}: left alone"]
    assert {path.name: path.read_bytes() for path in job.folder.iterdir()} == before


def test_a_batch_holds_its_runs_before_they_start(tiny: MakeConfig, tmp_path: Path) -> None:
    job = new_job(tiny(), tmp_path)
    with hold(job):
        assert noted_holder(job.folder / "batch.lock") == os.getpid()
    assert list(tmp_path.iterdir()) == [], "nor does it leave anything"


def test_a_record_that_cannot_be_read_is_a_failed_run(tiny: MakeConfig, tmp_path: Path) -> None:
    job = new_job(tiny(), tmp_path)
    job.folder.mkdir(parents=True)
    write_json(job.folder / "config.json", {"epochs": "many"})
    assert record_of(job).status == "failed"
    assert "config.json" in str(record_of(job).reason)
