"""A notebook's process is started, asked to stop, and made to stop."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest

from gan_lib.batch.notebooks import NOTEBOOKS, NotebookProcess, check_parameters, last_line, last_lines, relative
from gan_lib.errors import GanLibError


def notebook(path: Path, *cells: str) -> Path:
    """A notebook with these code cells."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, path)
    return path


def started(*arguments: Any) -> NotebookProcess:
    process = NotebookProcess(*arguments)
    process.go()
    return process


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.05)


def test_a_notebook_is_executed_and_its_output_kept(tmp_path: Path) -> None:
    book = notebook(tmp_path / "in {x}.ipynb", "print(6 * 7)")  # papermill would fill the braces in
    process = started(book, tmp_path / "out {x}.ipynb", {}, tmp_path / "log")
    assert process.wait(120) == 0
    process.stop()
    assert "42" in nbformat.read(tmp_path / "out {x}.ipynb", 4).cells[-1].outputs[0].text
    assert "42" in last_lines(tmp_path / "log").splitlines()  # jupyter_client may complain after it


@pytest.mark.slow
def test_what_went_wrong_is_told_by_exit_codes(tmp_path: Path) -> None:
    kill_itself = "import os, signal; os.kill(os.getpid(), signal.{})"
    for cell, code, said in (
        ("1 / 0", 1, "ZeroDivisionError"),
        (kill_itself.format("SIGKILL"), 128 + signal.SIGKILL, ""),
        ("import os; os.write(2, b'oh no'); os.abort()", 128 + signal.SIGABRT, "oh no"),
        ("import os; os.write(2, b'oh no'); os._exit(3)", 1, "the kernel ended by itself, with exit code 3: oh no"),
    ):
        process = started(notebook(tmp_path / "in.ipynb", cell), tmp_path / "out.ipynb", {}, tmp_path / "log")
        assert process.wait(120) == code, cell
        process.stop()
        assert said in last_lines(tmp_path / "log")


def test_a_process_that_waits_runs_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    book = notebook(tmp_path / "in.ipynb", f"open({str(tmp_path / 'mark')!r}, 'w')")
    process = NotebookProcess(book, tmp_path / "out.ipynb", {}, tmp_path / "log")
    time.sleep(2)
    process.stop()
    assert process.returncode == 143
    assert list(tmp_path.iterdir()) == [book]


@pytest.mark.slow
def test_settings_and_modules_of_the_user_do_not_reach_a_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("ipython/profile_default/startup", "matplotlib", "jupyter/kernels/python3", "work"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "ipython/profile_default/startup/0.py").write_text("raise SystemExit(9)")
    (tmp_path / "matplotlib/matplotlibrc").write_text("figure.facecolor: red")
    (tmp_path / "work/matplotlibrc").write_text("figure.facecolor: red")
    (tmp_path / "work/seaborn.py").write_text("")
    (tmp_path / "startup.py").write_text("import os; os._exit(9)")
    spec = {"argv": ["false"], "display_name": "another", "language": "python"}
    (tmp_path / "jupyter/kernels/python3/kernel.json").write_text(json.dumps(spec))
    places = {"IPYTHONDIR": "ipython", "MPLCONFIGDIR": "matplotlib", "JUPYTER_PATH": "jupyter", "PYTHONSTARTUP": "startup.py"}
    for name, value in places.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    monkeypatch.setenv("MPLBACKEND", "nonsense")
    cell = """
import importlib.util, matplotlib
assert matplotlib.rcParams["figure.facecolor"] == "white" and matplotlib.get_backend() == "agg"
assert importlib.util.find_spec("seaborn") is None
"""
    process = started(notebook(tmp_path / "work/in.ipynb", cell), tmp_path / "out.ipynb", {}, tmp_path / "log")
    code = process.wait(120)
    process.stop()
    assert code == 0, last_lines(tmp_path / "log")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stop", "the owner's end of standard input closes", "SIGKILL"])
def test_no_process_outlives_a_stop(tmp_path: Path, how: str) -> None:
    cell = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    process = started(notebook(tmp_path / "in.ipynb", cell), tmp_path / "out.ipynb", {}, tmp_path / "log")
    wait_for(tmp_path / "pid")
    kernel = psutil.Process(int((tmp_path / "pid").read_text()))
    if how == "stop":
        process.stop()
        assert process.returncode == 143
    elif how == "SIGKILL":
        process.kill()
    else:
        assert process.stdin
        process.stdin.close()
    assert process.wait(30) is not None
    kernel.wait(30)
    process.stop()


@pytest.mark.slow
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
    process = started(book, tmp_path / "out.ipynb", {}, tmp_path / "log", tmp_path / "run.lock")
    wait_for(tmp_path / "pid")
    kernel = psutil.Process(int((tmp_path / "pid").read_text()))
    process.send_signal(signal.SIGTERM)
    time.sleep(1)
    assert kernel.is_running(), "the first request only interrupts"
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    kernel.wait(30)
    process.stop()


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
