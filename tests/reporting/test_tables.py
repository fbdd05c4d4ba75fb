"""The paper's tables with ours beside them, and the HTML that shows them."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import WriteRun

from gan_lib.reporting import tables
from gan_lib.reporting.comparison import Comparison, compare
from gan_lib.reporting.convergence import NO_BAND
from gan_lib.reporting.tables import Table
from gan_lib.runs.record import read_record

REFUSED = "needs a CUDA GPU"


@pytest.fixture
def rows(write_run: WriteRun, tmp_path: Path) -> Comparison:
    """gan-cpu: two seeds; cgan-cpu: a reference run; gan-gpu: unavailable; cgan-gpu: not run."""
    write_run("gan-cpu", seconds=0.5, d=[0.55] * 20, facts={"weights_bytes": 11_816_344})
    write_run("gan-cpu", seconds=0.5, d=[0.1] * 20, seed=1)
    write_run("cgan-cpu", seconds=1.0, d=[0.1] * 12, below="reference", label="Reference CPU")
    write_run("gan-gpu", status="unavailable", reason=REFUSED)
    return compare(tmp_path / "runs", tmp_path / "reference")


def column(table: Table, name: str) -> list[Any]:
    return [None if value is None or value != value else value for value in table.frame[name].tolist()]


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


def test_table_1_shows_the_named_machine_beside_the_real_one(rows: Comparison) -> None:
    table = tables.machines(rows)
    assert column(table, "named after") == ["ml.c5.2xlarge", "ml.c5.2xlarge", "ml.g4dn.xlarge", "ml.g4dn.xlarge"]
    assert column(table, "measured on") == ["Test CPU, 2 cores", "Reference CPU", f"unavailable: {REFUSED}", "not run"]
    assert column(table, "where from") == ["your run", "reference run", None, None]
    assert column(table, "USD per hour") == ["0.408", "0.408", "0.7364", "0.7364"]


def test_table_2_has_the_papers_seconds_ours_and_the_ratio(rows: Comparison) -> None:
    table = tables.seconds_per_epoch(rows)
    assert column(table, "configuration") == ["GAN, CPU", "CGAN, CPU", "GAN, GPU", "CGAN, GPU"]
    assert column(table, "paper, s") == ["37", "437", "0.1", "0.45"]
    assert column(table, "measured, s") == [0.5, 1.0, f"unavailable: {REFUSED}", "not run"]
    assert column(table, "paper / measured") == [74.0, 437.0, None, None]  # 37 / 0.5
    assert column(table, "measured on") == ["Test CPU, 2 cores", "Reference CPU", None, None]
    assert column(table, "where from") == ["your run", "reference run", None, None]


def test_table_2_says_how_far_the_seeds_lie_apart(write_run: WriteRun, tmp_path: Path) -> None:
    for seed, seconds in enumerate([0.5, 0.25, 1.0]):
        write_run("gan-cpu", seed=seed, seconds=seconds)
    cells = shown(tables.seconds_per_epoch(compare(tmp_path / "runs", tmp_path)))
    assert "0.250 to 1.00 (n = 3)" in cells[1]
    assert "0.500" in cells[1]


def test_table_3_says_when_balance_was_reached_and_by_how_many(rows: Comparison) -> None:
    table = tables.epochs_to_balance(rows)
    assert column(table, "paper, epochs") == [1200, 300, 1200, 300]
    assert column(table, "measured, epochs") == ["not in 1,200", "never in 300", f"unavailable: {REFUSED}", "not run"]
    assert column(table, "paper / measured") == [None] * 4
    assert column(table, "runs that reached it") == ["1 of 2", "0 of 1", None, None]
    assert column(table, "last G loss")[0] == 1.05


def test_table_3_has_the_ratio_where_most_runs_reached_balance(write_run: WriteRun, tmp_path: Path) -> None:
    for seed, g_loss in enumerate((1.05, 1.05, 3.0)):
        write_run("gan-cpu", g=[g_loss] * 12, seed=seed)
    table = tables.epochs_to_balance(compare(tmp_path / "runs", tmp_path))
    assert (column(table, "measured, epochs")[0], column(table, "paper / measured")[0]) == (10, 120.0)


def test_table_4_has_the_cost_at_the_price_of_the_named_machine(rows: Comparison) -> None:
    table = tables.training_seconds(rows)
    assert column(table, "paper, s") == ["44,400", "131,100", "120", "135"]
    assert column(table, "measured, s")[:2] == [10.0, 12.0]
    assert column(table, "paper / measured")[:2] == [4440.0, 10925.0]
    # 44,400 s are 12 1/3 h at 0.408 USD; 120 s are 1/30 h at 0.7364 USD.
    assert column(table, "paper, USD")[0] == pytest.approx(5.032, abs=1e-9)
    assert column(table, "paper, USD")[2] == pytest.approx(0.7364 / 30, abs=1e-9)
    assert column(table, "measured, USD")[0] == pytest.approx(10 / 3600 * 0.408, abs=1e-12)
    assert column(table, "measured, USD")[2:] == [None, None]
    assert column(table, "epochs") == [1200, 300, None, None]


def test_the_models_sizes_stand_beside_the_papers(rows: Comparison) -> None:
    table = tables.models(rows)
    assert column(table, "model") == ["GAN", "CGAN"]
    assert column(table, "parameters") == column(table, "paper's parameters") == [2_950_161, 2_382_466]
    assert column(table, "MB, as float32") == ["11.268", "9.186"]
    assert column(table, "MB, saved files") == ["11.269", None]
    assert column(table, "paper's MB") == ["11.269", "9.201"]


def test_every_run_is_listed_whatever_became_of_it(write_run: WriteRun) -> None:
    mended = {"notes": ["the last line was broken and is left out"]}
    paths = [write_run("gan-cpu", d=[0.5] * 3, facts=mended), write_run("gan-gpu", status="unavailable", reason=REFUSED)]
    table = tables.all_runs([read_record(path) for path in paths])
    assert column(table, "run") == ["gan-cpu/seed-0", "gan-gpu/seed-0"]
    assert column(table, "status") == ["ok", "unavailable"]
    assert column(table, "epochs")[0] == "3 of 1,200"
    assert "the last line was broken and is left out" in column(table, "note")[0]
    assert column(table, "note")[1] == REFUSED
    assert len(shown(tables.all_runs([]))) >= 1  # an empty list is a table too


@pytest.mark.parametrize("make", [tables.machines, tables.seconds_per_epoch, tables.epochs_to_balance])
def test_a_table_is_readable_by_everybody(rows: Comparison, make: Any) -> None:
    html = make(rows)._repr_html_()
    columns = len(make(rows).frame.columns)
    assert len(re.findall(r"<caption>Table \d\. [^<]+</caption>", html)) == 1
    assert len(re.findall(r'<th scope="col"', html)) == columns
    assert len(re.findall(r'<th scope="row"', html)) == 4
    assert html.count("<th") - html.count("<thead") == columns + 4  # no header without a scope
    assert html.count("<td") == 4 * (columns - 1)
    assert [len(cells) for cells in shown(make(rows))] == [columns] * 5


def test_what_comes_from_a_file_cannot_become_markup(write_run: WriteRun, tmp_path: Path) -> None:
    hostile = '<script>alert("x")</script>'
    write_run("gan-cpu", label=hostile)
    write_run("cgan-cpu", status="failed", reason=hostile)
    rows = compare(tmp_path / "runs", tmp_path)
    for table in (tables.machines(rows), tables.seconds_per_epoch(rows), Table(pd.DataFrame({hostile: [1]}), hostile)):
        assert "<script" not in table._repr_html_()
        assert "&lt;script&gt;alert(&quot;x&quot;)" in table._repr_html_()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "0.500"),
        (37.04, "37.0"),
        (2 / 3, "0.667"),
        (12345.6, "12,300"),
        (999.5, "1,000"),
        (0.9996, "1.00"),
        (0.00012345, "0.000123"),
        (1e-7, "1e-07"),
        (-0.123456, "-0.123"),
        (0.0, "0"),
        (1234567, "1,234,567"),  # a count, in full
        (1200, "1,200"),
        (None, "–"),
        (float("nan"), "–"),
        (True, "yes"),
        ("never in 300", "never in 300"),
    ],
)
def test_a_cell_shows_three_significant_digits_and_whole_counts_in_full(value: Any, text: str) -> None:
    table = Table(pd.DataFrame({"name": ["a"], "value": pd.Series([value], dtype=object)}), "caption")
    assert shown(table)[1] == ["a", text]


def test_a_configuration_that_is_not_in_the_paper_says_so_in_the_papers_columns(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", seconds=0.5)
    write_run("wgan-cpu", seconds=0.25)
    rows = compare(tmp_path / "runs", tmp_path / "none")
    for make, name in (
        (tables.seconds_per_epoch, "paper, s"),
        (tables.epochs_to_balance, "paper, epochs"),
        (tables.training_seconds, "paper, s"),
    ):
        table = make(rows)
        assert column(table, "configuration")[-1] == "WGAN, CPU"
        assert column(table, name)[-1] == "not in the paper"
        assert column(table, "paper / measured")[-1] is None
        assert "WGAN, CPU" in table._repr_html_()
    assert column(tables.seconds_per_epoch(rows), "measured, s")[-1] == 0.25
    assert column(tables.epochs_to_balance(rows), "measured, epochs")[-1] == NO_BAND
    assert column(tables.machines(rows), "configuration")[-1] == "WGAN, CPU"
    assert column(tables.models(rows), "model") == ["GAN"]  # the same two networks


def test_a_count_beside_a_missing_one_is_still_shown_in_full(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", epochs=1234)  # the other three are missing
    cells = shown(tables.training_seconds(compare(tmp_path / "runs", tmp_path)))
    assert cells[1][cells[0].index("epochs")] == "1,234"
    assert cells[2][cells[0].index("epochs")] == "–"


def test_a_shorter_run_as_a_whole_is_not_divided_by_the_papers(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", preset="quick", seconds=0.5)
    rows = compare(tmp_path / "runs", tmp_path / "none")
    assert column(tables.epochs_to_balance(rows), "measured, epochs")[0] == 10
    assert column(tables.epochs_to_balance(rows), "paper / measured")[0] is None
    assert column(tables.training_seconds(rows), "measured, s")[0] == 6.0
    assert column(tables.training_seconds(rows), "paper / measured")[0] is None
    assert column(tables.seconds_per_epoch(rows), "paper / measured")[0] == 74.0  # an epoch is an epoch
