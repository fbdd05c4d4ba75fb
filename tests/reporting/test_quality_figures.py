"""What the figures of quality show, by their lines and their alternative texts."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import WriteRun

from gan_lib.reporting.comparison import compare
from gan_lib.reporting.quality_figures import cost_against_quality, frechet_curves, frontier, nearest_pairs, run_curve
from gan_lib.runs.record import read_record


def test_a_runs_curve_shows_each_measurement_and_the_floor(write_run: WriteRun) -> None:
    chart = run_curve(read_record(write_run("gan-cpu", quality={6: 50.0, 12: 40.0})))
    curve, ground = chart.axes[0].lines
    assert (list(curve.get_xdata()), list(curve.get_ydata())) == ([6, 12], [50.0, 40.0])
    assert list(ground.get_ydata()) == [0.2, 0.2]
    assert list(chart.axes[1].lines[0].get_ydata()) == [50.0, 50.0]  # precision, %
    assert [panel.axison for panel in chart.axes] == [True] * 3 + [False]  # no score gap in this run
    assert "Fréchet distance (variance of real features = 100): from 50.0 to 40.0 (floor 0.200)" in chart.alt
    assert chart.png()


def test_how_much_d_has_overfitted_has_a_curve_of_its_own(write_run: WriteRun) -> None:
    record = read_record(write_run("gan-cpu", quality={6: 50.0, 12: 40.0}))
    chart = run_curve(replace(record, metrics={**record.metrics, "score_gap": [0.1, 0.4]}))
    curve, zero = chart.axes[3].lines
    assert (list(curve.get_ydata()), list(zero.get_ydata())) == ([0.1, 0.4], [0.0, 0.0])
    assert "training minus held out: from 0.100 to 0.400." in chart.alt


def test_a_run_without_quality_says_why_in_its_panels(write_run: WriteRun) -> None:
    chart = run_curve(read_record(write_run("gan-cpu", facts={"quality_about": "not measured: too few"})))
    assert chart.axes[0].texts[0].get_text() == "not measured: too few"
    assert chart.alt == "Image quality by epoch. Not measured."


def test_the_distance_is_drawn_by_epoch_and_by_second_of_training(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", quality={6: 60.0, 12: 40.0}, seconds=0.5)
    write_run("gan-cpu", quality={6: 40.0, 12: 20.0}, seconds=0.5, seed=1)
    write_run("cgan-cpu")
    chart = frechet_curves(compare(tmp_path / "runs", tmp_path / "reference"))
    assert chart is not None
    for panel, places in zip(chart.axes, ([6, 12], [3.0, 6.0]), strict=True):
        bold = panel.lines[2]  # after both seeds
        assert (list(bold.get_xdata()), list(bold.get_ydata())) == (places, [50.0, 30.0])
        assert panel.get_ylim()[0] < 0.2
    assert "GAN, CPU: from 50.0 at epoch 6 to 30.0 at epoch 12, 6.00 s (n = 2). CGAN, CPU: not measured." in chart.alt
    assert [text.get_text() for text in chart.axes[1].texts] == ["floor: real images", "GAN, CPU"]  # from below
    assert chart.png()


def test_seconds_of_several_machines_are_told_from_those_of_one(write_run: WriteRun, tmp_path: Path) -> None:
    def labels() -> set[bool]:
        rows = compare(tmp_path / "runs", tmp_path / "reference")
        charts = (frechet_curves(rows), cost_against_quality(rows))
        return {bool(chart) and chart.axes[-1].get_xlabel().endswith("; not all on one machine") for chart in charts if chart}

    assert labels() == set()  # no figure without measurements
    write_run("gan-cpu", quality={12: 40.0})
    write_run("gan-gpu", quality={12: 40.0}, label="A GPU")  # another machine by name too
    assert labels() == {False}
    write_run("cgan-cpu", quality={12: 40.0}, label="Another CPU, 2 cores")
    assert labels() == {True}


@pytest.mark.parametrize(
    ("points", "best"),
    [
        ({"a": (1.0, 50.0), "b": (2.0, 40.0), "c": (3.0, 45.0), "d": (4.0, 10.0)}, ["a", "b", "d"]),
        ({"a": (1.0, 10.0), "b": (2.0, 10.0)}, ["a"]),  # as good and dearer
        ({"a": (1.0, 20.0), "b": (1.0, 10.0)}, ["b"]),
        ({"a": (1.0, 1.0)}, ["a"]),
    ],
)
def test_the_frontier_is_what_nothing_beats_in_both(points: dict[str, tuple[float, float]], best: list[str]) -> None:
    frame = pd.DataFrame.from_dict(points, orient="index", columns=["cost_usd", "frechet_distance"])
    assert list(frontier(frame).index) == best


def test_cost_against_quality_names_the_frontier(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", quality={12: 40.0}, seconds=0.3)
    write_run("cgan-cpu", quality={12: 60.0}, seconds=3.0)
    chart = cost_against_quality(compare(tmp_path / "runs", tmp_path / "reference"))
    assert chart is not None
    assert "GAN, CPU 0.000408 USD, distance 40.0; CGAN, CPU 0.00408 USD, distance 60.0." in chart.alt
    assert "nothing is both cheaper and better: GAN, CPU." in chart.alt
    assert chart.png()


def test_the_nearest_pairs_are_shown_the_nearest_first() -> None:
    train = torch.stack([torch.full((1, 4, 4), value) for value in (-1.0, 0.0, 1.0)])
    generated = torch.stack([torch.full((1, 4, 4), value) for value in (0.5, 0.9, -1.0, 0.2)])

    def distances(chart: object) -> list[str]:
        return [label.get_text() for label in chart.axes[0].get_xticklabels()]  # type: ignore[attr-defined]

    chart = nearest_pairs(generated, train, count=3)
    pixels = chart.axes[0].images[0].get_array()
    assert pixels is not None
    shown = [int(pixels[row, column]) for row in (1, 7) for column in (1, 7, 13)]
    assert shown == [0, 242, 153, 0, 255, 128]  # 255 times 0, 0.95, 0.6 above 0, 1, 0.5
    assert distances(chart) == ["0", "0.0500", "0.100"]
    assert "Of 4 generated images the 3 that are nearest" in chart.alt
    assert chart.get_figwidth() < 5 < nearest_pairs(generated.repeat(2, 1, 1, 1), train, count=6).get_figwidth()
    by_class = nearest_pairs(generated, train, labels=torch.tensor([5, 2, 2]))  # class 2: 0.9 and 1.0; class 5: both -1
    assert distances(by_class) == ["0.0500", "0"]
