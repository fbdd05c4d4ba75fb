"""Runs in two precisions side by side, and whether they differ by more than their seeds do."""

from pathlib import Path

import pytest
from conftest import WriteRun

from gan_lib.runs.record import Record, find_records
from gan_lib.studies import precision


def records(write_run: WriteRun, tmp_path: Path, bf16: list[float]) -> list[Record]:
    """Three seeds in each precision, whose generator's loss stays where it is given; fp32: 1.0, 1.2 and 1.4."""
    for name, levels in (("fp32", [1.0, 1.2, 1.4]), ("bf16", bf16)):
        for seed, level in enumerate(levels):
            write_run("gan-cpu", d=[0.5] * 20, g=[9.0] * 10 + [level] * 10, seed=seed, precision=name)
    return find_records(tmp_path / "runs")[0]


def test_the_last_ten_epochs_count(write_run: WriteRun, tmp_path: Path) -> None:
    lines = precision.final_losses(records(write_run, tmp_path, [1.1, 1.3, 1.5])).frame.to_dict("records")
    assert [line["loss"] for line in lines] == ["D", "G"]
    assert lines[1]["fp32"] == "1.20 (1.00 to 1.40, n = 3)"
    assert lines[1]["bf16"] == "1.30 (1.10 to 1.50, n = 3)"


@pytest.mark.parametrize(("bf16", "expected"), [([1.1, 1.3, 1.5], []), ([1.7, 1.9, 2.1], ["GAN, G's loss"])])
def test_precisions_are_apart_when_their_means_are_further_than_the_seeds(
    bf16: list[float], expected: list[str], write_run: WriteRun, tmp_path: Path
) -> None:
    assert precision.apart(records(write_run, tmp_path, bf16)) == expected


def test_chance_is_the_share_of_deals_that_differ_as_much() -> None:
    assert precision.chance([1, 2, 3], [4, 5, 6]) == pytest.approx(2 / 20)  # the two extreme deals of twenty
    assert precision.chance([1, 1], [1, 1]) == 1
    assert precision.chance([1, 2, 3, 4], [5, 6, 7, 8]) == pytest.approx(2 / 70)


def test_the_figure_draws_every_run_and_says_its_numbers(write_run: WriteRun, tmp_path: Path) -> None:
    figure = precision.chart(records(write_run, tmp_path, [1.1, 1.3, 1.5]))
    d_panel, g_panel = figure.axes
    assert len(d_panel.lines) == len(g_panel.lines) == 6
    assert "GAN, G: fp32 1.20 (1.00 to 1.40, n = 3), bf16 1.30" in figure.alt
