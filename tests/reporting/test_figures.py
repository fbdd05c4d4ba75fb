"""Every figure draws, and says in words what it shows."""

import io
from pathlib import Path

import pytest
from conftest import WriteRun
from PIL import Image

from gan_lib.errors import RecordError
from gan_lib.reporting import figures
from gan_lib.reporting.comparison import Comparison, compare
from gan_lib.reporting.figures import Chart

REFUSED = "unavailable: needs a CUDA GPU"


@pytest.fixture
def rows(write_run: WriteRun, tmp_path: Path) -> Comparison:
    """gan-cpu: two seeds; cgan-cpu: balanced, with samples; gan-gpu: unavailable; cgan-gpu: not run."""
    write_run("gan-cpu", d=[0.1] * 30, g=[3.0] * 29 + [2.0], seconds=0.5)
    write_run("gan-cpu", d=[0.3] * 30, g=[3.0] * 29 + [4.0], seed=1, seconds=0.5)
    run = write_run("cgan-cpu", d=[0.2, *[0.55] * 30], g=[1.05] * 31, seconds=2.0)
    Image.new("L", (96, 96), 128).save(run / "samples.png")
    write_run("gan-gpu", status="unavailable", reason="needs a CUDA GPU")
    return compare(tmp_path / "runs", tmp_path / "reference")


def drawn(chart: Chart) -> Image.Image:
    """The chart's picture as a notebook would show it, checked for its text and its size."""
    data, about = chart._repr_mimebundle_()
    assert data["text/plain"] == about["image/png"]["alt"] == chart.alt != ""
    picture = Image.open(io.BytesIO(data["image/png"]))
    # Drawn finer than it is shown, in the same proportions: sharp, and of a size that fits the page.
    assert picture.width > about["image/png"]["width"] > 100
    shown = about["image/png"]["width"] / about["image/png"]["height"]
    assert picture.width / picture.height == pytest.approx(shown, rel=0.01)
    return picture


def texts(chart: Chart) -> str:
    """All that is written in a chart."""
    return " | ".join(text.get_text().replace("\n", " ") for text in chart.findobj(lambda a: hasattr(a, "get_text")))


def test_the_loss_curves_say_where_each_configuration_went(rows: Comparison) -> None:
    chart = figures.loss_curves(rows)
    drawn(chart)
    # The mean of both seeds: D (0.1 + 0.3) / 2, G 3 at first and (2 + 4) / 2 at last.
    assert "GAN, CPU: over 30 epochs D's loss goes from 0.20 to 0.20 and G's from 3.00 to 3.00" in chart.alt
    assert "Balance is never reached." in chart.alt
    assert "CGAN, CPU: over 31 epochs D's loss goes from 0.20 to 0.55 and G's from 1.05 to 1.05" in chart.alt
    assert "Balance at epoch 10." in chart.alt  # (0.2 + 9 * 0.55) / 10 = 0.515 is inside already
    assert f"GAN, GPU: {REFUSED}." in chart.alt
    assert "CGAN, GPU: not run." in chart.alt


def test_the_loss_curves_have_a_panel_each_on_a_common_axis_and_say_what_is_missing(rows: Comparison) -> None:
    chart = figures.loss_curves(rows)
    assert len(chart.axes) == 4
    assert len({axes.get_ylim() for axes in chart.axes}) == 1
    written = texts(chart)
    for words in ("GAN, CPU · your run on Test CPU, 2 cores", "balance, epoch 10", "needs a CUDA GPU", "not run"):
        assert words in written


def test_all_curves_lie_within_the_common_axis(rows: Comparison) -> None:
    top = figures.loss_curves(rows).axes[0].get_ylim()[1]
    assert 3.0 < top < 10


def test_without_any_run_the_figures_say_why(tmp_path: Path) -> None:
    nothing = compare(tmp_path, tmp_path)
    for chart in (figures.loss_curves(nothing), figures.sample_sheet(nothing), figures.epoch_seconds(nothing)):
        drawn(chart)
        assert chart.alt.count("not run") == 4


def test_one_runs_losses_are_drawn_from_its_first_epoch_on() -> None:
    for epochs in (1, 2, 25):
        history = {"discriminator_loss": [0.7] * epochs, "generator_loss": [0.7] * (epochs - 1) + [1.4]}
        chart = figures.run_losses(history, "cgan")
        drawn(chart)
        assert f"over {epochs} epochs D's loss goes from 0.70 to 0.70" in chart.alt
        assert "to 1.40, at most 1.40" in chart.alt


