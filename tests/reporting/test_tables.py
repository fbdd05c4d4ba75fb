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
from gan_lib.reporting.tables import Table, all_measures, differences, quality_by_configuration, run_quality
from gan_lib.runs.record import read_record

REFUSED = "needs a CUDA GPU"


@pytest.fixture
def rows(write_run: WriteRun, tmp_path: Path) -> Comparison:
    """gan-cpu: two seeds; cgan-cpu: a reference run; gan-gpu: unavailable; cgan-gpu: not run."""
    write_run("gan-cpu", seconds=0.5, d=[0.55] * 20, facts={"weights_bytes": 11_816_344, "model_megabytes": 11.26764})
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
    assert column(table, "measured on") == ["Test CPU, 2 cores", "Reference CPU", None, None]
    assert column(table, "USD per hour") == ["0.408", "0.408", "0.7364", "0.7364"]


def test_table_2_has_the_papers_seconds_ours_and_the_ratio(rows: Comparison) -> None:
    table = tables.seconds_per_epoch(rows)
    assert column(table, "configuration") == ["GAN, CPU", "CGAN, CPU (reference run)", "GAN, GPU", "CGAN, GPU"]
    assert column(table, "paper, s") == ["37", "437", "0.1", "0.45"]
    assert column(table, "measured, s") == [0.5, 1.0, None, None]
    assert column(table, "paper / measured") == [74.0, 437.0, None, None]  # 37 / 0.5


def test_table_2_says_how_far_the_seeds_lie_apart(write_run: WriteRun, tmp_path: Path) -> None:
    for seed, seconds in enumerate([0.5, 0.25, 1.0]):
        write_run("gan-cpu", seed=seed, seconds=seconds)
    cells = shown(tables.seconds_per_epoch(compare(tmp_path / "runs", tmp_path)))
    assert "0.250 to 1.00 (n = 3)" in cells[1]
    assert "0.500" in cells[1]


def test_table_3_says_when_balance_was_reached_and_by_how_many(rows: Comparison) -> None:
    table = tables.epochs_to_balance(rows)
    assert column(table, "paper, epochs") == [1200, 300, 1200, 300]
    assert column(table, "measured, epochs") == ["not in 1,200", "never in 300", None, None]
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
    assert column(table, "MB, as float32") == ["11.268", None]  # older records do not say
    assert column(table, "MB, saved files") == ["11.269", None]
    assert column(table, "paper's MB") == ["11.269", "9.201"]


def test_every_run_is_listed_whatever_became_of_it_and_linked_where_it_has_a_report(
    write_run: WriteRun, tmp_path: Path
) -> None:
    mended = {"notes": ["the last line was broken and is left out"], "finished": "2026-05-04T13:02:01+00:00"}
    paths = [write_run("gan-cpu", d=[0.5] * 3, facts=mended), write_run("gan-gpu", status="unavailable", reason=REFUSED)]
    (paths[1] / "history.csv").unlink()
    (paths[0] / "report.html").touch()
    table = tables.all_runs([read_record(path) for path in paths], tmp_path)
    assert column(table, "run") == ["gan-cpu/seed-0", "gan-gpu/seed-0"]
    assert column(table, "status") == ["ok", "unavailable"]
    assert column(table, "epochs") == [3, 0]
    assert column(table, "of") == [1200, 1200]
    assert column(table, "finished")[0] == "2026-05-04"
    assert column(table, "notes") == mended["notes"] + [None]
    assert column(table, "reason") == [None, REFUSED]
    assert table.links == {"gan-cpu/seed-0": "runs/gan-cpu/seed-0/report.html"}
    assert '<a href="runs/gan-cpu/seed-0/report.html">gan-cpu/seed-0</a>' in table._repr_html_()
    assert len(shown(tables.all_runs([]))) >= 1  # an empty list is a table too


def test_the_first_table_has_seconds_cost_and_quality_against_its_floor(write_run: WriteRun, tmp_path: Path) -> None:
    for seed, distance in enumerate((30.0, 40.0)):
        write_run("gan-cpu", seconds=0.5, d=[0.5] * 36, quality={12: distance}, seed=seed)
    write_run("wgan-cpu", seconds=0.25)
    table = tables.overview(compare(tmp_path / "runs", tmp_path / "none"))
    assert column(table, "configuration") == ["GAN, CPU", "WGAN, CPU", "real images: the floor"]
    assert column(table, "s per epoch") == [0.5, 0.25, None]
    assert column(table, "cost, USD")[0] == pytest.approx(18 / 3600 * 0.408)
    assert column(table, "Fréchet distance") == [35.0, None, 0.2]


