"""What a batch says on its terminal."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gan_lib.batch import progress
from gan_lib.batch.progress import Progress, ProgressLine, say


def at(epoch: int) -> Progress:
    return Progress((("gan-cpu--quick/seed-0", epoch, 150),), 1, 0, 0, 1e9 * epoch, 300e9)


def terminal(monkeypatch: pytest.MonkeyPatch, columns: int, encoding: str = "utf-8") -> io.BytesIO:
    """Standard output as a terminal of so many columns; what is drawn on it."""
    drawn = io.BytesIO()
    stream = io.TextIOWrapper(drawn, encoding=encoding)
    stream.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((columns, 24)))
    return drawn


def test_a_file_gets_a_line_now_and_then(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([*[100.0] * 10, *[131.0] * 10])
    monkeypatch.setattr("time.monotonic", lambda: next(seconds))
    line = ProgressLine()
    for epoch in range(12):
        line.show(at(epoch))
    line.end()
    first, second = capsys.readouterr().out.splitlines()
    assert "gan-cpu--quick/seed-0" in first and "epoch 0/150, ? left" in first
    assert "epoch " in second and "?" not in second


@pytest.mark.parametrize(("columns", "name"), [(100, "gan-cpu--quick/seed-0"), (80, "gan-cpu--quick/se"), (40, "")])
def test_the_name_gives_way_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch, columns: int, name: str) -> None:
    drawn = terminal(monkeypatch, columns)
    line = ProgressLine()
    for epoch in (0, 75, 150):
        line.show(at(epoch))
    line.end()
    text = drawn.getvalue().decode()
    lines = text.strip("\n").split("\r")[1:]
    assert (text.count("\n"), len(lines)) == (1, 3)
    for shown, epoch in zip(lines, (0, 75, 150), strict=True):
        assert len(shown) < columns, "a line that wraps cannot be drawn over"
        assert name in shown
        assert re.search(rf"\|.{{10,}}\| epoch {epoch}/150, (\d\d:\d\d|\?) left", shown)


def test_the_time_left_weighs_epochs_by_their_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = terminal(monkeypatch, 80)
    line, now = ProgressLine(), [0.0]
    line._time, line.start_t = lambda: now[0], 0.0
    for epoch, seconds in ((0, 0.0), (0, 60.0), (75, 135.0)):  # a minute to start, which says nothing of the pace
        now[0] = seconds
        line.show(at(epoch))
    assert "03:45 left" in drawn.getvalue().decode(), "a second for each epoch: 75 of this run and 150 of the next"


def test_runs_side_by_side_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = terminal(monkeypatch, 100)
    ProgressLine().show(Progress((("one", 1, 9), ("other", 0, 9)), 18, 3, 1, 1e9, 24e9))
    assert "\r2 running, 18 waiting, 3 done, 1 failed |" in drawn.getvalue().decode()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_terminal_without_blocks_gets_signs_that_it_has(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    drawn = terminal(monkeypatch, 80, encoding)
    progress.prepare()
    line = ProgressLine()
    line.show(at(0))
    line.show(at(75))
    say("Fréchet 中")
    assert b"##|" not in drawn.getvalue() and b"#" in drawn.getvalue()
    assert b"\\u4e2d" in drawn.getvalue()


def test_a_user_without_a_home_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    progress.prepare()
    assert Path(os.environ["HOME"]).is_dir()


def test_what_could_act_on_a_terminal_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    say("gan\x1b[31m\u202e\x00\nrun  ok\udcff")
    assert capsys.readouterr().out == "gan\\x1b[31m\\u202e\\x00\\nrun  ok\\udcff\n"


def test_an_error_of_any_length_is_cut_and_a_result_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    say("a" * 100_000, error=True)
    say("a" * 100_000)
    printed = capsys.readouterr()
    assert (len(printed.err), len(printed.out)) == (10_002, 100_001)


def test_commands_are_such_as_work_here(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scripts, elsewhere = tmp_path / "my env" / "bin", tmp_path / "elsewhere"
    for folder in (scripts, elsewhere):
        folder.mkdir(parents=True)
        (folder / "gan-lib").write_text("#!/bin/sh")
        (folder / "gan-lib").chmod(0o755)
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(scripts))
    monkeypatch.chdir(tmp_path)
    for path, expected in ((scripts, "gan-lib"), (elsewhere, "'my env/bin/gan-lib'"), (tmp_path, "'my env/bin/gan-lib'")):
        monkeypatch.setenv("PATH", str(path))
        progress.program.cache_clear()
        say("next: gan-lib run")
        assert capsys.readouterr().out == f"next: {expected} run\n"
    (scripts / "gan-lib").unlink()
    progress.program.cache_clear()
    say("next: gan-lib run, and gan-lib alone stays")
    assert re.fullmatch(r"next: \S+ -m gan_lib run, and gan-lib alone stays\n", capsys.readouterr().out)
    progress.program.cache_clear()


LOST = """
import os, sys
from gan_lib.batch.progress import Progress, ProgressLine, prepare, say
prepare()
line = ProgressLine()
for epoch in range(100):
    line.show(Progress((("run", epoch, 100),), 0, 0, 0, epoch, 100.0))
    say(epoch)
line.end()
os.write(2, b"to the end")
"""


@pytest.mark.parametrize("how", ["| head -1", ">&-", "<&- >&-", ">/dev/full"])
def test_an_output_that_is_lost_ends_nothing(how: str) -> None:
    command = f"set -o pipefail; {sys.executable} -c '{LOST}' {how}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "to the end")
