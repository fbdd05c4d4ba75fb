"""What records say of image quality, whatever is missing in them."""

import math
from pathlib import Path
from typing import Any

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
    gan, cgan = rows["gan-cpu"], rows["cgan-cpu"]
    assert (gan.numbers("frechet_distance"), gan.mean("frechet_distance"), gan.floor("frechet_distance")) == ([40, 30], 35, 0.2)
    assert quality.last(gan.records[0]) == {"frechet_distance": 40.0, **MEASURED}
    assert (cgan.numbers("frechet_distance"), cgan.mean("frechet_distance"), cgan.floor("frechet_distance")) == ([], None, None)
    assert [row.why_unmeasured for row in rows.values()] == ["the test's classifier", "not measured", "not run", "not run"]


def test_the_ten_digits_are_summed_up(write_run: WriteRun) -> None:
    shares = {f"digit_{digit}": share for digit, share in enumerate((0.02, 0.3, *[0.085] * 8))}
    measures = quality.last(read_record(write_run("gan-cpu", facts={"quality": shares})))
    assert (measures["rarest_digit"], measures["most_frequent_digit"]) == (0.02, 0.3)


@pytest.mark.parametrize("entry", [None, {"recall": None}, {}])
def test_what_is_no_number_is_no_quality(write_run: WriteRun, entry: object) -> None:
    record = read_record(write_run("gan-cpu", facts={"quality": entry, "quality_floor": entry}))
    assert quality.last(record) == quality.floor(record) == {}


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, []),
        ({"generator_loss": -4.67e8}, ["training has diverged: generator_loss was -4.67e+08 in the last epoch"]),
        ({"largest_class_share": 0.44}, ["mode collapse: 44% of the generated images are of one class"]),
        ({"quality": {"digit_3": 0.44}}, ["mode collapse: 44% of the generated images are of one class"]),  # an older record
        ({"largest_class_share": 0.3}, []),
    ],
)
def test_a_run_that_diverged_or_collapsed_is_doubted(write_run: WriteRun, facts: dict[str, Any], words: list[str]) -> None:
    assert quality.doubts(read_record(write_run("gan-cpu", facts=facts))) == words


def test_a_curve_leaves_out_what_is_not_finite_and_finds_the_plateau(write_run: WriteRun) -> None:
    path = write_run("gan-cpu", quality={2: 100.0, 4: 50.0, 6: 48.0, 8: float("nan"), 10: 49.0})
    record = read_record(path)
    assert quality.curve(record).values.T.tolist() == [[2, 4, 6, 10], [1.0, 2.0, 3.0, 5.0], [100.0, 50.0, 48.0, 49.0]]
    assert quality.plateau(record) == Plateau(4, 6, 48.0)
    assert quality.curve(record, "density").empty
    RunFolder(path).write_metrics([])
    (path / "summary.json").unlink()
    assert quality.plateau(read_record(path)) is None


def test_the_seconds_to_a_distance_are_those_of_the_first_measurement_that_is_there(write_run: WriteRun) -> None:
    record = read_record(write_run("gan-cpu", seconds=2.0, quality={4: 30.0, 8: 19.0, 10: 21.0, 12: 5.0}))
    assert [quality.seconds_to(record, target) for target in (40, 20, 5, 2)] == [8.0, 16.0, 24.0, math.inf]
    assert math.isnan(quality.seconds_to(read_record(write_run("cgan-cpu")), 20))
