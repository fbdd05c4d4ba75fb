"""The line that a batch shows while it runs."""

import os

import pytest

from gan_lib.batch.progress import Progress, ProgressLine


def at(epoch: int, measured: bool = True) -> Progress:
    return Progress("gan-cpu--quick/seed-0", 1, 2, epoch, 150, 200.0, measured)


def test_a_file_gets_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    line = ProgressLine()
    for epoch in range(75, 100):  # within the first half minute
        line.show(at(epoch))
    line.end()
    assert capsys.readouterr().out == (
        "[1/2] gan-cpu--quick/seed-0  ██████████░░░░░░░░░░  epoch 75/150  about 3 min 20 s left in all\n"
    )


def test_a_guess_is_called_rough(capsys: pytest.CaptureFixture[str]) -> None:
    ProgressLine().show(at(0, measured=False))
    assert "epoch 0/150  roughly 3 min 20 s left in all" in capsys.readouterr().out


def test_a_terminal_gets_one_line_that_is_drawn_again_and_never_wraps(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((60, 24)))
    line = ProgressLine()
    line.show(at(1))
    line.show(at(2))
    line.end()
    drawn = capsys.readouterr().out
    assert drawn.count("\r") == 2
    assert drawn.count("\n") == 1 and drawn.endswith("\n")
    assert all(len(part) <= 59 for part in drawn.strip("\n").split("\r"))
