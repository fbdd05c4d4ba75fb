"""Headings and passages of the reports, as HTML. Whatever comes from a file is escaped."""

import shlex
from collections.abc import Iterable
from html import escape
from typing import Any

from gan_lib import paper
from gan_lib.config import PRESETS, RunConfig, configure, differences
from gan_lib.selection import OWN, Comparison, describe
from gan_lib.tables import TITLES
from gan_lib.verdict import sentences


def heading(config: RunConfig, machine: dict[str, Any], started: str) -> str:
    """What one run is: which configuration, named after which machine, really run on which, when, with which code."""
    named = paper.INSTANCES[config.machine].name
    return (
        f"<h1>{TITLES[config.configuration]}: {config.epochs:,} epochs, seed {config.seed}</h1>"
        f'<p class="provenance">Named after {named}. Run on {escape(str(machine["label"]))}, {escape(str(machine["threads"]))} '
        f"threads, {escape(_when(started))}. {escape(_software(machine))}.</p>"
    )


def opening(rows: Comparison) -> str:
    """How the comparison begins: heading, verdict, provenance."""
    verdict = "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences(rows))
    return (
        "<h1>GAN and CGAN, on a CPU and on a GPU: the paper's four configurations compared</h1>"
        f'<div class="verdict">{verdict}</div>'
        f'<p>{escape(describe(rows))}</p><p class="provenance">{escape(_provenance(rows))}</p>'
        f'<p class="provenance">The paper: {escape(paper.CITATION)}.</p>'
    )


def how_to_reproduce(rows: Comparison) -> str:
    """The one command that makes this report again."""
    own = [run for row in rows.values() for run in row.records if row.origin == OWN]
    commands = ["gan-lib run --preset paper"] if not own else sorted({_command(run.config, run.variant) for run in own})
    listed = "".join(f"<pre>{escape(command)}</pre>" for command in commands)
    return f"<p>With the same commit and the packages of requirements.lock:</p>{listed}"


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


def _command(config: RunConfig, variant: str) -> str:
    preset = variant.split("-")[0] if variant.split("-")[0] in PRESETS else "paper"
    changed = differences(config, configure(config.configuration, preset))
    settings = "".join(f" --set {shlex.quote(f'{name}={value}')}" for name, (value, _) in changed.items())
    return f"gan-lib run {config.configuration} --preset {preset} --seeds {config.seed}{settings}"


def _when(time: str) -> str:
    return time[:16].replace("T", " ") + " UTC"


def _software(machine: dict[str, Any]) -> str:
    packages = machine.get("packages") or {}
    commit = str(machine.get("git_commit") or "unknown")[:12]
    changed = " with local changes" if machine.get("git_dirty") else ""
    return f"PyTorch {packages.get('torch', '?')}, Python {machine.get('python', '?')}, commit {commit}{changed}"
