"""What a stranger's results folder, or a careless user, may hold: refused in one line, or inert. Nobody gets in."""

import json
import os
import pickle
import re
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
from conftest import TINY, WriteRun, tiny_config
from PIL import EpsImagePlugin, Image

from faults.training import FILES, run_command, short_run
from gan_lib.batch.pages import make_comparison
from gan_lib.batch.runner import plan
from gan_lib.cli import app
from gan_lib.config import RunConfig
from gan_lib.data import load_files, load_images
from gan_lib.errors import ConfigurationError, DataError, GanLibError, RecordError
from gan_lib.presets import run_name
from gan_lib.reporting import figures, html, tables
from gan_lib.reporting.comparison import compare as rows_of
from gan_lib.reporting.html import render, write_index
from gan_lib.runs import checkpoint
from gan_lib.runs.record import find_records, load_weights, read_record
from gan_lib.runs.storage import read_json, write_json

SHORT = ("--trials=1", "--longer=0", "--set=model=gan", "--set=loss=bce", "--set=epochs=1", "--set=training_images=128")
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>"


class Harmful:
    """Unpickling it runs a command."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


def refused(command: str, *arguments: object) -> str:
    """Why `gan-lib` refuses: one line."""
    with pytest.raises(GanLibError) as caught:
        app([command, *map(str, arguments)], standalone_mode=False)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


def bomb_png(side: int) -> bytes:
    """A valid PNG of a few kilobytes that unpacks to side x side pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(side + 1)) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


# --- pickles under our names ---------------------------------------------------------------------------------------------


@pytest.mark.quick
@pytest.mark.parametrize("writer", [pickle.dumps, "torch"])
@pytest.mark.parametrize(
    "name",
    ["checkpoint.safetensors", "checkpoint.previous.safetensors", "generator.safetensors", "config.json", "summary.json"],
)
def test_a_pickle_under_our_name_is_never_loaded(write_run: WriteRun, tmp_path: Path, name: str, writer: Any) -> None:
    path, mark = write_run("gan-cpu", status="interrupted"), tmp_path / "it-ran"
    if writer == "torch":
        torch.save(Harmful(mark), path / name)
    else:
        (path / name).write_bytes(writer(Harmful(mark)))
    with pytest.raises(RecordError) as caught:
        if name.startswith("checkpoint"):
            found, notes = checkpoint.load(path, read_record(path).config)
            assert found is None
            raise RecordError(notes[0])
        if name.startswith("generator"):
            load_weights(torch.nn.Linear(1, 1), path / name)
        read_record(path)
    assert "\n" not in str(caught.value)
    assert not mark.exists()


# --- text that is markup -------------------------------------------------------------------------------------------------


def inert(page: str) -> bool:
    return "<script" not in page and "<img src=x" not in page


def test_markup_in_reasons_notes_labels_and_folder_names_is_text_in_every_page(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", status="failed", reason=SCRIPT, label=SCRIPT, facts={"notes": [SCRIPT]})
    write_run("cgan-cpu", label=SCRIPT, facts={"notes": [SCRIPT]})
    stranger = tmp_path / "runs" / "<script>alert(2)<" / "seed-0"
    stranger.mkdir(parents=True)
    (stranger / "config.json").write_text("{")
    page = write_index(tmp_path).read_text()
    assert inert(page)
    assert "&lt;script&gt;alert(1)" in page
    rows = rows_of(tmp_path / "runs", tmp_path / "none")
    machine = {"label": SCRIPT, "threads": SCRIPT, "packages": {"torch": SCRIPT}}
    shown = [html.opening(rows), html.how_to_reproduce(rows), tables.seconds_per_epoch(rows)._repr_html_()]
    assert all(inert(text) for text in (*shown, html.heading(tiny_config(), machine, SCRIPT, [SCRIPT])))


def test_a_notebook_from_a_stranger_is_not_rendered_a_broken_one_refused_and_a_page_forbids_scripts(
    write_run: WriteRun, tmp_path: Path
) -> None:
    path = write_run("gan-cpu")
    (path / "notebook.ipynb").write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": SCRIPT}]}))
    assert inert(write_index(tmp_path).read_text())
    assert not (path / "report.html").exists()
    with pytest.raises(RecordError, match="cannot be read as a notebook"):
        render(path / "notebook.ipynb", path / "report.html", "title")
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "n.ipynb")
    page = render(tmp_path / "n.ipynb", tmp_path / "n.html", SCRIPT, SCRIPT, SCRIPT).read_text()
    assert inert(page)
    assert re.search(r"<meta [^>]*Content-Security-Policy[^>]*default-src 'none'", page)


