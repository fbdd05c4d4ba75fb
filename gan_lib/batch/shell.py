"""Inside the process of a notebook: papermill executes it here, without a kernel, and its page is rendered."""

import base64
import io
import sys
import tempfile
from pathlib import Path
from typing import Any

import matplotlib
import papermill
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from nbformat import NotebookNode
from nbformat.v4 import new_output
from papermill.engines import Engine, NotebookExecutionManager, papermill_engines
from traitlets import Type
from traitlets.config import Config

from gan_lib.reporting.html import render


class _Result(DisplayHook):
    """The value of a cell's last line."""

    shell: "_Shell"

    def write_output_prompt(self) -> None:
        """Nothing: a notebook has its own."""

    def write_format_data(self, format_dict: dict[str, Any], md_dict: dict[str, Any] | None = None) -> None:
        self.shell.keep("execute_result", format_dict, md_dict, execution_count=self.shell.cell.execution_count)

    def finish_displayhook(self) -> None:
        self._is_active = False


class _Displayed(DisplayPublisher):
    """What a cell shows with display()."""

    def publish(self, data: dict[str, Any], metadata: dict[str, Any] | None = None, *_: Any, **__: Any) -> None:
        self.shell.keep("display_data", data, metadata)


class _Stream(io.TextIOBase):
    """What a cell prints: into the log at once, and into the notebook."""

    def __init__(self, shell: "_Shell", name: str) -> None:
        self._shell, self._name, self._log = shell, name, getattr(sys, name)

    def write(self, text: str) -> int:
        self._log.write(text)
        outputs = self._shell.cell.outputs
        if not outputs or outputs[-1].get("name") != self._name:
            outputs.append(new_output("stream", name=self._name, text=""))
        outputs[-1].text += text
        return len(text)

    def flush(self) -> None:
        self._log.flush()


class _Shell(InteractiveShell):
    """IPython, with what a cell shows kept in the cell."""

    displayhook_class, display_pub_class = Type(_Result), Type(_Displayed)
    cell: NotebookNode

    def keep(self, kind: str, data: dict[str, Any], metadata: dict[str, Any] | None, **more: Any) -> None:
        """Add an output to the cell; pictures are bytes."""
        plain = {mime: base64.b64encode(part).decode() if isinstance(part, bytes) else part for mime, part in data.items()}
        self.cell.outputs.append(new_output(kind, data=plain, metadata=metadata or {}, **more))

    def _showtraceback(self, etype: type[BaseException], evalue: BaseException, stb: list[str]) -> None:
        self.cell.outputs.append(new_output("error", ename=etype.__name__, evalue=str(evalue), traceback=stb))


class _Here(Engine):
    """Papermill's engine that runs the cells in this process."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: NotebookExecutionManager, kernel_name: str, **_: Any) -> None:
        with tempfile.TemporaryDirectory(prefix="gan-lib-") as profile:  # the user's own has settings and start-up files
            shell = _Shell.instance(ipython_dir=profile, config=Config({"HistoryManager": {"enabled": False}}))
            sys.stdout, sys.stderr = _Stream(shell, "stdout"), _Stream(shell, "stderr")
            code = [(at, cell) for at, cell in enumerate(nb_man.nb.cells) if cell.cell_type == "code"]
            for number, (at, shell.cell) in enumerate(code, start=1):
                nb_man.cell_start(shell.cell, at)
                shell.cell.execution_count = number
                result = shell.run_cell(shell.cell.source)
                error = result.error_before_exec or result.error_in_exec
                if error:
                    nb_man.cell_exception(shell.cell, at)
                nb_man.cell_complete(shell.cell, at)
                if isinstance(error, (KeyboardInterrupt, SystemExit)):
                    raise error
                if error:
                    break  # papermill raises it


papermill_engines.register("here", _Here)


def execute(notebook: str, output: str, parameters: dict[str, Any], folder: str, page: Path | None, title: str) -> None:
    """Execute a notebook in a folder into another notebook, and that into a page. Raises what a cell raises."""
    matplotlib.rcdefaults()
    paths = [path.replace("{", "{{").replace("}", "}}") for path in (notebook, output)]  # papermill fills in {}
    papermill.execute_notebook(
        *paths, parameters=parameters, engine_name="here", kernel_name="python3", cwd=folder, progress_bar=False
    )
    if page:
        render(Path(output), page, title)
