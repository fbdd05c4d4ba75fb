"""A notebook's process is started, asked to stop, and made to stop."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from gan_lib.batch import notebooks
from gan_lib.batch.notebooks import NOTEBOOKS, check_parameters, last_line, last_lines, relative, start_notebook, stop
from gan_lib.errors import GanLibError


def notebook(path: Path, *cells: str) -> Path:
    """A notebook with these code cells."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, path)
    return path


def executed(path: Path, *cells: str) -> int | None:
    """Execute a notebook of these cells to its end; returns the exit code."""
    process = start_notebook(notebook(path / "in.ipynb", *cells), path / "out.ipynb", {}, path / "log")
    process.join(120)
    stop(process)
    return process.exitcode


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.05)


SHOWN = """
import sys
from IPython.display import HTML, display
print(6 * 7)
display(HTML("<b>bold</b>"))
print("oh", file=sys.stderr)
get_ipython().display_pub.publish({"image/png": b"picture"}, {"image/png": {"alt": "words"}})
[1, 2]"""


def test_a_notebook_is_executed_and_all_that_it_shows_is_kept_in_order(tmp_path: Path) -> None:
    book = notebook(tmp_path / "in {x}.ipynb", SHOWN, "len(_)")  # papermill would fill the braces in
    process = start_notebook(book, tmp_path / "out {x}.ipynb", {}, tmp_path / "log", tmp_path / "page.html", "A title")
    process.join(120)
    assert process.exitcode == 0
    first, second = nbformat.read(tmp_path / "out {x}.ipynb", 4).cells
    printed, shown, error, picture, value = first.outputs
    assert (printed.name, printed.text, error.name, error.text) == ("stdout", "42\n", "stderr", "oh\n")
    assert shown.data["text/html"] == "<b>bold</b>"
    assert (picture.data["image/png"], picture.metadata["image/png"]["alt"]) == ("cGljdHVyZQ==", "words")
    assert (value.output_type, value.execution_count, value.data["text/plain"]) == ("execute_result", 1, "[1, 2]")
    assert second.outputs[0].data["text/plain"] == "2"
    assert last_lines(tmp_path / "log") == "42\noh"
    assert "<title>A title" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("cell", "code", "said"),
    [
        ("1 / 0", 1, "ZeroDivisionError: division by zero"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, "nothing was printed"),
        ("import os; os.write(2, b'oh no'); os.abort()", -signal.SIGABRT, "oh no"),
        ("import os; os.write(2, b'oh no'); os._exit(3)", 3, "oh no"),
        ("import sys; sys.exit(0)", 0, None),
        ("from gan_lib.errors import DataError; raise DataError('one line')", 1, "DataError: one line"),
    ],
)
def test_how_it_ended_is_told_by_exit_codes(tmp_path: Path, cell: str, code: int, said: str | None) -> None:
    assert executed(tmp_path, cell, "open('never', 'w')") == code
    assert said is None or last_line(tmp_path / "log") == said
    assert not (tmp_path / "never").exists()


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
    book = notebook(tmp_path / "work/in.ipynb", cell)
    code = f"""
from pathlib import Path
from gan_lib.batch.notebooks import start_notebook
folder = Path({str(tmp_path)!r})
process = start_notebook(Path({str(book)!r}), folder / "out.ipynb", {{}}, folder / "log")
process.join(120)
raise SystemExit(process.exitcode)
"""  # in another process, for the server that starts with these settings
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "work", capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), last_lines(tmp_path / "log")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stop", "its batch is killed", "its server is killed"])
def test_no_process_outlives_its_batch(tmp_path: Path, how: str) -> None:
    cell = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    arguments = [notebook(tmp_path / "in.ipynb", cell), tmp_path / "out.ipynb", {}, tmp_path / "log"]
    code = f"""
from pathlib import Path, PosixPath
from gan_lib.batch.notebooks import start_notebook, stop
process = start_notebook(*{arguments!r})
input()
stop(process)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as batch:
        wait_for(tmp_path / "pid")
        processes = psutil.Process(batch.pid).children(recursive=True)
        process = psutil.Process(int((tmp_path / "pid").read_text()))
        assert process in processes
        if how == "stop":
            batch.communicate(b"\n")
        elif how == "its batch is killed":
            batch.kill()
        else:
            process.parent().kill()  # type: ignore[union-attr]
            process.wait(30)
            batch.communicate(b"\n")
    assert not psutil.wait_procs(processes, timeout=30)[1]


@pytest.mark.slow
def test_a_temporary_folder_with_a_long_name_ends_no_run(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 20)
    folder.mkdir()
    program = "from gan_lib.batch.notebooks import warm_up; warm_up()"
    done = subprocess.run([sys.executable, "-c", program], env={**os.environ, "TMPDIR": str(folder)}, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_process_that_ignores_a_request_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebooks, "_PATIENCE", 0.5)
    mark = str(tmp_path / "mark")
    cell = f"import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open({mark!r}, 'w'); time.sleep(600)"
    process = start_notebook(notebook(tmp_path / "in.ipynb", cell), tmp_path / "out.ipynb", {}, tmp_path / "log")
    wait_for(tmp_path / "mark")
    stop(process)
    assert process.exitcode == -signal.SIGKILL


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
