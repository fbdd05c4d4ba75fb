"""Convert executed notebooks to self-contained HTML pages without scripts, and write the index page."""

import os
import re
import shlex
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from gan_lib.config import RunConfig, differences
from gan_lib.errors import RecordError
from gan_lib.presets import PRESETS, configure, title
from gan_lib.quality.measures import FRECHET
from gan_lib.reporting import claims, convergence, paper, quality
from gan_lib.reporting.comparison import (
    HEAD,
    REFERENCE,
    Comparison,
    Row,
    about_paper,
    all_records,
    describe,
    is_safe,
    missing,
    report_links,
    schedule,
    with_runs,
)
from gan_lib.runs.record import Record, find_records
from gan_lib.runs.storage import write_bytes
from gan_lib.text import counted, first_line, show

_TEMPLATES = Path(__file__).resolve().parent / "templates"
_NOT_IN_REPORTS = {"notebook-only"}  # cells for people who run the notebook themselves
_FIRST = "opening"  # tag of the cells that come first on the page
_PROJECTS_PAGES = {
    "reference/comparison.html": "The reference runs",
    "choices/choices.html": "What the paper leaves open",
    "ablation/ablation.html": "What each part of the optimal configuration gives",
    "searches/searches.html": "A genetic algorithm against random search",
}
CONTENTS, _HEAD_ENDS = "<!-- contents -->", "<!-- head -->"  # place of the list of headings; end of the part that HEAD replaces


def render(notebook: Path, page: Path, title: str, trouble: str = "", printed: str = "") -> Path:
    """Write an executed notebook as one HTML file; returns it. Raises RecordError when the notebook cannot be read.

    trouble: an error text for the top of the page; printed: the last lines of the run's output.
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
    content.cells.sort(key=lambda cell: _FIRST not in cell.metadata.get("tags", []))
    content.metadata |= {"title": title, "trouble": trouble, "printed": printed, "links": _back(page)}
    html, _ = exporter.from_notebook_node(content)
    body = html.partition(_HEAD_ENDS)[2]  # nbconvert writes attributes in an order of its own
    html = HEAD + body.replace(CONTENTS, _contents(body), 1)
    write_bytes(page, html.encode(errors="replace"))
    return page


def write_index(results: Path, runs: tuple[list[Record], list[str]] | None = None) -> Path:
    """Write results/index.html: the comparison and every run, with links to their reports; returns it.

    runs: the find_records of results/runs, if they were read before.

    A run and its report.html may come from a stranger: the report is linked only if it begins with the head that forbids
    scripts.
    """
    import jinja2

    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True)
    records, problems = runs or find_records(results / "runs", series=False)
    html = environment.get_template("index.html.j2").render(
        head=HEAD,
        runs=[_entry(results, record) for record in records],
        problems=problems,
        comparison=is_safe(results / "comparison.html"),
        others={link: name for link, name in _PROJECTS_PAGES.items() if is_safe(results / link)},
    )
    page = results / "index.html"
    write_bytes(page, html.encode(errors="replace"))
    return page


def _entry(results: Path, record: Record) -> dict[str, Any]:
    below = record.path.relative_to(results)
    numbers = {
        "s per epoch": record.summary.get("seconds_per_epoch"),
        "USD": convergence.cost_usd(record) if record.status == "ok" else None,
        "Fréchet distance": quality.last(record).get(FRECHET),
        "of real images": quality.floor(record).get(FRECHET),
    }
    done, epochs = record.epochs_done, counted(record.config.epochs, "epoch")
    return {
        "record": record,
        "epochs": epochs if done == record.config.epochs else f"{done:,} of {epochs}",
        "numbers": {name: show(value) for name, value in numbers.items() if value is not None},
        "report": below / "report.html" if is_safe(record.path / "report.html") else None,
        "samples": below / "samples.png" if (record.path / "samples.png").is_file() else None,
    }


def _back(page: Path) -> dict[str, str]:
    """Return the links to the index and the comparison, which every batch writes, from a run's report and the comparison."""
    if len(page.parents) > 3 and page.parents[2].name == "runs":
        above, names = page.parents[3], {"index.html": "All results", "comparison.html": "The comparison"}
    else:
        above, names = page.parent, {"index.html": "All results"} if page.name == "comparison.html" else {}
    if not (above / "runs").is_dir():
        return {}
    return {Path(os.path.relpath(above / target, page.parent)).as_posix(): name for target, name in names.items()}


