"""Executed notebooks -> self-contained HTML pages, and the index page that links them: no script, nothing from elsewhere."""

from pathlib import Path

from gan_lib.errors import RecordError
from gan_lib.record import find_records
from gan_lib.words import first_line

_TEMPLATES = Path(__file__).resolve().parent / "templates"
_NOT_IN_REPORTS = {"notebook-only"}  # cells for whoever runs the notebook by hand


def render(notebook: Path, page: Path, title: str, trouble: str = "", said: str = "") -> Path:
    """Write an executed notebook as one HTML file; returns it. Raises RecordError when the notebook cannot be read.

    trouble: what the page opens with, where something went wrong; said: the last lines that were printed then.
    """
    import nbformat
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    settings = Config()
    settings.TagRemovePreprocessor.enabled = True
    settings.TagRemovePreprocessor.remove_cell_tags = _NOT_IN_REPORTS
    exporter = HTMLExporter(template_name="report", extra_template_basedirs=[str(_TEMPLATES)], config=settings)
    try:
        content = nbformat.read(notebook, as_version=4)
    except Exception as error:  # nbformat raises whatever its JSON reader and its validator raise
        raise RecordError(f"{notebook} cannot be read as a notebook: {first_line(error)}") from error
    content.metadata |= {"title": title, "trouble": trouble, "said": said}
    html, _ = exporter.from_notebook_node(content)
    _write(page, html)
    return page


def write_index(results: Path) -> Path:
    """Write results/index.html: the comparison and every run, with links to their reports; returns it."""
    import jinja2

    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True)
    records, problems = find_records(results / "runs")
    html = environment.get_template("index.html.j2").render(
        runs=[_entry(results, record) for record in records],
        problems=problems,
        comparison=(results / "comparison.html").exists(),
    )
    page = results / "index.html"
    _write(page, html)
    return page


def _entry(results: Path, record) -> dict[str, object]:  # type: ignore[no-untyped-def]
    below = record.path.relative_to(results)
    return {
        "record": record,
        "report": below / "report.html" if (record.path / "report.html").exists() else None,
        "samples": below / "samples.png" if (record.path / "samples.png").exists() else None,
    }


def _write(page: Path, html: str) -> None:
    temporary = page.with_name(f".{page.name}.tmp")
    temporary.write_text(html, encoding="utf-8")
    temporary.replace(page)
