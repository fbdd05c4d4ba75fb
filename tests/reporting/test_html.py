"""Pages that stand alone. One file, readable, nothing that runs and nothing that is fetched."""

import base64
import os
import re
import shlex
from html import unescape
from pathlib import Path
from typing import Any

import nbformat
import pytest
from conftest import WriteRun
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from gan_lib import RESULTS
from gan_lib.config import RunConfig
from gan_lib.errors import RecordError
from gan_lib.pictures import png
from gan_lib.presets import configure, parse_changes
from gan_lib.reporting.comparison import HEAD, compare
from gan_lib.reporting.html import about, heading, how_to_reproduce, opening, render, verdict, write_index
from gan_lib.runs.record import RunFolder

HOSTILE = '<script>alert("x")</script>'
PICTURE = png(Image.new("L", (4, 4)))
ENCODED = base64.b64encode(PICTURE).decode()


def fetched(page: str) -> list[str]:
    """What a browser would fetch to show a page: addresses that are neither in the page nor links to click."""
    links = re.findall(r"<(?!a\b)[^>]*?\b(?:src|href|srcset|poster|data)\s*=\s*[\"']?([^\"'\s>]+)", page, re.I)
    styles = re.findall(r"@import\s*([^;]+)|url\(\s*[\"']?([^\"')]+)", page, re.I)
    found = links + [one or other for one, other in styles]
    return [address for address in found if not address.startswith(("data:", "#"))]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A notebook with one of everything, executed by hand, rendered."""
    folder = tmp_path_factory.mktemp("page")
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
    first = new_markdown_cell("# The verdict")
    first.metadata["tags"] = ["opening"]
    cells = [
        new_markdown_cell("## Heading\n\nSome *emphasis* and [a link](https://example.org/paper)."),
        new_code_cell("answer = 6 * 7", outputs=outputs, execution_count=1),
        hidden,
        first,
    ]
    notebook = folder / "notebook.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "x"}}), notebook)
    target = folder / "report.html"
    assert render(notebook, target, f"Run 1 {HOSTILE}") == target
    assert sorted(path.name for path in folder.iterdir()) == ["notebook.ipynb", "report.html"]
    return target.read_text(encoding="utf-8")


def test_a_report_has_a_language_and_an_escaped_title_and_begins_with_its_opening(page: str) -> None:
    assert re.match(r'<!DOCTYPE html>\s*<html lang="en">', page)
    assert "<title>Run 1 &lt;script&gt;" in page
    assert page.count("<title>") == page.count("<main>") == 1
    assert page.index("The verdict") < page.index("<em>emphasis</em>")


def test_a_report_runs_nothing_and_fetches_nothing(page: str) -> None:
    assert "<script" not in page.lower()
    assert "alert('x')" not in page
    assert not re.search(r"<[^>]*\son\w+\s*=", page, re.I)
    assert fetched(page) == []
    assert 'href="https://example.org/paper"' in page  # a link to click is no resource


def test_outputs_are_shown_and_text_is_escaped(page: str) -> None:
    (image,) = re.findall(r"<img\b[^>]*>", page)
    assert "".join(ENCODED.split()) in "".join(image.split())
    assert 'alt="Nine &lt;digits&gt;"' in image
    assert "<em>emphasis</em>" in page
    assert "epoch 1 &lt; 2" in page
    assert "<caption>Table 1</caption>" in page
    assert "RecordError: no run &lt;here&gt;" in page
    assert "\x1b" not in page


def test_code_is_hidden_until_it_is_asked_for_and_cells_for_the_notebook_alone_are_left_out(page: str) -> None:
    assert "answer" in re.sub(r"<style>.*?</style>", "", page, flags=re.S)
    assert re.search(r'class="[^"]*\binput\b', page)
    assert ".input { display: none; }" in page
    assert "body:has(#show-code:checked) .input { display: block; }" in page
    assert 'id="show-code"' in page
    assert "secret" not in page
    assert "only by hand" not in page


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}", '{"nbformat": 4, "cells": 3}', "\x00"])
def test_an_unreadable_notebook_is_refused_in_one_line_and_writes_nothing(tmp_path: Path, content: str | None) -> None:
    notebook = tmp_path / "notebook.ipynb"
    if content is not None:
        notebook.write_text(content, encoding="utf-8")
    with pytest.raises(RecordError, match=r"notebook\.ipynb cannot be read as a notebook") as caught:
        render(notebook, tmp_path / "report.html", "x")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "report.html").exists()


def test_an_index_without_runs_is_a_page_that_says_so(tmp_path: Path) -> None:
    page = write_index(tmp_path).read_text(encoding="utf-8")
    assert "None yet." in page and "comparison.html" not in page
    assert fetched(page) == []


def test_an_index_has_the_numbers_links_what_is_there_and_escapes_what_runs_say(write_run: WriteRun, tmp_path: Path) -> None:
    done = write_run("gan-cpu", label=HOSTILE, quality={12: 40.0})
    write_run("cgan-cpu", status="failed", reason=HOSTILE)
    broken = write_run("gan-gpu")
    (broken / "config.json").write_text(f'"{HOSTILE}', encoding="utf-8")
    (done / "samples.png").write_bytes(PICTURE)
    projects = ("reference/comparison.html", "choices/choices.html", "ablation/ablation.html", "searches/searches.html")
    assert all((RESULTS / page).exists() for page in projects)
    for page in ("runs/gan-cpu/seed-0/report.html", "comparison.html", *projects):
        (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / page).write_text(HEAD)
    page = write_index(tmp_path).read_text(encoding="utf-8")
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 2
    assert '<a href="runs/gan-cpu/seed-0/report.html">gan-cpu/seed-0</a>' in page
    assert "<h3>cgan-cpu/seed-0</h3>" in page  # it has no report
    for link in ("comparison.html", *projects):
        assert f'href="{link}"' in page
    assert "<dt>Fréchet distance</dt><dd>40.0</dd>" in page and "<dt>s per epoch</dt><dd>0.500</dd>" in page
    assert "12 of 1,200 epochs" in page
    assert "config.json cannot be read as JSON" in page
    assert fetched(page) == ["runs/gan-cpu/seed-0/samples.png"]  # beside it, in the same folder
    assert re.search(r'<img src="runs/[^"]+" alt="[^"]*gan-cpu/seed-0[^"]*"', page)


@pytest.mark.usefixtures("no_hanging")
def test_a_strangers_report_is_linked_by_no_page(write_run: WriteRun, tmp_path: Path, page: str) -> None:
    report = write_run("gan-cpu") / "report.html"
    reference = (RESULTS / "reference/gan-cpu/seed-0/report.html").read_text(encoding="utf-8")  # by an earlier version
    pages = [(page, True), (reference, True), (f"<!DOCTYPE html>{HOSTILE}", False), (HOSTILE + page, False), ("", False)]
    for content, linked in [*pages, (None, False)]:
        report.unlink(missing_ok=True)
        if content is None:
            os.mkfifo(report)
        else:
            report.write_text(content, encoding="utf-8")
        compared = about(compare(tmp_path / "runs", NOWHERE), tmp_path)
        assert ["report.html" in text for text in (write_index(tmp_path).read_text(encoding="utf-8"), compared)] == [linked] * 2


def test_a_page_links_the_pages_above_it_and_lists_its_headings(write_run: WriteRun, tmp_path: Path) -> None:
    notebook = tmp_path / "notebook.ipynb"
    opening = new_code_cell("", outputs=[new_output("display_data", {"text/html": "<h1>x</h1><!-- contents -->"})])
    folded = new_code_cell("", outputs=[new_output("display_data", {"text/html": "<p>all of it</p>"})])
    folded.metadata |= {"tags": ["details"], "summary": "All < measures"}
    nbformat.write(new_notebook(cells=[opening, new_markdown_cell("## Time & cost"), folded]), notebook)
    run = write_run("gan-cpu")
    comparison = render(notebook, tmp_path / "comparison.html", "x").read_text(encoding="utf-8")
    report = render(notebook, run / "report.html", "x").read_text(encoding="utf-8")
    study = render(notebook, tmp_path / "ablation.html", "x").read_text(encoding="utf-8")
    assert '<a href="index.html">All results</a>' in comparison
    assert "All results" not in study  # beside it there is no index
    assert '<a href="../../../index.html">All results</a> <a href="../../../comparison.html">The comparison</a>' in report
    for html in (comparison, report):
        (anchor,) = re.findall(
            r'<nav aria-label="Contents"><ul class="contents"><li><a href="#([^"]+)">Time &amp; cost</a>', html
        )
        assert f'<h2 id="{anchor}">' in html
        assert re.search(r"<details><summary>All &lt; measures</summary>.*<p>all of it</p>.*</details>", html, re.S)


# Headings and passages. Whatever comes from a file may be hostile; the command must make the same run again.

NOWHERE = Path("/nonexistent")


def commands(page: str) -> list[str]:
    """The commands in a passage."""
    return [unescape(text) for text in re.findall(r"<pre>(.*?)</pre>", page)]


def configured(words: list[str]) -> RunConfig:
    """What the command line makes of a command's words."""
    assert words[:2] == ["gan-lib", "run"]
    options = list(zip(words[3::2], words[4::2], strict=True))
    preset, seed = dict(options)["--preset"], dict(options)["--seeds"]
    changes = parse_changes([value for name, value in options if name == "--set"])
    return configure(words[2], preset, **changes, seed=int(seed))


