"""A kernel killed by a memory limit says so, and the other runs of its batch finish."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import until

from faults.training import short_run
from gan_lib.presets import run_name
from gan_lib.runs.record import read_record

LIMIT = 1300 * 2**20  # bytes: enough for a batch and one small run


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group with a memory limit."""
    group = Path("/sys/fs/cgroup/memory") / f"gan-lib-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(LIMIT))
    except OSError:
        pytest.skip("needs the right to make a control group of version 1 with a memory limit")
    yield group
    until(lambda: not (group / "cgroup.procs").read_text(), 30)  # the server of the batch ends soon after it
    group.rmdir()


def test_a_run_that_needs_more_memory_than_there_is(tmp_path: Path, group: Path) -> None:
    small = short_run(epochs=5)
    code = (
        "import os, sys; from pathlib import Path; "
        f"Path({str(group / 'cgroup.procs')!r}).write_text(str(os.getpid())); "
        "from gan_lib.batch.runner import plan, run_batch; from gan_lib.config import RunConfig; "
        f"small = RunConfig(**{small.model_dump()!r}); "
        "large = small.model_copy(update={'model': 'cgan', 'image_size': 256, 'batch_size': 5000, 'training_images': 5000}); "
        f"print(*[r.status for r in run_batch(plan([large, small], Path({str(tmp_path / 'results')!r})))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["killed", "ok"], done.stderr
    (large,) = (tmp_path / "results" / "runs").glob("cgan-cpu--*/seed-0")
    record = read_record(large)
    assert "killed by SIGKILL, out of memory" in str(record.reason)
    assert read_record(tmp_path / "results" / "runs" / run_name(small)).status == "ok"
