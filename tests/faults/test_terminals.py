"""Terminals and pipes that are narrow, lack characters, or close under a live batch: it trains on, and ends well."""

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from conftest import TINY, settings

from gan_lib.runs.record import find_records

KEPT, CLOSES, CLOSED = "kept", "closes in the middle", "closed before"


@pytest.mark.parametrize(
    ("columns", "encoding", "how"),
    [
        *((80, "utf-8", KEPT), (40, "utf-8", KEPT), (80, "ascii", KEPT), (0, "cp1252", KEPT)),
        *((80, "utf-8", CLOSES), (0, "utf-8", CLOSES), (0, "utf-8", CLOSED)),
    ],
)
def test_a_batch_outlives_its_output(tmp_path: Path, columns: int, encoding: str, how: str) -> None:
    """columns: of a terminal; 0: a pipe."""
    command = [sys.executable, "-m", "gan_lib", "run", "gan-cpu", *settings({**TINY, "epochs": 200}), "--seeds=0-1"]
    shell = ["sh", "-c", '"$@" >&-', "sh"] if how == CLOSED else []
    reader, writer = pty.openpty() if columns else os.pipe()
    if columns:
        fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    environment.pop("COLUMNS", None)
    process = subprocess.Popen(
        [*shell, *command, f"--results-dir={tmp_path}"],
        stdout=writer, stderr=subprocess.PIPE, env=environment, start_new_session=True, text=True,
    )  # fmt: skip
    os.close(writer)
    drawn = b"" if how == CLOSED else os.read(reader, 1)
    with contextlib.suppress(OSError):  # a terminal says so that nobody writes any more
        while how == KEPT and (part := os.read(reader, 2**16)):
            drawn += part
    os.close(reader)
    _, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (0, "")
    assert [record.status for record in find_records(tmp_path / "runs")[0]] == ["ok", "ok"]
    assert len(list(tmp_path.glob("runs/*/*/report.html"))) == 2
    assert (tmp_path / "comparison.html").exists() and (tmp_path / "index.html").exists()
    lines = [line for line in re.split(r"[\r\n]+", drawn.decode(encoding)) if " epoch " in line]
    assert len(lines) > 5 or not columns or how != KEPT
    for line in lines:
        assert re.search(r"\|.{10,}\| epoch \d+/200, \S+ left", line)
        assert len(line) < columns or not columns
