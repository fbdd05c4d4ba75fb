"""The pages of a batch: the comparison, executed and rendered, and the pages that are kept beside the reference runs."""

import importlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gan_lib.batch.notebooks import NOTEBOOKS, ROOT, last_line, relative, start_notebook, stop
from gan_lib.errors import ReportError
from gan_lib.presets import ALL_CONFIGURATIONS
from gan_lib.runs.listing import check_experiments
from gan_lib.runs.storage import write_bytes

REFERENCE = ROOT / "results" / "reference"


def report(notebook: str, parameters: dict[str, Any], path: Path, title: str) -> Path:
    """Execute a notebook and render it to a page; returns the page. Raises ReportError when the notebook fails."""
    with tempfile.TemporaryDirectory(prefix="gan-lib-") as folder:  # of its own, so that a page may be made twice at once
        output = Path(folder) / notebook
        log = output.with_suffix(".log")
        process = start_notebook(NOTEBOOKS / notebook, output, parameters, log, path, title)
        try:
            importlib.import_module("gan_lib.reporting.html")  # for the index, which comes next
            process.join()
        finally:
            stop(process)
        if process.exitcode:
            kept = path.with_suffix(".log")
            write_bytes(kept, log.read_bytes() if log.exists() else b"")
            raise ReportError(f"{notebook} failed: {last_line(kept)} (all of it in {kept})")
        write_bytes(path.with_suffix(".ipynb"), output.read_bytes())
    return path


def with_siblings(experiments: Iterable[str], results: Path) -> list[str]:
    """Return some experiments, and one for each other configuration that has runs: of the same variant, or else, on your own
    images, the newest on the same ones."""
    from gan_lib.reporting.comparison import on_the_same_images

    chosen = {name.partition("--")[0]: name for name in experiments}
    variants = {name.partition("--")[2] for name in chosen.values()}
    for configuration in set(ALL_CONFIGURATIONS) - chosen.keys():
        for variant in sorted(variants):
            name = f"{configuration}--{variant}" if variant else configuration
            if (results / "runs" / name).is_dir():
                chosen[configuration] = name
    return sorted({**on_the_same_images(chosen.values(), results / "runs"), **chosen}.values())


def make_comparison(results: Path, experiments: list[str], reference: Path | None = None) -> Path:
    """Write the comparison of some experiments, folders below runs, or of the newest and its like where none is named.

    Reference runs may be named too: they stand in for what is missing, and make the comparison where nothing else is named.
    Returns the page. Raises RecordError when an experiment does not exist, ReportError when the notebook fails.
    """
    reference = reference or REFERENCE
    # os.path.isdir: False also of a name that is too long for a folder
    own = [name for name in experiments if os.path.isdir(results / "runs" / name) or not os.path.isdir(reference / name)]  # noqa: PTH112
    runs = results / "runs" if own or not experiments else reference
    check_experiments(runs, own or experiments)
    bench = results / "bench"
    parameters = {
        "results_dir": relative(runs, NOTEBOOKS),
        "reference_dir": relative(reference, NOTEBOOKS),
        "experiments": own or experiments,
        "page_dir": relative(results, NOTEBOOKS),
        "bench_dir": relative(bench if bench.is_dir() else ROOT / "results" / "bench", NOTEBOOKS),
    }
    return report("02_compare.ipynb", parameters, results / "comparison.html", "The GAN configurations compared")


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
    return make_comparison(reference, experiments, reference)
