"""Small multiples of loss curves, one panel for each combination."""

from pathlib import Path

from conftest import WriteRun

from gan_lib.runs.record import find_records
from gan_lib.studies.unstated_choices import loss_against_quality, quality_and_balance, small_multiples


def test_each_combination_has_its_panel_and_one_that_was_not_run_says_so(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", g=[1.2] * 12)
    write_run("gan-cpu", g=[1.7] * 12, adam_beta1=0.5, generator_noise="reused", generator_dropout="off")
    write_run("gan-cpu", adam_beta1=0.5, status="failed", reason="diverged")
    write_run("cgan-cpu")
    chart = small_multiples(find_records(tmp_path / "runs")[0], "gan")
    assert len(chart.axes) == 16
    drawn = [number for number, panel in enumerate(chart.axes) if panel.lines]
    assert drawn == [0, 15]
    assert [panel.get_title(loc="left") for panel in chart.axes[:4]] == [
        *("(0.9, 0.999), fresh", "(0.9, 0.999), reused", "(0.5, 0.999), fresh", "(0.5, 0.999), reused")
    ]
    assert [text.get_text() for text in chart.axes[15].texts] == ["D 0.55", "G 1.70"]
    assert [text.get_text() for text in chart.axes[1].texts] == ["not run"]
    assert "diverged" in chart.axes[2].texts[0].get_text()
    assert len(chart.axes[12].get_xticks()) > 1, "empty panels take no ticks away from the others"
    assert chart.axes[12].get_ylabel() == "pytorch, dropout off"
    assert "betas (0.9, 0.999), pytorch, fresh noise, dropout active: D 0.550, G 1.20." in chart.alt
    assert chart.png().startswith(b"\x89PNG")


def test_nothing_run_is_said(tmp_path: Path) -> None:
    assert small_multiples([], "cgan").alt == "CGAN, losses by epoch; the last ten epochs' means. Not run."


def test_losses_stand_against_quality_one_mark_a_combination(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", g=[6.0] * 12, quality={12: 75.0})
    write_run("gan-cpu", g=[1.2] * 12, adam_beta1=0.5, generator_noise="reused", quality={12: 18.0})
    write_run("gan-cpu", g=[1.4] * 12, adam_beta1=0.5, generator_dropout="off", quality={12: 16.0})
    write_run("cgan-cpu", g=[1.2] * 12)  # its images were not measured
    chart = loss_against_quality(find_records(tmp_path / "runs")[0])
    gan, cgan = chart.axes
    marks = {(line.get_xdata()[0], line.get_ydata()[0]): line for line in gan.lines}
    assert {tuple(map(float, place)) for place in marks} == {(6.0, 75.0), (1.2, 18.0), (1.4, 16.0)}
    shapes = {distance: (line.get_marker(), line.get_markerfacecolor() == "white") for (_, distance), line in marks.items()}
    assert shapes == {75.0: ("o", False), 18.0: ("o", True), 16.0: ("D", False)}
    assert marks[6.0, 75.0].get_color() != marks[1.4, 16.0].get_color()
    assert not cgan.lines and "not run" in cgan.texts[0].get_text()
    assert "GAN, betas (0.9, 0.999): G's loss 6.00 to 6.00, distance 75.0 to 75.0." in chart.alt
    assert "GAN, betas (0.5, 0.999): G's loss 1.20 to 1.40, distance 16.0 to 18.0." in chart.alt
    assert chart.png().startswith(b"\x89PNG")
    assert loss_against_quality([]).alt.endswith("Not run.")


def test_quality_stands_beside_the_epoch_of_balance(write_run: WriteRun, tmp_path: Path) -> None:
    write_run("gan-cpu", d=[0.55] * 40, g=[9.0] * 10 + [1.05] * 30, adam_beta1=0.5, quality={20: 50.0, 40: 30.0})
    write_run("gan-cpu", d=[0.1] * 40, quality={20: 80.0, 40: 60.0})
    write_run("cgan-cpu")
    chart = quality_and_balance(find_records(tmp_path / "runs")[0])
    gan, cgan = chart.axes
    assert sorted(list(line.get_ydata()) for line in gan.lines if len(set(line.get_xdata())) > 1) == [
        [50.0, 30.0],
        [80.0, 60.0],
    ]
    assert [line.get_xdata()[0] for line in gan.lines if line.get_linestyle() == ":"] == [20]
    assert "not measured" in cgan.texts[0].get_text()
    assert "gan-cpu--adam-beta1-0.5/seed-0: in balance at epoch 20, distance 30.0 at epoch 40." in chart.alt
    assert "gan-cpu/seed-0: never in balance, distance 60.0 at epoch 40." in chart.alt
    assert chart.png().startswith(b"\x89PNG")
