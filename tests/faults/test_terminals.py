"""Terminals and pipes that close under a live batch: it trains on, and ends well."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY, settings

from gan_lib.runs.record import find_records

SETTINGS = settings({**TINY, "epochs": 200})


@pytest.mark.parametrize("lost", ["pipe", "terminal", "closed before"])
def test_a_batch_outlives_its_output(tmp_path: Path, lost: str) -> None:
    command = [sys.executable, "-m", "gan_lib", "run", "gan-cpu", *SETTINGS, "--seeds=0-1", f"--results-dir={tmp_path}"]
    reader, writer = pty.openpty() if lost == "terminal" else os.pipe()
    shell = ["sh", "-c", '"$@" >&-', "sh"] if lost == "closed before" else []
    process = subprocess.Popen([*shell, *command], stdout=writer, stderr=subprocess.PIPE, start_new_session=True, text=True)
    os.close(writer)
    if lost != "closed before":
        os.read(reader, 1)
    os.close(reader)
    _, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (0, "")
    assert [record.status for record in find_records(tmp_path / "runs")[0]] == ["ok", "ok"]
    assert (tmp_path / "comparison.html").exists() and (tmp_path / "index.html").exists()
