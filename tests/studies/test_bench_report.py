"""A bench report written, read back, refused when it is not whole, and shown."""

from pathlib import Path
from typing import Any

import pytest

from gan_lib.errors import RecordError
from gan_lib.studies import bench

REPORT: dict[str, Any] = {
    "machine": {"label": "Test CPU, 2 cores", "device": "cpu", "precision": "bf16"},
    "matrix_gflops": {"fp32": 150.0, "bf16": 400.0},
    "rounds": 3,
    "peak_memory_mb": 900.0,
    "models": {
        "gan": {
            "seconds": {"baseline": [1.0, 0.9, 1.1], "ours": [0.4, 0.5, 0.3]},
            "median_seconds": {"baseline": 1.0, "ours": 0.4},
            "times_faster": 2.5,
            "images_per_second": 5000.0,
            "gflop_per_epoch": 64.0,
            "share_of_matrix_rate": 0.4,
            "growth": [{"images": 2000, "seconds": 0.4, "microseconds_per_image": 200.0, "peak_memory_mb": 900.0}],
        }
    },
}


def test_a_report_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    path = bench.save_bench(REPORT, tmp_path / "bench")
    assert path.name == "test-cpu-2-cores.json"
    (report,) = bench.read_benches(tmp_path / "bench")
    assert report == bench.Bench.model_validate(REPORT)
    assert (report.label, report.precision) == ("Test CPU, 2 cores", "bf16")


def test_a_report_that_is_not_whole_is_refused_by_name(tmp_path: Path) -> None:
    path = bench.save_bench({**REPORT, "rounds": "many"}, tmp_path)
    with pytest.raises(RecordError, match=f"{path.name}: rounds: "):
        bench.read_benches(tmp_path)


def test_the_table_has_the_paper_and_its_machine_beside_the_measured_seconds() -> None:
    (line,) = bench.speed_table([bench.Bench.model_validate(REPORT)]).frame.to_dict("records")
    assert line["plain loop, s"] == 1.0
    assert line["gan-lib, s"] == 0.4
    assert line["times faster"] == 2.5
    assert line["share of the matrix rate"] == "40%"
    assert line["the paper, s (ml.c5.2xlarge)"] == "37"


def test_without_reports_the_table_says_what_to_do() -> None:
    assert "gan-lib bench" in bench.speed_table([])._repr_html_()


def test_the_figure_says_its_numbers_in_words() -> None:
    figure = bench.chart([bench.Bench.model_validate(REPORT)])
    assert "GAN on Test CPU, 2 cores: 1.00 s plain, 0.400 s here, 2.50 times faster, 40% of the matrix rate" in figure.alt
    assert figure.png().startswith(b"\x89PNG")