# --- names that are paths ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["../../../etc/passwd", "/etc/passwd", "..", ".", "", "con", "a" * 300, "a/b", "gan-cpu\0", "~root", "-rf", "%2e%2e"],
)
def test_a_name_that_is_a_path_finds_no_run_and_no_experiment(tmp_path: Path, name: str) -> None:
    (tmp_path / "runs").mkdir()
    with pytest.raises(RecordError, match="does not exist in"):
        make_comparison(tmp_path, [name])
    if "\0" not in name:  # which no system passes on
        assert refused("sample", "--results-dir", tmp_path, "--", name)


@pytest.mark.parametrize("data", ["folder:../../etc", "folder:/dev", "folder:" + "a" * 300, "folder:\0", "folder:", "../mnist"])
def test_a_source_of_images_that_is_none_is_refused(data: str) -> None:
    with pytest.raises((ConfigurationError, DataError)) as caught:
        load_images(RunConfig(data=data))
    assert "\n" not in str(caught.value)


def test_no_parameter_becomes_a_path() -> None:
    for value in ("../../x", "/abs", "a" * 300, SCRIPT, "\0"):
        name = run_name(RunConfig(data=f"folder:{value}"))
        assert re.fullmatch(r"[a-z0-9.-]+/seed-0", name), name
        assert ".." not in name
        assert len(name) < 120


# --- files that are not what they seem -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_hanging")
@pytest.mark.parametrize("name", ["config.json", "summary.json", "machine.json", "history.csv", "metrics.csv"])
@pytest.mark.parametrize("kind", ["pipe", "zeros", "giant", "deep", "number", "secret"])
def test_a_pipe_a_device_a_giant_and_a_link_are_refused(write_run: WriteRun, tmp_path: Path, name: str, kind: str) -> None:
    path = write_run("gan-cpu", status="failed") / name
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "zeros":
        path.symlink_to("/dev/zero")
    elif kind == "giant":
        with path.open("wb") as file:
            file.truncate(5 * 2**30)
    elif kind == "deep":
        path.write_text('{"a":' * 50_000)
    elif kind == "number":
        path.write_text('{"schema_version": ' + "9" * 10_000 + "}")
    else:
        (tmp_path / "secret").write_text("password = hunter2\n")
        path.symlink_to(tmp_path / "secret")
    with pytest.raises(RecordError) as caught:
        read_record(path.parent)
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)
    records, problems = find_records(tmp_path / "runs")
    assert (len(records), len(problems)) == (0, 1), "and the others would still be listed"


def test_values_of_the_wrong_kind_with_a_good_checksum_are_refused(write_run: WriteRun) -> None:
    path = write_run("gan-cpu", d=[0.5] * 3)
    summary = read_json(path / "summary.json")
    for name, value in [
        *[("notes", 5), ("seconds_per_epoch", SCRIPT), ("seconds_per_epoch", 1e308), ("generator_loss", -1e308)],
        *[("parameters", {}), ("quality", {"noise_level": "1"})],
    ]:
        write_json(path / "summary.json", {**summary, name: value})
        with pytest.raises(RecordError, match=rf"summary\.json: {name}"):
            read_record(path)


def test_a_picture_that_unpacks_to_gigabytes_is_never_unpacked(write_run: WriteRun, tmp_path: Path) -> None:
    path = write_run("gan-cpu")
    (path / "samples.png").write_bytes(bomb_png(30_000))
    assert "no picture" in figures.sample_sheet(rows_of(tmp_path / "runs", tmp_path / "none")).alt
    with pytest.raises(DataError, match=r"samples\.png is too large"):
        load_files([path / "samples.png"], (1, 28, 28))


@pytest.mark.quick
def test_a_config_that_asks_for_a_giant_network_is_refused_before_it_is_built(write_run: WriteRun) -> None:
    path = write_run("cgan-cpu", image_size=256, latent_size=10_000)
    (path / "generator.safetensors").write_bytes(b"small")
    assert "cannot be read as weights" in refused("sample", path)


