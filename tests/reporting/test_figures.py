"""Every figure draws, and says in words what it shows."""

import base64
import io
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import WriteRun
from PIL import Image

from gan_lib.presets import configure
from gan_lib.reporting import figures
from gan_lib.reporting.comparison import Comparison, compare
from gan_lib.reporting.style import (
    STYLES,
    Chart,
    colour_of,
    draw_loss,
    epoch_axis,
    log_numbers,
    name_ends,
    robust_top,
    say_missing,
    set_title,
)
from gan_lib.runs.record import read_record


@pytest.fixture
def rows(write_run: WriteRun, tmp_path: Path) -> Comparison:
    """gan-cpu: two seeds; cgan-cpu: balanced, with samples; gan-gpu: unavailable; cgan-gpu: not run."""
    write_run("gan-cpu", d=[0.1] * 30, g=[3.0] * 29 + [2.0], seconds=0.5)
    write_run("gan-cpu", d=[0.3] * 30, g=[3.0] * 29 + [4.0], seed=1, seconds=0.5)
    run = write_run("cgan-cpu", d=[0.2, *[0.55] * 30], g=[1.05] * 31, seconds=2.0)
    Image.new("L", (96, 96), 128).save(run / "samples.png")
    write_run("gan-gpu", status="unavailable", reason="needs a CUDA GPU")
    return compare(tmp_path / "runs", tmp_path / "reference")


def drawn(chart: Chart | None) -> Image.Image:
    """The chart's picture as a notebook would show it, checked for its text and its size."""
    assert chart is not None
    data, about = chart._repr_mimebundle_()
    assert data["text/plain"] == about["image/png"]["alt"] == chart.alt != ""
    picture = Image.open(io.BytesIO(data["image/png"]))
    # Drawn finer than it is shown, in the same proportions: sharp, and of a size that fits the page.
    assert picture.width > about["image/png"]["width"] > 100
    shown = about["image/png"]["width"] / about["image/png"]["height"]
    assert picture.width / picture.height == pytest.approx(shown, rel=0.01)
    return picture


def titles(chart: Chart | None) -> list[str]:
    return [panel.get_title(loc="left") for panel in chart.axes] if chart else []


def test_the_loss_curves_show_the_runs_there_are_on_a_common_axis(rows: Comparison) -> None:
    chart = figures.loss_curves(rows)
    drawn(chart)
    assert chart is not None
    # The mean of both seeds: D (0.1 + 0.3) / 2, G 3 at first and (2 + 4) / 2 at last.
    assert "30 epochs: D's loss 0.20 to 0.20, at most 0.20; G's loss 3.00 to 3.00, at most 3.00." in chart.alt
    assert "31 epochs: D's loss 0.20 to 0.55, at most 0.55; G's loss 1.05 to 1.05, at most 1.05." in chart.alt
    # (0.2 + 9 * 0.55) / 10 is inside already
    assert titles(chart) == ["GAN, CPU · never in balance", "CGAN, CPU · balance at epoch 10"]
    assert len({panel.get_ylim() for panel in chart.axes}) == 1
    assert 3.0 < chart.axes[0].get_ylim()[1] < 10


