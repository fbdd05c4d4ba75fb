"""What a stranger's results folder, or a careless user, may hold: refused in one line, or inert. Nobody gets in."""

import json
import os
import pickle
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import WriteRun, tiny_config, train

from gan_lib.batch.pages import make_comparison
from gan_lib.cli import app
from gan_lib.config import RunConfig
from gan_lib.data import load_files
from gan_lib.errors import ConfigurationError, DataError, GanLibError, RecordError
from gan_lib.reporting import figures, html, tables
from gan_lib.reporting.comparison import compare as rows_of
from gan_lib.reporting.html import render, write_index
from gan_lib.runs import checkpoint
from gan_lib.runs.record import find_records, load_weights, read_record
from gan_lib.runs.storage import read_json, write_json

SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>"


class Harmful:
    """Unpickling it runs a command."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


def sample(*arguments: object) -> str:
    """Why `gan-lib sample` refuses: one line."""
    with pytest.raises(GanLibError) as caught:
        app(["sample", *map(str, arguments)], standalone_mode=False)
    assert "\n" not in str(caught.value)
    return str(caught.value)


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


def test_markup_in_reasons_notes_labels_and_folder_names_is_text_in_the_index_and_the_comparison(
    write_run: WriteRun, tmp_path: Path
) -> None:
    write_run("gan-cpu", status="failed", reason=SCRIPT, label=SCRIPT, facts={"notes": [SCRIPT]})
    write_run("cgan-cpu", label=SCRIPT, facts={"notes": [SCRIPT]})
    stranger = tmp_path / "runs" / "<script>alert(2)<" / "seed-0"
    stranger.mkdir(parents=True)
    (stranger / "config.json").write_text("{")
    page = write_index(tmp_path).read_text()
    assert inert(page)
    assert "&lt;script&gt;alert(1)" in page
    rows = rows_of(tmp_path / "runs", tmp_path / "none")
    shown = [html.opening(rows), html.how_to_reproduce(rows), tables.seconds_per_epoch(rows)._repr_html_()]
    assert all(inert(text) for text in shown)


def test_markup_in_a_runs_own_report_is_text_and_the_page_forbids_scripts(tmp_path: Path) -> None:
    import nbformat

    assert inert(
        html.heading(tiny_config(), {"label": SCRIPT, "threads": SCRIPT, "packages": {"torch": SCRIPT}}, SCRIPT, [SCRIPT])
    )
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "n.ipynb")
    page = render(tmp_path / "n.ipynb", tmp_path / "n.html", SCRIPT, SCRIPT, SCRIPT).read_text()
    assert inert(page)
    assert re.search(r"<meta [^>]*Content-Security-Policy[^>]*default-src 'none'", page)


def test_a_notebook_from_a_stranger_is_not_rendered_and_a_broken_one_refused(write_run: WriteRun, tmp_path: Path) -> None:
    path = write_run("gan-cpu")
    (path / "notebook.ipynb").write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": SCRIPT}]}))
    assert inert(write_index(tmp_path).read_text())
    assert not (path / "report.html").exists()
    with pytest.raises(RecordError, match="cannot be read as a notebook"):
        render(path / "notebook.ipynb", path / "report.html", "title")


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
        assert sample("--results-dir", tmp_path, "--", name)


@pytest.mark.parametrize("data", ["folder:../../etc", "folder:/dev", "folder:" + "a" * 300, "folder:\0", "folder:", "../mnist"])
def test_a_source_of_images_that_is_none_is_refused(data: str) -> None:
    from gan_lib.data import load_images

    with pytest.raises((ConfigurationError, DataError)) as caught:
        load_images(RunConfig(data=data))
    assert "\n" not in str(caught.value)


def test_no_parameter_becomes_a_path(tmp_path: Path) -> None:
    from gan_lib.presets import run_name

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
    for name, value in {"notes": 5, "seconds_per_epoch": SCRIPT, "parameters": {}, "quality": {"noise_level": "1"}}.items():
        write_json(path / "summary.json", {**summary, name: value})
        with pytest.raises(RecordError, match=rf"summary\.json: {name}"):
            read_record(path)


def test_a_picture_that_unpacks_to_gigabytes_is_refused_unread(write_run: WriteRun, tmp_path: Path) -> None:
    path = write_run("gan-cpu")
    bomb = bomb_png(30_000)
    assert len(bomb) < 2**20
    (path / "samples.png").write_bytes(bomb)
    with pytest.raises(RecordError, match=r"samples\.png is corrupt or not a picture"):
        figures.sample_sheet(rows_of(tmp_path / "runs", tmp_path / "none"))
    with pytest.raises(DataError, match=r"samples\.png is too large"):
        load_files([path / "samples.png"], (1, 28, 28))


@pytest.mark.quick
def test_a_config_that_asks_for_a_giant_network_is_refused_before_it_is_built(write_run: WriteRun) -> None:
    path = write_run("cgan-cpu", image_size=256, latent_size=10_000)
    (path / "generator.safetensors").write_bytes(b"small")
    assert "cannot be read as weights" in sample(path)


@pytest.mark.quick
def test_links_in_a_run_folder_are_never_written_through(tmp_path: Path) -> None:
    folder, victim = tmp_path / "run", tmp_path / "victim"
    folder.mkdir()
    victim.write_text("precious")
    names = ("history.csv", "summary.json", "machine.json", "samples.png", "checkpoint.safetensors", ".summary.json.tmp")
    for name in names:
        (folder / name).symlink_to(victim)
    train(tiny_config(), folder, fresh=True)
    assert victim.read_text() == "precious"
    assert read_record(folder).status == "ok"