def test_the_sample_sheet_shows_the_pictures_there_are_and_says_which_are_missing(rows: Comparison) -> None:
    chart = figures.sample_sheet(rows)
    drawn(chart)
    assert "CGAN, CPU: nine images after 300 epochs (your run)." in chart.alt
    assert f"GAN, GPU: {REFUSED}." in chart.alt
    assert "CGAN, GPU: not run." in chart.alt
    assert [len(axes.images) for axes in chart.axes] == [0, 1, 0, 0]
    assert "no samples.png" in texts(chart)


def test_a_fifth_configuration_has_its_place_beside_the_papers_and_no_band(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu")
    write_run("wgan-cpu", seconds=0.2)
    rows = compare(tmp_path / "runs", tmp_path / "none")
    sheet, seconds, losses = figures.sample_sheet(rows), figures.epoch_seconds(rows), figures.loss_curves(rows)
    assert "WGAN, CPU: no picture." in sheet.alt
    assert "WGAN, CPU: 0.200 s on Test CPU, 2 cores" in seconds.alt
    assert "WGAN" not in losses.alt  # it is drawn by critic_figures
    assert len(losses.axes) == 4
    assert all(chart.png().startswith(b"\x89PNG") for chart in (sheet, seconds, losses))


def test_a_critics_scores_are_not_called_beliefs() -> None:
    chart = figures.judgement([10.0, 12.0], [-30.0, -20.0], auc=1.0, critic=True)
    assert "the critic's score of an image: mean 11.00" in chart.alt
    assert "belief" not in chart.alt + chart.axes[0].get_xlabel()
    assert chart.axes[0].get_xlim()[0] <= -30


def test_a_corrupt_picture_is_named(rows: Comparison) -> None:
    path = rows["cgan-cpu"].records[0].path / "samples.png"
    for content in (b"hello", b"", path.read_bytes()[:60]):
        path.write_bytes(content)
        with pytest.raises(RecordError, match=r"samples\.png is corrupt or not a picture"):
            figures.sample_sheet(rows)


def test_seconds_per_epoch_stand_beside_the_papers(rows: Comparison) -> None:
    chart = figures.epoch_seconds(rows)
    drawn(chart)
    assert "GAN, CPU: paper 37 s, 0.500 s on Test CPU, 2 cores" in chart.alt
    assert "CGAN, CPU: paper 437 s, 2.00 s on Test CPU, 2 cores" in chart.alt
    assert f"GAN, GPU: paper 0.1 s, {REFUSED}" in chart.alt
    assert "CGAN, GPU: paper 0.45 s, not run" in chart.alt
    assert chart.axes[0].get_xscale() == "log"


def test_a_judgement_says_both_means_and_counts() -> None:
    chart = figures.judgement([0.5, 1.0], [0.25, 0.25, 0.25], auc=0.9)
    drawn(chart)
    assert "mean 0.75 for 2 real images, 0.25 for 3 generated ones; ROC AUC 0.90." in chart.alt
    assert "ROC" not in figures.judgement([0.5], [0.5]).alt


def test_any_picture_is_shown_with_its_text_in_its_own_proportions() -> None:
    chart = figures.picture(Image.new("L", (60, 20), 0), "three black squares")
    assert drawn(chart).width == 3 * drawn(chart).height
    assert chart.alt == "three black squares"


def test_a_reason_with_dollar_signs_is_text_and_no_formula(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", status="failed", reason=r"folder '$\frac$' does not exist")
    write_run("cgan-cpu", label="$2$ CPUs at 3 $")
    found = compare(tmp_path / "runs", tmp_path)
    for chart in (figures.loss_curves(found), figures.sample_sheet(found), figures.epoch_seconds(found)):
        drawn(chart)
        assert "$" in chart.alt


def test_a_run_whose_history_is_gone_is_shown_as_empty(write_run: WriteRun, tmp_path: Path) -> None:
    (write_run("gan-cpu") / "history.csv").unlink()
    drawn(figures.loss_curves(compare(tmp_path / "runs", tmp_path)))


def test_models_and_machines_can_be_told_apart_without_colour_vision() -> None:
    # Blue and vermilion of Okabe and Ito; a dashed line for the GPU.
    assert figures.COLOURS == {"gan": "#0072B2", "cgan": "#D55E00", "wgan": "#56B4E9", "cwgan": "#E69F00"}
    assert figures.STYLES["cpu"] != figures.STYLES["gpu"]