def test_beside_images_of_ones_own_there_is_no_column_of_the_paper(write_run: WriteRun, tmp_path: Path) -> None:
    path = write_run("gan-cpu", data="folder:/photos", training_images=150)
    write_run("cgan-cpu", data="folder:/photos", training_images=150)
    rows = compare(tmp_path / "runs", tmp_path / "none")
    for make in (tables.seconds_per_epoch, tables.epochs_to_balance, tables.training_seconds, tables.models):
        assert not any("paper" in name for name in make(rows).frame.columns)
        assert len(make(rows).frame) == 2
    assert list(tables.summary(read_record(path)).frame.columns) == ["quantity", "this run"]
    assert "the paper" in tables.summary(read_record(write_run("gan-cpu"))).frame.columns


def test_layers_are_listed_with_their_sum() -> None:
    table = tables.layers([("linear", (2, 256), 25_856), ("leaky relu", (2, 256), 0)], "Generator")
    assert column(table, "returns") == ["(N, 256)", "(N, 256)", ""]
    assert column(table, "parameters") == [25_856, None, 25_856]


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
    for table in (tables.machines(rows), Table(pd.DataFrame({hostile: [1]}), hostile)):
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


# Image quality.


def compared(tmp_path: Path) -> Comparison:
    return compare(tmp_path / "runs", tmp_path / "reference")


def line(table: Table, name: str) -> dict[str, Any]:
    """The row that begins with a name."""
    return next(row for row in table.frame.to_dict("records") if row[table.frame.columns[0]] == name)


def test_a_runs_table_has_value_floor_and_what_better_means(write_run: WriteRun) -> None:
    table = run_quality(read_record(write_run("gan-cpu", quality={12: 40.0})))
    assert line(table, "recognisable, % of images") == {
        "measure": "recognisable, % of images", "this run": 87.5, "floor: real images": 98.5, "better": "higher",
    }  # fmt: skip
    assert "3,000 generated images" in table.caption
    assert "The test's classifier." in table.caption


def test_a_run_without_quality_says_why(write_run: WriteRun) -> None:
    assert run_quality(read_record(write_run("gan-cpu"))).frame["measure"].tolist() == ["not measured"]
    reason = "not measured: held-out images must be at least 100"
    table = run_quality(read_record(write_run("gan-cpu", facts={"quality_about": reason})))
    assert table.frame["measure"].tolist() == [reason]


def test_configurations_have_mean_spread_number_of_runs_and_a_floor_or_a_reason(write_run: WriteRun, tmp_path: Path) -> None:
    for seed, distance in enumerate((30.0, 40.0, 50.0)):
        write_run("gan-cpu", quality={12: distance}, seed=seed)
    write_run("cgan-cpu", below="reference")
    write_run("gan-gpu", status="unavailable", reason="needs a CUDA GPU")
    table = quality_by_configuration(compared(tmp_path))
    assert line(table, "GAN, CPU")["Fréchet distance"] == "40.0 (30.0 to 50.0)"
    assert line(table, "GAN, CPU")["copies, %"] == 2.0  # the same in all three
    assert line(table, "GAN, CPU")["runs"] == 3
    assert line(table, "CGAN, CPU (reference run)")["Fréchet distance"] == "not measured"
    assert len(table.frame) == 3  # what was not run is missing once, above
    assert line(table, "real images: the floor")["Fréchet distance"] == 0.2
    assert 'data-label="recognisable, %"' in table._repr_html_()
    every = all_measures(compared(tmp_path))
    assert list(every.frame.columns) == ["measure", "GAN, CPU", "floor: real images", "better"]
    assert line(every, "copies of training images, % of images")["GAN, CPU"] == 2.0


def test_without_a_classifier_the_reason_stands_in_the_distances_place(write_run: WriteRun, tmp_path: Path) -> None:
    about = "no classifier: folder:photos has no labels to train one on"
    write_run("gan-cpu", facts={"quality": {"noise_level": 0.02}, "quality_about": about})
    found = line(quality_by_configuration(compared(tmp_path)), "GAN, CPU")
    assert (found["Fréchet distance"], found["noise level, %"], found["runs"]) == (about, 2.0, 1)


def test_without_any_quality_the_tables_say_so(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu")
    rows = compared(tmp_path)
    assert all_measures(rows).frame["measure"].tolist() == ["not measured"]
    assert len(quality_by_configuration(rows).frame) == 1


def test_differences_have_an_interval_from_three_runs_on(write_run: WriteRun, tmp_path: Path) -> None:
    def told() -> str:
        rows = compared(tmp_path)
        return str(differences(rows).frame["value"][0])

    for seed in range(3):
        write_run("gan-cpu", quality={12: 60.0 + seed}, seed=seed)
        write_run("cgan-cpu", quality={12: 40.0 - seed}, seed=seed)
        if seed < 2:
            assert "3 of each are the least" in told()
    assert told().startswith("22.0 (95% interval ")
    assert "spans 0" not in told()
    write_run("cgan-cpu", quality={12: 120.0}, seed=3)
    assert told().endswith(", n = 3), spans 0")
