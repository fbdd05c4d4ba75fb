"""The tables of quality."""

from pathlib import Path
from typing import Any

from conftest import WriteRun

from gan_lib.reporting.comparison import Comparison, compare
from gan_lib.reporting.tables import Table, all_measures, differences, quality_by_configuration, run_quality
from gan_lib.runs.record import read_record


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
    assert line(table, "CGAN, CPU")["Fréchet distance"] == "not measured"
    assert line(table, "GAN, GPU")["Fréchet distance"] == "unavailable: needs a CUDA GPU"
    assert line(table, "CGAN, GPU")["Fréchet distance"] == "not run"
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
    assert len(quality_by_configuration(rows).frame) == 4


def test_differences_have_an_interval_from_three_runs_on(write_run: WriteRun, tmp_path: Path) -> None:
    def told() -> str:
        rows = compared(tmp_path)
        return str(differences([(rows["gan-cpu"], rows["cgan-cpu"])]).frame["value"][0])

    for seed in range(3):
        write_run("gan-cpu", quality={12: 60.0 + seed}, seed=seed)
        write_run("cgan-cpu", quality={12: 40.0 - seed}, seed=seed)
        if seed < 2:
            assert "3 of each are the least" in told()
    assert told().startswith("22.0 (95% interval ")
    assert "spans 0" not in told()
    write_run("cgan-cpu", quality={12: 120.0}, seed=3)
    assert told().endswith(", n = 3), spans 0")
    rows = compared(tmp_path)
    absent = differences([(rows["gan-gpu"], rows["cgan-gpu"])]).frame
    assert absent["value"].tolist() == ["GAN, GPU: not run; CGAN, GPU: not run"]