@pytest.mark.filterwarnings("ignore")  # of TensorBoard's own packages
@pytest.mark.usefixtures("no_hanging")
@pytest.mark.parametrize("kind", ["pipe", "postscript", "bomb"])
def test_an_export_leaves_out_a_picture_that_is_none(
    write_run: WriteRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    pytest.importorskip("tensorboard")
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was started"))
    path = write_run("gan-cpu") / "samples.png"
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "bomb":
        path.write_bytes(bomb_png(30_000))
    else:
        Image.new("RGB", (8, 8)).save(path, "EPS")
    app(["export", f"--results-dir={tmp_path}"], standalone_mode=False)
    events = b"".join(contents(tmp_path / "tensorboard").values())
    assert (b"generator_loss" in events, b"samples" in events) == (True, False)


# --- links that lead out -------------------------------------------------------------------------------------------------

PAGES = ("index.html", "comparison.html", "comparison.ipynb", "comparison.log", ".index.html.tmp", ".comparison.html.tmp")
OF_A_RUN = (*FILES, "metrics.csv", "notebook.ipynb", "report.html", "run.log", "checkpoint.safetensors", ".summary.json.tmp")


def test_a_batch_in_a_strangers_folder_writes_through_no_link_and_one_bad_run_hides_no_other(
    write_run: WriteRun, tmp_path: Path
) -> None:
    config, victim, other = short_run(epochs=2), tmp_path / "victim", {**TINY, "sample_every": 3, "checkpoint_seconds": 0.2}
    victim.write_text("precious")
    folder, pipes = tmp_path / "runs" / run_name(config), write_run("cgan-cpu", **{**other, "epochs": 2})
    folder.mkdir(parents=True)
    for path in (*(tmp_path / name for name in PAGES), *(folder / name for name in OF_A_RUN)):
        path.symlink_to(victim)
    for name in ("report.html", "samples.png"):
        os.mkfifo(pipes / name)
    broken = write_run("gan-cpu", seed=1) / "config.json"
    for path in (broken, tmp_path / "bench" / "x.json"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("{")
    done = subprocess.run(run_command(config, tmp_path, "gan-cpu", "--fresh"), capture_output=True, text=True, timeout=300)
    assert (done.returncode, len(done.stderr.splitlines()), str(broken) in done.stderr) == (0, 1, True), done.stderr
    assert victim.read_text() == "precious"
    assert not any(path.is_symlink() for path in (*folder.iterdir(), *map(tmp_path.joinpath, PAGES[:3])))
    assert read_record(folder).status == "ok"
    for page in ("index.html", "comparison.html"):
        assert "CGAN" in (tmp_path / page).read_text().upper()
        assert f"{pipes.parent.name}/seed-0/report.html" not in (tmp_path / page).read_text()
    assert "x.json cannot be read as JSON" in (tmp_path / "comparison.html").read_text()


@pytest.mark.parametrize("level", ["runs", "experiment", "seed-0"])
def test_a_run_folder_that_leads_out_is_refused_before_anything_is_written(tmp_path: Path, level: str) -> None:
    config, outside = short_run(), tmp_path / "outside"
    folder = tmp_path / "results" / "runs" / run_name(config)
    place = {"runs": folder.parents[1], "experiment": folder.parent, "seed-0": folder}[level]
    place.parent.mkdir(parents=True)
    place.symlink_to(outside)
    (outside / folder.relative_to(place)).mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RecordError, match="a link leads out of it"):
        plan([config], tmp_path / "results", fresh=True)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.filterwarnings("ignore")  # of TensorBoard's own packages
@pytest.mark.parametrize("below", ["", "gan-cpu", "gan-cpu/seed-0", "gan-cpu/seed-0/events.out.tfevents.1"])
def test_an_export_neither_removes_nor_writes_a_file_through_a_link(write_run: WriteRun, tmp_path: Path, below: str) -> None:
    pytest.importorskip("tensorboard")
    run, results, outside = write_run("gan-cpu"), tmp_path / "results", tmp_path / "outside"
    link = results / "tensorboard" / below
    for folder in ("", "seed-0", "gan-cpu/seed-0"):
        (outside / folder).mkdir(parents=True, exist_ok=True)
        (outside / folder / "events.out.tfevents.1").write_text("precious")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside / "events.out.tfevents.1" if "events" in below else outside)
    before = contents(outside)
    assert "a link leads out of it" in refused("export", run, f"--results-dir={results}")
    assert contents(outside) == before


@pytest.mark.usefixtures("no_hanging")
@pytest.mark.parametrize("link", ["search", "search/s", "search/s/runs", "search/s/journal.log"])
def test_a_search_whose_folder_or_journal_is_a_link_is_refused(tmp_path: Path, link: str) -> None:
    results, outside = tmp_path / "results", tmp_path / "outside"
    (outside / "s").mkdir(parents=True)
    (outside / "journal.log").write_text("{}\n")
    (results / link).parent.mkdir(parents=True)
    (results / link).symlink_to(outside / "journal.log" if link.endswith(".log") else outside)
    before = contents(outside)
    assert "a link leads out of it" in refused("search", "s", f"--results-dir={results}", *SHORT)
    assert contents(outside) == before


@pytest.mark.usefixtures("no_hanging")
def test_a_search_whose_journal_is_a_pipe_is_refused(tmp_path: Path) -> None:
    (tmp_path / "search" / "s").mkdir(parents=True)
    os.mkfifo(tmp_path / "search" / "s" / "journal.log")
    assert "must be a regular file" in refused("search", "s", f"--results-dir={tmp_path}", *SHORT)