def _contents(html: str) -> str:
    """Return a page's second-level headings as links."""
    headings = re.findall(r'<h2 id="([^"]+)">(.*?)(?:<a class="anchor-link".*?)?</h2>', html, re.S)
    links = "".join(f'<li><a href="#{anchor}">{text}</a></li>' for anchor, text in headings)
    return f'<nav aria-label="Contents"><ul class="contents">{links}</ul></nav>' if links else ""


def heading(config: RunConfig, machine: dict[str, Any], started: str, notes: Iterable[str] = ()) -> str:
    """Return the heading of one run: configuration, named and real machine, time and code version.

    notes: further remarks, such as where it resumed after a stop.
    """
    named = paper.INSTANCES[config.machine].name
    return (
        f"<h1>{escape(title(config.configuration))}: {counted(config.epochs, 'epoch')}, seed {config.seed}</h1>"
        f'<p class="provenance">Named after {named}. Run on {escape(str(machine["label"]))}, {escape(_threads(machine))}, '
        f"{escape(_when(started))}. {escape(_software(machine))}.</p>"
        f'<p class="provenance">Preset paper, but for its length: {escape(schedule(config))}.</p>'
        + "".join(f'<p class="provenance">This run: {escape(note)}.</p>' for note in notes)
    )


def _threads(machine: dict[str, Any]) -> str:
    count = machine["threads"]
    return counted(count, "thread") if isinstance(count, int) else f"{count} threads"


def verdict(sentences: str) -> str:
    """Return the verdict as HTML, for the top of a page: its first sentence, and smaller what else there is to say."""
    first, end, rest = sentences.partition(". ")
    more = f'<p class="note">{escape(rest)}</p>' if rest else ""
    return f'<div class="verdict">{paragraphs([first + end.strip()])}{more}</div>'


def opening(rows: Comparison) -> str:
    """Return the top of the comparison: its configurations, the verdict, and what is missing."""
    families = list(dict.fromkeys(title(row.configuration).rpartition(", ")[0] for row in with_runs(rows) or rows.values()))
    names = " and ".join(filter(None, [", ".join(families[:-1]), *families[-1:]])) or "Nothing"
    data = {record.config.data for record in all_records(rows)}
    images = "" if about_paper(rows) or not data else f" on {', '.join(sorted(data))}"
    absent = missing(rows)
    return (
        f"<h1>{escape(names)} compared{escape(images)}</h1>"
        + verdict(claims.verdict(rows))
        + (f'<p class="note">{escape(absent)}</p>' if absent else "")
    )


def about(rows: Comparison, page_folder: Path) -> str:
    """Return the runs of the comparison, and its table of contents. page_folder: links to reports are relative to it."""
    cited = f'<p class="provenance">The paper: {escape(paper.CITATION)}.</p>' if about_paper(rows) else ""
    lines = "".join(f"<li>{_provenance(row.title, row.records, row.origin, page_folder)}</li>" for row in with_runs(rows))
    return (
        f"<p>{escape(describe(rows))}</p>{cited}"
        + (f"<details><summary>Where each number comes from</summary><ul>{lines}</ul></details>" if lines else "")
        + CONTENTS
    )


