"""The pages of a batch: the comparison, executed and rendered, and the pages that are kept beside the reference runs."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from gan_lib.batch.notebooks import NOTEBOOKS, ROOT, NotebookProcess, last_line, relative
from gan_lib.errors import ReportError
from gan_lib.presets import ALL_CONFIGURATIONS
from gan_lib.runs.storage import write_bytes

REFERENCE = ROOT / "results" / "reference"


class Page:
    """A page to be made of a notebook, inside `with`: executed in a folder of its own, so that two may be made at once."""

    def __init__(self, notebook: str, parameters: dict[str, Any], path: Path, title: str) -> None:
        self.path, self._title = path, title
        self._folder = tempfile.TemporaryDirectory(prefix="gan-lib-")
        self._notebook = Path(self._folder.name) / notebook
        self._log = self._notebook.with_suffix(".log")
        self.parameters = parameters
        self._process: NotebookProcess | None = None

    def __enter__(self) -> "Page":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process:
            self._process.stop()
        self._folder.cleanup()

    def warm_up(self) -> NotebookProcess:
        """Start the notebook's process, which then waits; returns it."""
        source = NOTEBOOKS / self._notebook.name
        self._process = self._process or NotebookProcess(source, self._notebook, self.parameters, self._log)
        return self._process

    def make(self) -> Path:
        """Execute the notebook and render it; returns the page. Raises ReportError when the notebook fails."""
        from gan_lib.reporting.html import render

        process = self.warm_up()
        process.go()
        if process.wait():
            log = self.path.with_suffix(".log")
            write_bytes(log, self._log.read_bytes())
            raise ReportError(f"{self._notebook.name} failed: {last_line(log)} (all of it in {log})")
        write_bytes(self.path.with_suffix(".ipynb"), self._notebook.read_bytes())
        return render(self._notebook, self.path, self._title)


def report(notebook: str, parameters: dict[str, Any], path: Path, title: str) -> Path:
    """Execute a notebook and render it to a page; returns the page. Raises ReportError when the notebook fails."""
    with Page(notebook, parameters, path, title) as page:
        return page.make()


def with_siblings(experiments: Iterable[str], results: Path) -> list[str]:
    """Some experiments, and those of the same variant on disk of the configurations that they leave out."""
    chosen = {name.partition("--")[0]: name for name in experiments}
    variants = {name.partition("--")[2] for name in chosen.values()}
    for configuration in set(ALL_CONFIGURATIONS) - chosen.keys():
        for variant in sorted(variants):
            name = f"{configuration}--{variant}" if variant else configuration
            if (results / "runs" / name).is_dir():
                chosen[configuration] = name
    return sorted(chosen.values())


def comparison(results: Path, experiments: list[str], reference: Path | None = None) -> Page:
    """The comparison of some experiments, which are folders below runs, or of the newest and its like where none is named.

    Reference runs may be named too: they stand in for what is missing, and make the comparison where nothing else is named.
    """
    reference = reference or REFERENCE
    # os.path.isdir: False also of a name that is too long for a folder
    own = [name for name in experiments if os.path.isdir(results / "runs" / name) or not os.path.isdir(reference / name)]  # noqa: PTH112
    bench = results / "bench"
    parameters = {
        "results_dir": relative(results / "runs" if own or not experiments else reference, NOTEBOOKS),
        "reference_dir": relative(reference, NOTEBOOKS),
        "experiments": own or experiments,
        "page_dir": relative(results, NOTEBOOKS),
        "bench_dir": relative(bench if bench.is_dir() else ROOT / "results" / "bench", NOTEBOOKS),
    }
    return Page("02_compare.ipynb", parameters, results / "comparison.html", "The GAN configurations compared")


def make_comparison(results: Path, experiments: list[str]) -> Path:
    """Write the comparison, as `comparison` says; returns the HTML file.

    Raises RecordError when an experiment does not exist, ReportError when the notebook fails.
    """
    from gan_lib.reporting.comparison import check_experiments

    with comparison(results, experiments) as page:
        check_experiments(Path(os.path.realpath(NOTEBOOKS / page.parameters["results_dir"])), page.parameters["experiments"])
        return page.make()


def publish_comparison(reference: Path) -> Path:
    """Write the comparison of the reference runs, and two of its figures as README shows them: images.png, quality.png."""
    from gan_lib.reporting import figures
    from gan_lib.reporting.comparison import compare
    from gan_lib.reporting.quality_figures import frechet_curves

    experiments = sorted(path.name for path in reference.iterdir() if path.is_dir())
    rows = compare(reference, reference, experiments)
    for name, chart in {"images": figures.sample_sheet(rows), "quality": frechet_curves(rows)}.items():
        if chart:
            write_bytes(reference / f"{name}.png", chart.png())
    with comparison(reference, experiments, reference) as page:
        return page.make()