def test_a_heading_names_the_run_the_papers_machine_and_the_real_one() -> None:
    machine = {
        "label": "AMD EPYC, 2 cores",
        "threads": 2,
        "python": "3.12.3",
        "packages": {"torch": "2.9.0"},
        "git_commit": "0123456789abcdef",
        "git_dirty": True,
    }
    page = heading(configure("gan-cpu", seed=7, dropout=0.25), machine, "2026-05-04T13:02:01+00:00", ["resumed < twice"])
    assert "<h1>GAN, CPU: 1,200 epochs, seed 7</h1>" in page
    assert "Named after ml.c5.2xlarge. Run on AMD EPYC, 2 cores, 2 threads, 2026-05-04 13:02 UTC." in page
    assert "PyTorch 2.9.0, Python 3.12.3, commit 0123456789ab with local changes." in page
    assert "1,200 epochs with dropout = 0.25." in page
    assert "resumed &lt; twice" in page


@pytest.mark.parametrize("field", ["label", "threads", "python", "git_commit", "packages"])
def test_a_heading_escapes_whatever_the_machine_file_holds(field: str) -> None:
    value: Any = {"torch": HOSTILE} if field == "packages" else HOSTILE
    page = heading(RunConfig(), {"label": "x", "threads": 2, field: value}, HOSTILE)
    assert "<script" not in page
    assert "&lt;script" in page