def elsewhere(rows: Comparison, labels: Iterable[str]) -> list[str]:
    """Return a sentence if a bench was measured on another machine than the runs."""
    others = sorted(set(labels) - {str(record.machine.get("label")) for record in all_records(rows)})
    return [f"Measured on another machine than these runs: {', '.join(others)}."] if others else []


def how_to_reproduce(rows: Comparison) -> str:
    """Return the commands that reproduce this report, with the commit of the runs."""
    own, stand_ins = ([row for row in with_runs(rows) if row.stands_in is kind] for kind in (False, True))
    text = _commands(own) or _passage("To make the runs:", ["gan-lib run --preset paper"])
    if stand_ins:
        text += "<p>The reference runs come with the project. They were made by:</p>" + _commands(stand_ins)
    experiments = sorted({record.path.parent.name for row in own if row.origin != REFERENCE for record in row.records})
    if experiments:
        text += _passage("Then, to write this page:", [f"gan-lib compare {' '.join(map(shlex.quote, experiments))}"])
    elif own:
        text += _passage("Then, to keep the runs as reference runs and write this page:", ["make reference"])
    return text


def paragraphs(lines: Iterable[str]) -> str:
    """Return plain lines as HTML paragraphs."""
    return "".join(f"<p>{escape(line)}</p>" for line in lines)


def _provenance(name: str, records: Sequence[Record], origin: str, page_folder: Path) -> str:
    """Return time, machine, code version and seeds of a row's runs, with links to their reports."""
    newest = max(records, key=lambda run: str(run.summary.get("finished")))
    links = report_links(records, page_folder)
    seeds = ", ".join(
        f'<a href="{escape(links[run.name])}">{run.config.seed}</a>' if run.name in links else str(run.config.seed)
        for run in records
    )
    machines = ", ".join(sorted({str(run.machine.get("label", "unknown")) for run in records}))
    words = f"{name}: {origin}, {machines}, {_when(str(newest.summary.get('finished')))}, data {newest.config.data}"
    return f"{escape(words)}, seed{'s' if len(records) > 1 else ''} {seeds}, {escape(_software(newest.machine))}."


def _commands(rows: Iterable[Row]) -> str:
    """Return the commands to make runs. Runs with the same settings, seeds and commit share one command."""
    lines = []
    for run in (record for row in rows for record in row.records):
        named = run.variant.split("-")[0]
        preset = named if named in PRESETS else "paper"
        changed = differences(run.config, configure(run.config.configuration, preset))
        settings = "".join(f" --set {shlex.quote(f'{name}={value}')}" for name, (value, _) in changed.items())
        lines.append((_commit(run.machine), preset, settings, run.config.configuration, run.config.seed))
    frame = pd.DataFrame(lines, columns=["commit", "preset", "settings", "configuration", "seed"])
    seeds = frame.groupby([*frame.columns[:-1]], sort=False).seed.agg(lambda values: ",".join(map(str, sorted(set(values)))))
    text = ""
    for commit, kind in seeds.reset_index().groupby("commit", sort=False):
        commands = [
            f"gan-lib run {' '.join(same.configuration)} --preset {preset} --seeds {numbers}{settings}"
            for (preset, settings, numbers), same in kind.groupby(["preset", "settings", "seed"], sort=False)
        ]
        text += _passage(f"With commit {commit} and the packages of requirements.lock:", commands)
    return text


def _passage(words: str, commands: Iterable[str]) -> str:
    return f"<p>{escape(words)}</p>" + "".join(f"<pre>{escape(command)}</pre>" for command in commands)


def _when(time: str) -> str:
    return time[:16].replace("T", " ") + " UTC"


def _commit(machine: dict[str, Any]) -> str:
    return str(machine.get("git_commit") or "unknown")[:12] + (" with local changes" if machine.get("git_dirty") else "")


def _software(machine: dict[str, Any]) -> str:
    packages = machine.get("packages") or {}
    return f"PyTorch {packages.get('torch', '?')}, Python {machine.get('python', '?')}, commit {_commit(machine)}"
