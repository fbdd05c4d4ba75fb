"""Pages that stand alone. One file, readable, nothing that runs and nothing that is fetched."""

import base64
import re
from pathlib import Path

import nbformat
import pytest
from conftest import WriteRun
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from gan_lib.errors import RecordError
from gan_lib.pictures import png
from gan_lib.reporting.html import render, write_index

HOSTILE = '<script>alert("x")</script>'
PICTURE = png(Image.new("L", (4, 4)))
ENCODED = base64.b64encode(PICTURE).decode()


def fetched(page: str) -> list[str]:
    """What a browser would fetch to show a page: addresses that are neither in the page nor links to click."""
    links = re.findall(r"<(?!a\b)[^>]*?\b(?:src|href|srcset|poster|data)\s*=\s*[\"']?([^\"'\s>]+)", page, re.I)
    styles = re.findall(r"@import\s*([^;]+)|url\(\s*[\"']?([^\"')]+)", page, re.I)
    found = links + [one or other for one, other in styles]
    return [address for address in found if not address.startswith(("data:", "#"))]


@pytest.fixture
def page(tmp_path: Path) -> str:
    """A notebook with one of everything, executed by hand, rendered."""
    picture = new_output("display_data", {"image/png": ENCODED, "text/plain": "<Figure>"})
    picture.metadata = {"image/png": {"alt": "Nine <digits>"}}
    outputs = [
        new_output("stream", name="stdout", text="epoch 1 < 2\n"),
        picture,
        new_output("display_data", {"application/javascript": "alert('x')"}),
        new_output("display_data", {"text/html": "<table><caption>Table 1</caption></table>", "text/plain": "plain"}),
        new_output("error", ename="RecordError", evalue="no run", traceback=["\x1b[31mRecordError: no run <here>\x1b[0m"]),
    ]
    hidden = new_code_cell("widgets.secret()", outputs=[new_output("stream", name="stdout", text="only by hand")])
    hidden.metadata["tags"] = ["notebook-only"]
    cells = [
        new_markdown_cell("# Heading\n\nSome *emphasis* and [a link](https://example.org/paper)."),
        new_code_cell("answer = 6 * 7", outputs=outputs, execution_count=1),
        hidden,
    ]
    notebook = tmp_path / "notebook.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "x"}}), notebook)
    target = tmp_path / "report.html"
    assert render(notebook, target, f"Run 1 {HOSTILE}") == target
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notebook.ipynb", "report.html"]
    return target.read_text(encoding="utf-8")


def test_a_report_has_a_language_and_an_escaped_title(page: str) -> None:
    assert re.match(r'<!DOCTYPE html>\s*<html lang="en">', page)
    assert "<title>Run 1 &lt;script&gt;" in page
    assert page.count("<title>") == page.count("<main>") == 1


def test_a_report_runs_nothing_and_fetches_nothing(page: str) -> None:
    assert "<script" not in page.lower()
    assert "alert('x')" not in page
    assert not re.search(r"<[^>]*\son\w+\s*=", page, re.I)
    assert fetched(page) == []
    assert 'href="https://example.org/paper"' in page  # a link to click is no resource


def test_pictures_are_in_the_file_and_have_an_alternative_text(page: str) -> None:
    images = re.findall(r"<img\b[^>]*>", page)
    assert len(images) == 1
    assert "".join(ENCODED.split()) in "".join(images[0].split())
    assert 'alt="Nine &lt;digits&gt;"' in images[0]


def test_code_is_there_and_hidden_until_it_is_asked_for(page: str) -> None:
    assert "answer" in re.sub(r"<style>.*?</style>", "", page, flags=re.S)
    assert re.search(r'class="[^"]*\binput\b', page)
    assert ".input { display: none; }" in page
    assert "body:has(#show-code:checked) .input { display: block; }" in page
    assert 'id="show-code"' in page


def test_outputs_are_shown_and_text_is_escaped(page: str) -> None:
    assert "<em>emphasis</em>" in page
    assert "epoch 1 &lt; 2" in page
    assert "<caption>Table 1</caption>" in page
    assert "RecordError: no run &lt;here&gt;" in page
    assert "\x1b" not in page


def test_cells_for_whoever_runs_the_notebook_by_hand_are_left_out(page: str) -> None:
    assert "secret" not in page
    assert "only by hand" not in page


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"nbformat": 4, "cells": 3}', "\x00"])
def test_an_unreadable_notebook_is_refused_in_one_line_and_writes_nothing(tmp_path: Path, content: str) -> None:
    notebook = tmp_path / "notebook.ipynb"
    notebook.write_text(content, encoding="utf-8")
    with pytest.raises(RecordError, match=r"notebook\.ipynb cannot be read as a notebook") as caught:
        render(notebook, tmp_path / "report.html", "x")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "report.html").exists()


def test_a_missing_notebook_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="cannot be read as a notebook"):
        render(tmp_path / "none.ipynb", tmp_path / "report.html", "x")


def test_an_index_without_runs_is_a_page_that_says_so(tmp_path: Path) -> None:
    index = write_index(tmp_path)
    assert index == tmp_path / "index.html"
    page = index.read_text(encoding="utf-8")
    assert '<html lang="en">' in page and "<title>" in page
    assert "None yet." in page
    assert "comparison.html" not in page
    assert fetched(page) == []


def test_an_index_links_what_is_there_and_escapes_what_runs_say(write_run: WriteRun, tmp_path: Path) -> None:
    done = write_run("gan-cpu", label=HOSTILE)
    write_run("cgan-cpu", status="failed", reason=HOSTILE)
    broken = write_run("gan-gpu")
    (broken / "config.json").write_text(f'"{HOSTILE}', encoding="utf-8")
    (done / "report.html").write_text("x")
    (done / "samples.png").write_bytes(PICTURE)
    (tmp_path / "comparison.html").write_text("x")
    page = write_index(tmp_path).read_text(encoding="utf-8")
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 2
    assert '<a href="runs/gan-cpu/seed-0/report.html">gan-cpu/seed-0</a>' in page
    assert "<h3>cgan-cpu/seed-0</h3>" in page  # it has no report
    assert '<a class="go" href="comparison.html">' in page
    assert "12 of 1200 epochs" in page
    assert "config.json cannot be read as JSON" in page
    assert fetched(page) == ["runs/gan-cpu/seed-0/samples.png"]  # beside it, in the same folder
    assert re.search(r'<img src="runs/[^"]+" alt="[^"]*gan-cpu/seed-0[^"]*"', page)
