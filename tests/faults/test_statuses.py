"""Every status, made on purpose: in `gan-lib list` and in the comparison."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import WriteRun

from gan_lib.batch import pages
from gan_lib.runs.record import STATUSES

REASONS = {
    "failed": "the loss is not finite any more: epoch 7, batch 3 of 16; the last good checkpoint is after epoch 5",
    "killed": "killed by SIGKILL, out of memory: the limit of its control group was reached",
    "interrupted": "stopped while it was training",
    "timed-out": "stopped after 1 h 0 min, as --timeout asks",
    "unavailable": "needs a CUDA GPU, and PyTorch finds none here",
}


@pytest.fixture
def one_of_each(write_run: WriteRun, tmp_path: Path) -> Path:
    """A results folder with a run of each status. How each comes about for real: tests/test_job.py and test_experiment.py."""
    for seed, status in enumerate(STATUSES):
        if status not in ("running", "lost"):
            write_run("gan-cpu", seed=seed, status=status, reason=REASONS.get(status))
    write_run("gan-cpu", seed=STATUSES.index("running"), status=None)  # by this process
    lost = write_run("gan-cpu", seed=STATUSES.index("lost"), status=None)
    (lost / "run.lock").unlink()
    return tmp_path


def test_each_is_listed_with_its_reason(one_of_each: Path) -> None:
    command = [sys.executable, "-m", "gan_lib", "list", "--results-dir", str(one_of_each)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = {line.split()[1]: line for line in done.stdout.splitlines()}
    assert lines.keys() >= set(STATUSES)
    for status, reason in REASONS.items():
        assert reason in lines[status]
    assert "summary.json" in lines["lost"]  # which its process never wrote


def test_each_is_in_the_comparison(one_of_each: Path) -> None:
    (one_of_each / "runs" / "gan-cpu" / f"seed-{STATUSES.index('ok')}" / "summary.json").unlink()  # it would stand for all
    html = pages.make_comparison(one_of_each, ["gan-cpu"]).read_text()
    for status in set(STATUSES) - {"ok"}:
        assert status in html, status
