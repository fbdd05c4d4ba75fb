"""The paper's tables with ours beside them, and the HTML that shows them."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pandas as pd
import pytest
from conftest import WriteRun

from gan_lib.reporting import tables
from gan_lib.reporting.comparison import HEAD, Comparison, compare
from gan_lib.reporting.convergence import NO_BAND
from gan_lib.reporting.tables import Table
from gan_lib.runs.record import read_record

REFUSED = "needs a CUDA GPU"
PAPERS = (tables.seconds_per_epoch, tables.epochs_to_balance, tables.training_seconds)


def compared(tmp_path: Path) -> Comparison:
    return compare(tmp_path / "runs", tmp_path / "reference")


@pytest.fixture
def rows(write_run: WriteRun, tmp_path: Path) -> Comparison:
    """gan-cpu: two seeds; cgan-cpu: a reference run; gan-gpu: unavailable; cgan-gpu: not run; wgan-cpu: one seed."""
    write_run("gan-cpu", seconds=0.5, d=[0.55] * 20, facts={"weights_bytes": 11_816_344, "model_megabytes": 11.26764})
    write_run("gan-cpu", seconds=0.5, d=[0.1] * 20, seed=1)
    write_run("cgan-cpu", seconds=1.0, d=[0.1] * 12, below="reference", label="Reference CPU")
    write_run("gan-gpu", status="unavailable", reason=REFUSED)
    write_run("wgan-cpu", seconds=0.25)
    return compared(tmp_path)


def column(table: Table, name: str) -> list[Any]:
    return [None if value is None or value != value else value for value in table.frame[name].tolist()]


def line(table: Table, name: str) -> dict[str, Any]:
    """The row that begins with a name."""
    return next(row for row in table.frame.to_dict("records") if row[table.frame.columns[0]] == name)


def shown(table: Table) -> list[list[str]]:
    """The text of each cell, row by row, as a browser shows it."""
    cells: list[list[str]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag == "tr":
                cells.append([])
            elif tag in ("th", "td"):
                cells[-1].append("")

        def handle_data(self, data: str) -> None:
            if cells and cells[-1]:
                cells[-1][-1] += data

    Reader().feed(table._repr_html_())
    return cells


NOT_IN = "not in the paper"


@pytest.mark.parametrize(
    ("make", "name", "cells"),
    [
        (tables.machines, "configuration", ["GAN, CPU", "CGAN, CPU (reference run)", "GAN, GPU", "CGAN, GPU", "WGAN, CPU"]),
        (tables.machines, "named after", [*["ml.c5.2xlarge"] * 2, *["ml.g4dn.xlarge"] * 2, "ml.c5.2xlarge"]),
        (tables.machines, "measured on", ["Test CPU, 2 cores", "Reference CPU", None, None, "Test CPU, 2 cores"]),
        (tables.machines, "USD per hour", ["0.408", "0.408", "0.7364", "0.7364", "0.408"]),
        (tables.seconds_per_epoch, "paper, s", ["37", "437", "0.1", "0.45", NOT_IN]),
        (tables.seconds_per_epoch, "measured, s", [0.5, 1.0, None, None, 0.25]),
        (tables.seconds_per_epoch, "paper / measured", [74.0, 437.0, None, None, None]),  # 37 / 0.5
        (tables.seconds_per_epoch, "over the seeds, s", ["0.500 to 0.500 (n = 2)", "n = 1", None, None, "n = 1"]),
        (tables.epochs_to_balance, "paper, epochs", [1200, 300, 1200, 300, NOT_IN]),
        (tables.epochs_to_balance, "measured, epochs", ["not in 1,200", "never in 300", None, None, NO_BAND]),
        (tables.epochs_to_balance, "paper / measured", [None] * 5),
        (tables.epochs_to_balance, "runs that reached it", ["1 of 2", "0 of 1", None, None, None]),
        (tables.epochs_to_balance, "last G loss", [1.05, 1.05, None, None, 1.05]),
        (tables.training_seconds, "paper, s", ["44,400", "131,100", "120", "135", NOT_IN]),
        (tables.training_seconds, "measured, s", [10.0, 12.0, None, None, 3.0]),
        (tables.training_seconds, "paper / measured", [4440.0, 10925.0, None, None, None]),
        (tables.training_seconds, "epochs", [1200, 300, None, None, 1200]),
        # 44,400 s are 12 1/3 h at 0.408 USD; 120 s are 1/30 h at 0.7364 USD.
        (tables.training_seconds, "paper, USD", [5.032, 14.858, 0.7364 / 30, 0.027615, NOT_IN]),
        (tables.training_seconds, "measured, USD", [10 / 3600 * 0.408, 12 / 3600 * 0.408, None, None, 3 / 3600 * 0.408]),
        (tables.models, "model", ["GAN", "CGAN"]),  # WGAN has the same two networks
        (tables.models, "parameters", [2_950_161, 2_382_466]),
        (tables.models, "paper's parameters", [2_950_161, 2_382_466]),
        (tables.models, "MB, as float32", ["11.268", None]),  # older records do not say
        (tables.models, "MB, saved files", ["11.269", None]),
        (tables.models, "paper's MB", ["11.269", "9.201"]),
    ],
)
def test_the_papers_tables_have_its_numbers_beside_the_measured_ones(
    rows: Comparison, make: Any, name: str, cells: list[Any]
) -> None:
    for cell, expected in zip(column(make(rows), name), cells, strict=True):
        assert cell == (pytest.approx(expected, abs=1e-9) if isinstance(expected, float) else expected)


def test_ratios_of_whole_runs_are_of_the_papers_length(write_run: WriteRun, tmp_path: Path) -> None:
    for seed, (g_loss, seconds) in enumerate(((1.05, 0.5), (1.05, 0.25), (3.0, 1.0))):
        write_run("gan-cpu", g=[g_loss] * 12, seed=seed, seconds=seconds)
    rows = compared(tmp_path)
    assert column(tables.epochs_to_balance(rows), "measured, epochs")[0] == 10
    assert [column(make(rows), "paper / measured")[0] for make in PAPERS] == [74.0, 120.0, 7400.0]
    assert column(tables.seconds_per_epoch(rows), "over the seeds, s")[0] == "0.250 to 1.00 (n = 3)"
    write_run("gan-cpu", preset="quick", below="short/runs")
    short = compare(tmp_path / "short" / "runs", tmp_path / "none")
    assert [column(make(short), "paper / measured")[0] for make in PAPERS] == [74.0, None, None]  # an epoch is an epoch


def test_every_run_is_listed_whatever_became_of_it_and_linked_where_it_has_a_report(
    write_run: WriteRun, tmp_path: Path
) -> None:
    mended = {"notes": ["the last line was broken and is left out"], "finished": "2026-05-04T13:02:01+00:00"}
    paths = [write_run("gan-cpu", d=[0.5] * 3, facts=mended), write_run("gan-gpu", status="unavailable", reason=REFUSED)]
    (paths[1] / "history.csv").unlink()
    (paths[0] / "report.html").write_text(HEAD)
    table = tables.all_runs([read_record(path) for path in paths], tmp_path)
    names = ["run", "status", "epochs", "of", "finished", "notes", "reason"]
    assert list(zip(*(column(table, name) for name in names), strict=True)) == [
        ("gan-cpu/seed-0", "ok", 3, 1200, "2026-05-04", *mended["notes"], None),
        ("gan-gpu/seed-0", "unavailable", 0, 1200, ANY, None, REFUSED),
    ]
    assert '<a href="runs/gan-cpu/seed-0/report.html">gan-cpu/seed-0</a>' in table._repr_html_()
    assert len(shown(tables.all_runs([]))) >= 1  # an empty list is a table too


def test_beside_images_of_ones_own_there_is_no_column_of_the_paper(write_run: WriteRun, tmp_path: Path) -> None:
    path = write_run("gan-cpu", data="folder:/photos", training_images=150)
    write_run("cgan-cpu", data="folder:/photos", training_images=150)
    for make in (*PAPERS, tables.models):
        made = make(compared(tmp_path))
        assert len(made.frame) == 2 and not any("paper" in name for name in made.frame.columns)
        assert not re.match(r"Table \d", made.caption)  # the paper's numbers
    assert "Fréchet distance" not in tables.overview(compared(tmp_path)).frame.columns
    own = tables.summary(read_record(path))
    assert list(own.frame.columns) == ["quantity", "this run"] and "balance" not in own.frame.to_string()
    assert "the paper" in tables.summary(read_record(write_run("gan-cpu"))).frame.columns


def test_layers_are_listed_with_their_sum() -> None:
    table = tables.layers([("linear", (2, 256), 25_856), ("leaky relu", (2, 256), 0)], "Generator")
    assert column(table, "returns") == ["(N, 256)", "(N, 256)", ""]
    assert column(table, "parameters") == [25_856, None, 25_856]


@pytest.mark.parametrize("make", [tables.machines, *PAPERS])
def test_a_table_is_readable_by_everybody(rows: Comparison, make: Any) -> None:
    html = make(rows)._repr_html_()
    columns = len(make(rows).frame.columns)
    assert len(re.findall(r"<caption>Table \d\. [^<]+</caption>", html)) == 1
    assert len(re.findall(r'<th scope="col"', html)) == columns
    assert len(re.findall(r'<th scope="row"', html)) == 5
    assert html.count("<th") - html.count("<thead") == columns + 5  # no header without a scope
    assert html.count("<td") == html.count('data-label="') == 5 * (columns - 1)
    assert [len(cells) for cells in shown(make(rows))] == [columns] * 6


def test_what_comes_from_a_file_cannot_become_markup(write_run: WriteRun, tmp_path: Path) -> None:
    hostile = '<script>alert("x")</script>'
    write_run("gan-cpu", label=hostile)
    for table in (tables.machines(compared(tmp_path)), Table(pd.DataFrame({hostile: [1]}), hostile, {hostile: hostile})):
        assert "<script" not in table._repr_html_()
        assert any(hostile in cell for cells in shown(table) for cell in cells)


@pytest.mark.parametrize(
    ("value", "text"), [(37.04, "37.0"), (1234567, "1,234,567"), (None, "–"), (float("nan"), "–"), ("never", "never")]
)
def test_a_cell_shows_its_value_for_people_and_a_missing_one_makes_no_fraction_of_a_count(value: Any, text: str) -> None:
    assert shown(tables.table([{"name": "a", "value": value}, {"name": "b"}], "caption"))[1:] == [["a", text], ["b", "–"]]


# Image quality.


def test_a_runs_table_has_value_floor_and_what_better_means_or_why_not(write_run: WriteRun) -> None:
    table = tables.run_quality(read_record(write_run("gan-cpu", quality={12: 40.0})))
    assert line(table, "recognisable, % of images") == {
        "measure": "recognisable, % of images", "this run": 87.5, "floor: real images": 98.5, "better": "higher",
    }  # fmt: skip
    assert "3,000 generated images" in table.caption
    assert "The test's classifier." in table.caption
    reason = "not measured: held-out images must be at least 100"
    for facts, words in (({}, "not measured"), ({"quality_about": reason}, reason)):
        assert column(tables.run_quality(read_record(write_run("gan-cpu", facts=facts))), "measure") == [words]


def test_configurations_have_mean_spread_number_of_runs_and_a_floor_or_a_reason(write_run: WriteRun, tmp_path: Path) -> None:
    for seed, distance in enumerate((30.0, 40.0, 50.0)):
        write_run("gan-cpu", quality={12: distance}, seed=seed, d=[0.5] * 36)
    write_run("cgan-cpu", below="reference")
    write_run("gan-gpu", status="unavailable", reason=REFUSED)
    about = "no classifier: folder:photos has no labels to train one on"
    write_run("wgan-cpu", facts={"quality": {"noise_level": 0.02}, "quality_about": about})
    rows = compared(tmp_path)
    table, first, every = tables.quality_by_configuration(rows), tables.overview(rows), tables.all_measures(rows)
    assert column(table, "configuration") == [
        *("GAN, CPU", "CGAN, CPU (reference run)", "WGAN, CPU", "real images: the floor")  # what was not run is missing once
    ]
    assert column(table, "Fréchet distance") == ["40.0 (30.0 to 50.0)", "not measured", about, 0.2]
    assert column(table, "copies, %") == [2.0, None, None, 1.0]  # the same in all three
    assert column(table, "noise level, %") == [2.0, None, 2.0, 0.0]
    assert column(table, "runs") == [3, None, 1, None]
    assert column(first, "configuration") == column(table, "configuration")
    assert column(first, "Fréchet distance") == [40.0, None, None, 0.2]
    assert column(first, "cost, USD")[0] == pytest.approx(18 / 3600 * 0.408)
    assert list(every.frame.columns) == ["measure", "GAN, CPU", "WGAN, CPU", "floor: real images", "better"]
    assert list(line(every, "copies of training images, % of images").values())[1:4] == [2.0, None, 1.0]


def test_seconds_to_quality_are_medians_with_their_cost_and_start_up_apart(write_run: WriteRun, tmp_path: Path) -> None:
    courses = ({4: 30.0, 8: 19.0, 12: 8.0}, {4: 20.0, 8: 9.0, 12: 4.0}, {4: 30.0, 8: 25.0, 12: 20.5})
    for seed, course in enumerate(courses):
        write_run("gan-cpu", seconds=2.0, quality=course, seed=seed, facts={"startup_seconds": 1.5})
    write_run("cgan-cpu", facts={"quality": {"frechet_distance": 3.0}})  # without its course
    table = tables.seconds_to_quality(compared(tmp_path))
    assert table.frame.to_dict("records") == [
        {
            "configuration": "GAN, CPU",
            "start-up, s": 1.5,
            "to 20": "16.0 s (8.00 to 16.0), in 2 of 3 runs, 0.00181 USD",  # 16 s / 3,600 s at 0.408 USD
            "to 10": "24.0 s (16.0 to 24.0), in 2 of 3 runs, 0.00272 USD",
            "to 5": "in 1 of 3 runs",
            "to 2": "never",
            "runs": 3,
        }
    ]


def test_without_any_quality_the_tables_say_so(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu")
    rows = compared(tmp_path)
    assert column(tables.all_measures(rows), "measure") == ["not measured"]
    assert column(tables.seconds_to_quality(rows), "configuration") == ["not measured"]
    assert len(tables.quality_by_configuration(rows).frame) == 1


def test_differences_go_from_the_best_on_and_have_an_interval_from_three_runs_on(write_run: WriteRun, tmp_path: Path) -> None:
    def first() -> list[Any]:
        return list(tables.differences(compared(tmp_path)).frame.iloc[0])

    for seed in range(3):
        write_run("gan-cpu", quality={12: 60.0 + seed}, seed=seed)
        write_run("cgan-cpu", quality={12: 40.0 - seed}, seed=seed)
        if seed < 2:
            assert "3 of each are the least" in first()[2]
    assert first()[:2] == ["CGAN, CPU minus GAN, CPU", "Fréchet distance (variance of real features = 100)"]
    assert first()[2].startswith("-22.0 (95% interval ") and "spans 0" not in first()[2]
    write_run("cgan-cpu", quality={12: 90.0}, seed=3)
    assert first()[2].endswith(", n = 3), spans 0")