def test_own_images_have_no_balance_of_the_papers(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", data="folder:/photos", training_images=150)
    rows = compare(tmp_path / "runs", tmp_path)
    config = rows["gan-cpu"].records[0].config
    for chart in (figures.loss_curves(rows), figures.run_history(rows["gan-cpu"].records[0].history, config)):
        assert chart is not None and titles(chart)[0] == "GAN, CPU"
        assert not chart.axes[0].patches and "paper" not in chart.axes[0].get_xlabel() + chart.alt
    assert figures.epoch_seconds(rows) is None  # of one alone
    write_run("cgan-cpu", data="folder:/photos", training_images=150)
    seconds = figures.epoch_seconds(compare(tmp_path / "runs", tmp_path))
    assert seconds is not None and "paper" not in seconds.alt and "of 150 images" in seconds.axes[0].get_xlabel()


def test_early_peaks_of_the_scores_do_not_flatten_the_rest(write_run: WriteRun) -> None:
    record = read_record(write_run("wgan-cpu", d=[0.5] * 50))
    history = {**record.history, "real_probability": [80.0, -80.0, *[1.0] * 48], "generated_probability": [0.0] * 50}
    upper = figures.run_history(history, record.config).axes[0]
    assert upper.get_ylim() == (-1.6, 1.6)


def test_without_any_run_there_are_no_curves_and_no_pictures(write_run: WriteRun, tmp_path: Path) -> None:
    (write_run("gan-cpu") / "history.csv").unlink()  # a run without its history is missing
    nothing = compare(tmp_path / "runs", tmp_path)
    assert [figures.loss_curves(nothing), figures.loss_curves(nothing, scores=True), figures.sample_sheet(nothing)] == [
        None
    ] * 3
    seconds = figures.epoch_seconds(nothing)
    drawn(seconds)
    assert seconds is not None and "CGAN, GPU: paper 0.45 s" in seconds.alt


@pytest.mark.parametrize("epochs", [1, 2, 25])
@pytest.mark.parametrize(("configuration", "panels"), [("cgan-cpu", 1), ("gan-hinge-cpu", 2)])
def test_one_runs_history_is_drawn_from_its_first_epoch_on(configuration: str, panels: int, epochs: int) -> None:
    history = {
        **{"discriminator_loss": [0.7] * epochs, "generator_loss": [0.7] * (epochs - 1) + [1.4]},
        **{"real_probability": [5.0 - at / epochs for at in range(epochs)], "generated_probability": [-1.0] * epochs},
    }
    chart = figures.run_history(history, configure(configuration))
    drawn(chart)
    assert len(chart.axes) == panels
    assert f"{epochs} epoch{'s'[: epochs > 1]}: " in chart.alt
    assert "to 1.40, at most 1.40" in chart.alt
    assert ("6.00 to " in chart.alt, bool(chart.axes[0].patches)) == (panels == 2, panels == 1)  # the gap; the paper's band
    assert all(float(tick).is_integer() for tick in chart.axes[-1].get_xticks())


def test_another_loss_has_its_place_beside_the_papers(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu")
    for seed in range(2):
        write_run("wgan-cpu", seconds=0.2, seed=seed)
    write_run("cwgan-cpu", status="failed", reason="no memory")
    rows = compare(tmp_path / "runs", tmp_path / "none")
    losses, scores = figures.loss_curves(rows), figures.loss_curves(rows, scores=True)
    assert losses is not None and scores is not None
    assert "WGAN" not in losses.alt
    assert "12 epochs: D's mean score, real minus generated 0.20 to 0.20" in scores.alt
    assert len(scores.axes[0].lines) == 5  # two seeds, their mean thin and bold, zero
    seconds = figures.epoch_seconds(rows)
    assert seconds is not None and "WGAN, CPU: 0.200 s on Test CPU, 2 cores" in seconds.alt
    assert drawn(losses) and drawn(scores)


def test_the_sample_sheet_shows_the_pictures_there_are(rows: Comparison) -> None:
    chart = figures.sample_sheet(rows)
    drawn(chart)
    assert chart is not None
    assert "GAN, CPU: no picture. CGAN, CPU: nine images after 300 epochs." in chart.alt
    assert [len(panel.images) for panel in chart.axes] == [0, 1, 0, 0]
    path = rows["cgan-cpu"].records[0].path / "samples.png"
    for content in (b"hello", b"", path.read_bytes()[:60]):
        path.write_bytes(content)
        missing = figures.sample_sheet(rows)  # and hides no other
        assert missing is not None and missing.alt.endswith("CGAN, CPU: no picture.")


def test_five_pictures_stand_in_one_row_and_six_in_two(write_run: WriteRun, tmp_path: Path) -> None:
    names = ("gan-cpu", "cgan-cpu", "wgan-cpu", "cwgan-cpu", "optimal-cpu", "gan-hinge-cpu")
    for at, name in enumerate(names):
        Image.new("L", (96, 96), 128).save(write_run(name) / "samples.png")
        chart = figures.sample_sheet(compare(tmp_path / "runs", tmp_path))
        assert chart is not None
        lines = {panel.get_subplotspec().rowspan.start for panel in chart.axes if panel.images}  # type: ignore[union-attr]
        assert len(lines) == (1 if at < 5 else 2)
    assert chart.narrow_png() is not None  # two in a row, on a phone


def test_seconds_per_epoch_stand_beside_the_papers(rows: Comparison) -> None:
    chart = figures.epoch_seconds(rows)
    drawn(chart)
    assert chart is not None
    assert "GAN, CPU: paper 37 s, 0.500 s on Test CPU, 2 cores" in chart.alt
    assert "GAN, GPU: paper 0.1 s" in chart.alt
    assert chart.axes[0].get_xscale() == "log"
    assert "2,000 images" in chart.axes[0].get_xlabel()


def test_a_judgement_says_both_means_and_counts() -> None:
    chart = figures.judgement([0.5, 1.0], [0.25, 0.25, 0.25], auc=0.9)
    drawn(chart)
    assert "mean 0.75 for 2 real images, 0.25 for 3 generated ones; ROC AUC 0.90." in chart.alt
    assert "ROC" not in figures.judgement([0.5], [0.5]).alt
    scores = figures.judgement([10.0, 12.0], [-30.0, -20.0], auc=1.0, critic=True)
    assert "score of an image: mean 11.00" in scores.alt
    assert "belief" not in scores.alt + scores.axes[0].get_xlabel()
    assert scores.axes[0].get_xlim()[0] <= -30


def test_any_picture_is_shown_with_its_text_in_its_own_proportions() -> None:
    chart = figures.picture(Image.new("L", (60, 20), 0), "three black squares")
    assert drawn(chart).width == 3 * drawn(chart).height
    assert chart.alt == "three black squares"


def test_text_from_a_file_is_no_formula(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", label=r"$\frac$ CPUs at 3 $", facts={"quality_about": r"$\frac$ costs $5"})
    drawn(figures.epoch_seconds(compare(tmp_path / "runs", tmp_path)))
    chart = Chart()
    panel = chart.subplots()
    set_title(panel, r"$\frac$")
    say_missing(panel, r"$\frac$ costs $5")
    assert chart.png().startswith(b"\x89PNG")


def test_models_and_machines_can_be_told_apart_without_colour_vision() -> None:
    assert (colour_of("gan"), colour_of("cgan")) == ("#0072B2", "#D55E00")  # blue and vermilion of Okabe and Ito
    assert colour_of("gan-unheard-of").startswith("#")
    assert STYLES["cpu"] != STYLES["gpu"]


def test_a_loss_is_drawn_thin_by_epoch_and_bold_as_its_trailing_mean() -> None:
    panel = Chart().subplots()
    assert draw_loss(panel, [float(value) for value in range(1, 31)], "black") == 25.5
    thin, bold = panel.lines
    assert thin.get_xydata().tolist() == [[epoch, epoch] for epoch in range(1, 31)]
    assert bold.get_xydata()[0].tolist() == [10, 5.5]  # the mean of 1 to 10 belongs to epoch 10
    assert bold.get_xydata()[-1].tolist() == [30, 25.5]


@pytest.mark.parametrize("epochs", [1, 2, 3, 25, 1200])
def test_ticks_are_whole_epochs(epochs: int) -> None:
    panel = Chart(figsize=(2, 2)).subplots()
    panel.plot(range(1, epochs + 1), [1.0] * epochs, "o")
    epoch_axis(panel)
    assert all(float(tick).is_integer() for tick in panel.get_xticks())


def test_names_at_the_ends_of_lines_keep_apart_and_stay_beside_the_panel() -> None:
    panel = Chart(figsize=(5, 3)).subplots()
    panel.set_ylim(0, 1)
    name_ends(panel, [(height, "a", "black") for height in (0.5, 0.51, 0.5, 5.0, 0.999)])
    heights = sorted(text.xy[1] for text in panel.texts)
    assert heights[0] >= 0 and heights[-1] <= 1
    assert min(above - below for below, above in pairwise(heights)) * 3 * 72 * 0.75 >= 10.9


@pytest.mark.parametrize(
    ("losses", "top"),
    [([1.0] * 95 + [100.0] * 5, 1.6), ([2.0] * 10, 2.0), ([0.1], 1.3)],  # the bands are always in sight
)
def test_a_few_high_losses_do_not_flatten_the_rest(losses: list[float], top: float) -> None:
    assert robust_top(losses) == pytest.approx(top)


def test_on_a_phone_panels_stand_below_each_other_and_the_figure_stays_as_it_was(rows: Comparison) -> None:
    chart = figures.loss_curves(rows)
    wide = drawn(chart)
    assert chart is not None
    narrow = Image.open(io.BytesIO(base64.b64decode(chart._repr_mimebundle_()[1]["image/png"]["narrow"])))
    assert wide.width > 2 * wide.height and narrow.width < narrow.height
    assert drawn(chart).size == wide.size
    seconds = figures.epoch_seconds(rows)
    assert seconds is not None
    label, one = seconds.axes[0].get_xlabel(), Image.open(io.BytesIO(seconds.narrow_png() or b""))
    assert one.width == narrow.width and seconds.axes[0].get_xlabel() == label


def test_on_a_phone_words_keep_clear_of_each_other_and_of_the_axes(rows: Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
    chart = figures.epoch_seconds(rows)
    assert chart is not None
    (panel,) = chart.axes
    for row in range(len(panel.get_yticks())):  # as many rows as the reference runs have
        panel.annotate("0.372 s", (1.0, row), (0, -15), textcoords="offset points", ha="center", fontsize=8)
    seen = []

    def draw(self: Chart) -> bytes:
        self.draw_without_rendering()
        frame = panel.get_window_extent().frozen()
        ticks = [label.get_window_extent() for label in panel.get_xticklabels() if label.get_text()]
        ticks = [tick for tick in ticks if frame.x0 <= (tick.x0 + tick.x1) / 2 <= frame.x1]
        seen.append((self.get_figheight(), frame, ticks, [words.get_window_extent() for words in panel.texts]))
        return b""

    monkeypatch.setattr(Chart, "png", draw)
    chart.narrow_png()
    ((height, frame, ticks, words),) = seen
    assert height == chart.get_figheight()
    assert len(ticks) > 1 and all(one.x1 < other.x0 for one, other in pairwise(ticks))
    assert all(frame.x0 < each.x0 and frame.y0 < each.y0 for each in words)


@pytest.mark.parametrize(("inches", "numbers"), [(9.6, ["1", "2", "5", "10", "20", "50", "100"]), (2.0, ["1", "10", "100"])])
def test_a_short_logarithmic_axis_has_fewer_numbers(inches: float, numbers: list[str]) -> None:
    chart = Chart(figsize=(inches, 3.0))
    panel = chart.subplots()
    log_numbers(panel)
    panel.set_xlim(0.9, 190)
    chart.draw_without_rendering()
    low, high = panel.get_xlim()
    assert [
        text.get_text() for at, text in zip(panel.get_xticks(), panel.get_xticklabels(), strict=True) if low <= at <= high
    ] == numbers