def test_a_comparison_opens_with_its_verdict_and_says_where_each_row_comes_from(write_run: WriteRun, tmp_path: Path) -> None:
    path = write_run("gan-cpu", label=HOSTILE, facts={"finished": "2026-05-04T13:02:01+00:00"})
    (path / "report.html").write_text(HEAD)
    write_run("gan-cpu", seed=3)
    write_run("cgan-cpu", below="reference", label="Reference CPU")
    rows = compare(tmp_path / "runs", tmp_path / "reference")
    page = opening(rows) + about(rows, tmp_path)
    assert "<script" not in page
    assert page.startswith("<h1>GAN and CGAN compared</h1>")
    assert 'seeds <a href="runs/gan-cpu/seed-0/report.html">0</a>, 3, ' in page
    assert "CGAN, CPU (reference run): reference run, Reference CPU, " in page
    assert page.index('class="verdict"') < page.index("Missing: ") < page.index("doi:10.32782/IT/2022-2-7")


@pytest.mark.parametrize(
    ("sentences", "html"),
    [
        ("One & only.", "<p>One &amp; only.</p>"),
        (
            "It reaches 2.5 in 3 s. To 5 it is faster. So.",
            '<p>It reaches 2.5 in 3 s.</p><p class="note">To 5 it is faster. So.</p>',
        ),
    ],
)
def test_of_a_verdict_the_first_sentence_is_large(sentences: str, html: str) -> None:
    assert verdict(sentences) == f'<div class="verdict">{html}</div>'


