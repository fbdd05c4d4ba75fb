"""Executed notebooks -> self-contained HTML pages, and the index page that links them: no script, nothing from elsewhere."""

import shlex
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from gan_lib import paper
from gan_lib.config import RunConfig, differences
from gan_lib.errors import RecordError
from gan_lib.presets import CONFIGURATIONS, PRESETS, configure, variant
from gan_lib.reporting.claims import sentences
from gan_lib.reporting.comparison import FEWER_PASSES, OWN, QUICK_NOTE, REFERENCE, Comparison, describe
from gan_lib.reporting.tables import TITLES
from gan_lib.runs.record import Record, find_records
from gan_lib.text import first_line

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


_FURTHER = (
    "WGAN and CWGAN are the same two networks trained with a Wasserstein loss, which the paper names as future work; "
    "it has no numbers of them, and its claims are judged without them."
)


def heading(config: RunConfig, machine: dict[str, Any], started: str, notes: Iterable[str] = ()) -> str:
    """What one run is: which configuration, named after which machine, really run on which, when, with which code.

    notes: what else is worth knowing about how it went, such as where it went on after a stop.
    """
    named = paper.INSTANCES[config.machine].name
    return (
        f"<h1>{TITLES[config.configuration]}: {config.epochs:,} epochs, seed {config.seed}</h1>"
        f'<p class="provenance">Named after {named}. Run on {escape(str(machine["label"]))}, {escape(str(machine["threads"]))} '
        f"threads, {escape(_when(started))}. {escape(_software(machine))}.</p>"
        + (f"<p>The quick preset: {_quick_note(config)}.</p>" if variant(config).startswith("quick") else "")
        + "".join(f'<p class="provenance">This run: {escape(note)}.</p>' for note in notes)
    )


def _quick_note(config: RunConfig) -> str:
    return QUICK_NOTE if config.band else FEWER_PASSES


def opening(rows: Comparison) -> str:
    """How the comparison begins: heading, verdict, provenance."""
    verdict = "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences(rows))
    return (
        "<h1>GAN and CGAN, on a CPU and on a GPU: the paper's four configurations compared</h1>"
        + (f"<p>{_FURTHER}</p>" if rows.keys() - set(CONFIGURATIONS) else "")
        + f'<div class="verdict">{verdict}</div>'
        f'<p>{escape(describe(rows))}</p><p class="provenance">{escape(_provenance(rows))}</p>'
        f'<p class="provenance">The paper: {escape(paper.CITATION)}.</p>'
    )


def how_to_reproduce(rows: Comparison) -> str:
    """The commands that make this report again."""
    own = [run for row in rows.values() for run in row.records if row.origin == OWN]
    reference = [run for row in rows.values() for run in row.records if row.origin == REFERENCE]
    commands = _commands(own) or ["gan-lib run --preset paper"]
    if len(commands) > 1:
        commands.append("gan-lib compare " + " ".join(sorted({run.path.parent.name for run in own})))
    text = "<p>With the same commit and the packages of requirements.lock:</p>"
    text += "".join(f"<pre>{escape(command)}</pre>" for command in commands)
    if reference:
        text += "<p>The reference runs, on the machines named above:</p>"
        text += "".join(f"<pre>{escape(command)}</pre>" for command in _commands(reference))
    return text


def paragraphs(lines: Iterable[str]) -> str:
    """Plain lines as paragraphs."""
    return "".join(f"<p>{escape(line)}</p>" for line in lines)


def _provenance(rows: Comparison) -> str:
    """When, where, with which code, which data and which seeds each row was made."""
    said = []
    for row in rows.values():
        if not row.records:
            continue
        newest = max(row.records, key=lambda run: str(run.summary.get("finished")))
        seeds = ", ".join(str(run.config.seed) for run in row.records)
        said.append(
            f"{TITLES[row.configuration]}: {row.origin}, {row.machine}, {_when(str(newest.summary.get('finished')))}, "
            f"data {newest.config.data}, seed{'s' if len(row.records) > 1 else ''} {seeds}, {_software(newest.machine)}."
        )
    return " ".join(said)


def _commands(runs: Iterable[Record]) -> list[str]:
    """As few commands as there are kinds of runs: those that differ in configuration and seed only share one."""
    kinds: dict[tuple[str, str], tuple[list[str], list[int]]] = {}
    for run in runs:
        named = run.variant.split("-")[0]
        preset = named if named in PRESETS else "paper"
        changed = differences(run.config, configure(run.config.configuration, preset))
        settings = "".join(f" --set {shlex.quote(f'{name}={value}')}" for name, (value, _) in changed.items())
        configurations, seeds = kinds.setdefault((preset, settings), ([], []))
        configurations.append(run.config.configuration)
        seeds.append(run.config.seed)
    return [
        f"gan-lib run {' '.join(dict.fromkeys(configurations))} --preset {preset} "
        f"--seeds {','.join(map(str, sorted(set(seeds))))}{settings}"
        for (preset, settings), (configurations, seeds) in kinds.items()
    ]


def _when(time: str) -> str:
    return time[:16].replace("T", " ") + " UTC"


def _software(machine: dict[str, Any]) -> str:
    packages = machine.get("packages") or {}
    commit = str(machine.get("git_commit") or "unknown")[:12]
    changed = " with local changes" if machine.get("git_dirty") else ""
    return f"PyTorch {packages.get('torch', '?')}, Python {machine.get('python', '?')}, commit {commit}{changed}"
