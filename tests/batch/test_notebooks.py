"""A notebook's process is started, asked to stop, and made to stop."""

import json
import signal
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from gan_lib.batch.notebooks import NOTEBOOKS, check_parameters, execute, last_line, last_lines, relative, stop
from gan_lib.errors import GanLibError


def notebook(path: Path, *cells: str) -> Path:
    """A notebook with these code cells."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, path)
    return path


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.05)


def test_a_notebook_is_executed_and_its_output_kept(tmp_path: Path) -> None:
    book = notebook(tmp_path / "in {x}.ipynb", "print(6 * 7)")  # papermill would fill the braces in
    process = execute(book, tmp_path / "out {x}.ipynb", {}, tmp_path / "log")
    assert process.wait(120) == 0
    stop(process)
    assert "42" in nbformat.read(tmp_path / "out {x}.ipynb", 4).cells[-1].outputs[0].text
    assert last_line(tmp_path / "log") == "42"


def test_what_went_wrong_is_told_by_exit_codes(tmp_path: Path) -> None:
    kill_itself = "import os, signal; os.kill(os.getpid(), signal.{})"
    for cell, code, said in (
        ("1 / 0", 1, "ZeroDivisionError"),
        (kill_itself.format("SIGKILL"), 128 + signal.SIGKILL, ""),
        (kill_itself.format("SIGSEGV"), 128 + signal.SIGSEGV, ""),
        ("import os; os._exit(3)", 1, "the kernel ended by itself, with exit code 3"),
    ):
        process = execute(notebook(tmp_path / "in.ipynb", cell), tmp_path / "out.ipynb", {}, tmp_path / "log")
        assert process.wait(120) == code, cell
        stop(process)
        assert said in last_lines(tmp_path / "log")


@pytest.mark.parametrize("how", ["stop", "the owner's end of standard input closes", "SIGKILL"])
def test_no_process_outlives_a_stop(tmp_path: Path, how: str) -> None:
    cell = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    process = execute(notebook(tmp_path / "in.ipynb", cell), tmp_path / "out.ipynb", {}, tmp_path / "log")
    wait_for(tmp_path / "pid")
    kernel = psutil.Process(int((tmp_path / "pid").read_text()))
    if how == "stop":
        stop(process)
        assert process.returncode == 143
    elif how == "SIGKILL":
        process.kill()
    else:
        assert process.stdin
        process.stdin.close()
    assert process.wait(30) is not None
    kernel.wait(30)
    stop(process)


def test_a_kernel_that_ignores_an_interrupt_is_killed_on_the_second_request(tmp_path: Path) -> None:
    cell = f"""
import json, os, signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
from pathlib import Path
from gan_lib.runs.locks import Lock
lock = Lock(Path({str(tmp_path / "run.lock")!r}))
lock.acquire()
Path({str(tmp_path / "pid")!r}).write_text(str(os.getpid()))
while True:
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        pass
"""
    book = notebook(tmp_path / "in.ipynb", cell)
    process = execute(book, tmp_path / "out.ipynb", {}, tmp_path / "log", tmp_path / "run.lock")
    wait_for(tmp_path / "pid")
    kernel = psutil.Process(int((tmp_path / "pid").read_text()))
    process.send_signal(signal.SIGTERM)
    time.sleep(1)
    assert kernel.is_running(), "the first request only interrupts"
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    kernel.wait(30)
    stop(process)


def test_a_parameter_that_a_notebook_does_not_declare_is_refused() -> None:
    with pytest.raises(GanLibError, match="declares no parameter 'epoch'"):
        check_parameters(NOTEBOOKS / "01_train.ipynb", ["epochs", "epoch"])


def test_last_lines_are_those_with_something_on_them_and_without_colours(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("one\n\n\x1b[31mtwo\x1b[0m\n  \nthree\n\n")
    assert last_lines(tmp_path / "log", 2) == "two\nthree"
    assert last_line(tmp_path / "log") == "three"
    assert last_line(tmp_path / "none") == "nothing was printed"


def test_paths_are_seen_from_the_repository() -> None:
    assert relative(NOTEBOOKS / "01_train.ipynb") == "notebooks/01_train.ipynb"
    assert json.dumps(relative(NOTEBOOKS, NOTEBOOKS)) == '"."'
