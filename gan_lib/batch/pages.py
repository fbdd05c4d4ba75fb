"""The pages of a batch: the comparison, executed and rendered, and the pages that are kept beside the reference runs."""

import contextlib
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gan_lib.batch.notebooks import NOTEBOOKS, ROOT, execute, last_line, relative, stop
from gan_lib.errors import RecordError, ReportError
from gan_lib.presets import ALL_CONFIGURATIONS
from gan_lib.reporting import figures
from gan_lib.reporting.comparison import check_experiments, compare
from gan_lib.reporting.quality_figures import frechet_curves
from gan_lib.runs.locks import Lock

_PATIENCE = 600  # seconds for another batch's report, which takes half a minute
REFERENCE = ROOT / "results" / "reference"


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


def make_comparison(results: Path, experiments: list[str]) -> Path:
    """Execute 02_compare.ipynb on some experiments (folders below runs) and render it; returns the HTML file.

    Raises RecordError when one of them does not exist, ReportError when the notebook fails.
    """
    check_experiments(results / "runs", experiments)
    return write_comparison(results / "runs", REFERENCE, experiments, results / "comparison.html")


def write_comparison(runs: Path, reference: Path, experiments: list[str], page: Path) -> Path:
    """Execute 02_compare.ipynb on some experiments below a folder of runs, which may be the reference runs' own."""
    bench = page.parent / "bench"
    parameters = {
        "results_dir": relative(runs, NOTEBOOKS),
        "reference_dir": relative(reference, NOTEBOOKS),
        "experiments": experiments,
        "page_dir": relative(page.parent, NOTEBOOKS),
        "bench_dir": relative(bench if bench.is_dir() else ROOT / "results" / "bench", NOTEBOOKS),
    }
    return report("02_compare.ipynb", parameters, page, "The GAN configurations compared")


def report(notebook: str, parameters: dict[str, Any], page: Path, title: str) -> Path:
    """Execute a notebook and render it to a page; returns the page. Raises ReportError when the notebook fails."""
    from gan_lib.reporting.html import render

    output, log = page.with_suffix(".ipynb"), page.with_suffix(".log")
    with _alone_with(page):
        process = execute(NOTEBOOKS / notebook, output, parameters, log)
        try:
            code = process.wait()
        finally:
            stop(process)
        if code:
            raise ReportError(f"{notebook} failed: {last_line(log)} (all of it in {log})")
        log.unlink()
        return render(output, page, title)


@contextlib.contextmanager
def _alone_with(page: Path) -> Iterator[None]:
    """Wait until no other process writes a page: two batches in one results folder may be through at the same time.

    Raises RecordError when the other one takes longer than any report does.
    """
    page.parent.mkdir(parents=True, exist_ok=True)
    lock, deadline = Lock(page.with_suffix(".lock")), time.monotonic() + _PATIENCE
    while True:
        try:
            lock.acquire()  # which itself waits for a moment
            break
        except RecordError:
            if time.monotonic() > deadline:
                raise
    try:
        yield
    finally:
        lock.release()


def publish_comparison(reference: Path) -> Path:
    """Write the comparison of the reference runs, and two of its figures as README shows them: images.png, quality.png."""
    experiments = sorted(path.name for path in reference.iterdir() if path.is_dir())
    page = write_comparison(reference, reference, experiments, reference / "comparison.html")
    rows = compare(reference, reference, experiments)
    (reference / "images.png").write_bytes(figures.sample_sheet(rows).png())
    (reference / "quality.png").write_bytes(frechet_curves(rows).png())
    return page