def test_a_comparison_on_ones_own_images_does_not_speak_of_the_paper(write_run: WriteRun, tmp_path: Path) -> None:
    for name in ("gan-cpu", "cgan-cpu"):
        write_run(name, data="folder:/photos", training_images=150)
    rows = compare(tmp_path / "runs", tmp_path / "reference")
    page = opening(rows) + about(rows, tmp_path)
    assert page.startswith("<h1>GAN and CGAN compared on folder:/photos</h1>")
    assert "he paper" not in page and "digit" not in page


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("quick", {}),
        ("quick", {"epochs": 5}),
        ("paper", {"dropout": 0.25, "generator_noise": "reused", "seed": 2}),
        ("paper", {"data": "folder:/my digits; echo $HOME"}),
    ],
)
def test_the_command_makes_the_same_run_again(
    write_run: WriteRun, tmp_path: Path, preset: str, changes: dict[str, Any]
) -> None:
    write_run("gan-cpu", preset=preset, **changes)
    words = shlex.split(commands(how_to_reproduce(compare(tmp_path / "runs", NOWHERE)))[0])
    assert words[words.index("--preset") + 1] == preset
    assert configured(words) == configure("gan-cpu", preset, **changes)


def test_runs_with_the_same_settings_seeds_and_commit_share_a_command(write_run: WriteRun, tmp_path: Path) -> None:
    for name, seeds in (("gan-cpu", (0, 1)), ("cgan-cpu", (0, 1)), ("wgan-cpu", (2,))):
        for seed in seeds:
            write_run(name, seed=seed)
    write_run("gan-gpu", below="reference")
    own, reference = how_to_reproduce(compare(tmp_path / "runs", tmp_path / "reference")).split("The reference runs")
    assert commands(own) == [
        "gan-lib run gan-cpu cgan-cpu --preset paper --seeds 0,1",
        "gan-lib run wgan-cpu --preset paper --seeds 2",
    ]
    assert commands(reference) == ["gan-lib run gan-gpu --preset paper --seeds 0", "gan-lib compare cgan-cpu gan-cpu wgan-cpu"]
    quick = write_run("gan-cpu", preset="quick")
    RunFolder(quick).write_json("machine.json", {"label": "x", "git_commit": "0123456789abcdef"})
    write_run("cgan-cpu", epochs=50)
    page = how_to_reproduce(compare(tmp_path / "runs", tmp_path / "none", ["gan-cpu--quick", "cgan-cpu--epochs-50"]))
    assert commands(page) == [
        "gan-lib run gan-cpu --preset quick --seeds 0",
        "gan-lib run cgan-cpu --preset paper --seeds 0 --set epochs=50",
        "gan-lib compare cgan-cpu--epochs-50 gan-cpu--quick",
    ]
    assert "With commit 0123456789ab and" in page


def test_without_runs_of_ones_own_the_command_makes_all_four_and_reference_runs_are_kept_by_another(
    write_run: WriteRun, tmp_path: Path
) -> None:
    assert commands(how_to_reproduce(compare(tmp_path, NOWHERE))) == ["gan-lib run --preset paper"]
    write_run("gan-cpu", below="reference")
    page = how_to_reproduce(compare(tmp_path / "reference", tmp_path / "reference"))
    assert commands(page) == ["gan-lib run gan-cpu --preset paper --seeds 0", "make reference"]
