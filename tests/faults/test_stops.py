"""Ctrl-C and SIGTERM to a live batch of two runs: saved, said, and finished by the command that was printed."""

import random
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from faults.conftest import SOAK
from faults.training import run_command, short_run, wait_for_epochs
from gan_lib.presets import run_name
from gan_lib.runs.locks import noted_holder
from gan_lib.runs.record import find_records, is_finished, read_record
from gan_lib.runs.storage import unpack


@pytest.mark.parametrize("number", range(10 if SOAK else 2))
def test_a_stopped_batch_is_finished_by_the_command_that_it_prints(tmp_path: Path, chance: random.Random, number: int) -> None:
    sign = (signal.SIGINT, signal.SIGTERM)[number % 2]
    config = short_run(epochs=80, checkpoint_seconds=30.0)
    command = run_command(config, tmp_path, "gan-cpu", "cgan-cpu", "--fresh")
    batch = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    which = short_run(**{**config.model_dump(), "model": chance.choice(["gan", "cgan"])})
    folder, epoch = tmp_path / "runs" / run_name(which), chance.randrange(1, 60)
    wait_for_epochs(folder, epoch, batch)
    children = psutil.Process(batch.pid).children(recursive=True)
    asked, asked_at = time.monotonic(), time.time()
    batch.send_signal(sign)
    _, errors = batch.communicate(timeout=180)
    took, saved = time.monotonic() - asked, "nothing to save"
    assert not psutil.wait_procs(children, timeout=30)[1], "no process is left"
    assert batch.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[sign]
    record = read_record(folder)
    assert record.status in ("interrupted", "ok"), record.reason
    if record.status == "interrupted":
        _, facts = unpack(folder / "checkpoint.safetensors")
        assert facts["trainer"]["epochs_done"] == record.epochs_done, "nothing that was trained is lost"
        saved = f"saved after {(folder / 'checkpoint.safetensors').stat().st_mtime - asked_at:.1f} s"
    match = re.search(r"^gan-lib: stopped; to resume: .*? (run .*)$", errors, re.MULTILINE)
    assert match, errors
    print(f"{sign.name} at epoch {record.epochs_done} of {which.model}: {record.status}, {saved}, over after {took:.1f} s")
    rest = shlex.split(match[1])
    assert "--fresh" not in rest
    again = subprocess.run([sys.executable, "-m", "gan_lib", *rest], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    records, problems = find_records(tmp_path / "runs")
    assert [is_finished(record.path) for record in records] == [True, True]
    assert not problems


def test_a_second_ctrl_c_ends_it_at_once_and_leaves_no_process(tmp_path: Path) -> None:
    config = short_run(epochs=100_000, checkpoint_seconds=0.5)
    command = run_command(config, tmp_path, "gan-cpu")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as batch:
        folder = tmp_path / "runs" / run_name(config)
        wait_for_epochs(folder, 5, batch)
        run = psutil.Process(noted_holder(folder / "run.lock"))
        run.suspend()  # it will not save anything, nor end by itself
        batch.send_signal(signal.SIGINT)
        time.sleep(1)
        batch.send_signal(signal.SIGINT)
        assert batch.wait(60) == 130
    assert not psutil.wait_procs([run], timeout=30)[1]
