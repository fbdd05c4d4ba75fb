"""What records say of image quality, whatever is missing in them."""

from pathlib import Path

import pytest
from conftest import MEASURED, WriteRun

from gan_lib.reporting import quality
from gan_lib.reporting.comparison import compare
from gan_lib.reporting.convergence import Plateau
from gan_lib.runs.record import RunFolder, read_record


def test_a_row_gives_the_last_measurement_of_each_run_and_the_floor(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", quality={6: 50.0, 12: 40.0})
    write_run("gan-cpu", quality={12: 30.0}, seed=1)
    write_run("gan-cpu", seed=2)
    write_run("cgan-cpu")
    rows = compare(tmp_path / "runs", tmp_path / "reference")
    assert quality.values(rows["gan-cpu"], "frechet_distance") == [40.0, 30.0]
    assert quality.row_floor(rows["gan-cpu"], "frechet_distance") == 0.2
    assert quality.last(rows["gan-cpu"].records[0]) == {"frechet_distance": 40.0, **MEASURED}
    assert quality.values(rows["cgan-cpu"], "frechet_distance") == []
    assert quality.row_floor(rows["cgan-cpu"], "frechet_distance") is None
    assert [quality.why_missing(row) for row in rows.values()] == [
        "the test's classifier",
        "not measured",
        "not run",
        "not run",
    ]


def test_the_ten_digits_are_summed_up(write_run: WriteRun) -> None:
    shares = {f"digit_{digit}": share for digit, share in enumerate((0.02, 0.3, *[0.085] * 8))}
    found = quality.last(read_record(write_run("gan-cpu", facts={"quality": shares})))
    assert (found["rarest_digit"], found["most_frequent_digit"]) == (0.02, 0.3)


@pytest.mark.parametrize("entry", [None, {"recall": None}, {}])
def test_what_is_no_number_is_no_quality(write_run: WriteRun, entry: object) -> None:
    record = read_record(write_run("gan-cpu", facts={"quality": entry, "quality_floor": entry}))
    assert quality.last(record) == quality.floor(record) == {}


def test_a_curve_leaves_out_what_is_not_finite_and_finds_the_plateau(write_run: WriteRun) -> None:
    path = write_run("gan-cpu", quality={2: 100.0, 4: 50.0, 6: 48.0, 8: float("nan"), 10: 49.0})
    found = quality.curve(read_record(path))
    assert (found.epochs, found.seconds, found.values) == ([2, 4, 6, 10], [1.0, 2.0, 3.0, 5.0], [100.0, 50.0, 48.0, 49.0])
    assert quality.plateau(read_record(path)) == Plateau(4, 6, 48.0)
    assert quality.curve(read_record(path), "density").values == []
    RunFolder(path).write_metrics([])
    (path / "summary.json").unlink()
    assert quality.plateau(read_record(path)) is None


def test_the_seconds_to_a_distance_are_those_of_the_first_measurement_that_is_there(write_run: WriteRun) -> None:
    record = read_record(write_run("gan-cpu", seconds=2.0, quality={4: 30.0, 8: 19.0, 10: 21.0, 12: 5.0}))
    assert [quality.seconds_to(record, target) for target in (40, 20, 5, 2)] == [8.0, 16.0, 24.0, None]
