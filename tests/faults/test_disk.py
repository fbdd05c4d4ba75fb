"""A disk that is full, a results folder that is gone: one line, and what was written stays readable."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.conftest import Start
from faults.training import results, short_run, wait_for_epochs
from gan_lib.runs.record import read_record


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk, in memory: room for a run and its two checkpoints, and not for much else."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("left", [0, 3000, 100_000])  # bytes: nothing, a line or two, not a checkpoint
def test_a_disk_that_fills_up_ends_the_run_and_it_is_resumed_once_there_is_room(
    tmp_path: Path, tiny_disk: Path, start: Start, left: int
) -> None:
    config, folder = short_run(epochs=150), tiny_disk / "run"
    undisturbed, process = start(config, tmp_path / "undisturbed"), start(config, folder)
    wait_for_epochs(folder, 10)
    filler = tiny_disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb") as file:
        while file.write(bytes(2**18)):
            file.flush()
    with filler.open("r+b") as file:
        file.truncate(max(0, filler.stat().st_size - left))
    process.join(300)
    assert process.exitcode == 2, "the user's disk, the user's mistake"
    record = read_record(folder)
    assert record.status in ("failed", "lost"), "a summary where one could still be written"
    assert record.epochs_done >= 10
    if record.status == "failed":
        assert "No space left on device" in str(record.reason)
        assert "\n" not in str(record.reason)
    assert not list(folder.glob(".*.tmp"))
    filler.unlink()
    again = start(config, folder)
    again.join()
    undisturbed.join()
    assert again.exitcode == 0
    assert results(folder) == results(tmp_path / "undisturbed")


def test_a_results_folder_that_vanishes_ends_the_run_with_one_line(tmp_path: Path, start: Start) -> None:
    folder = tmp_path / "runs" / "run"
    process = start(short_run(epochs=100_000), folder)
    wait_for_epochs(folder, 5)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    process.join(300)
    assert process.exitcode == 2
    error = (tmp_path / "runs" / "run.error").read_text()
    assert "No such file or directory" in error
    assert "\n" not in error
