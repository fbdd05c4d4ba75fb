"""A figure keeps its words, and a loss is drawn where it is."""

import math

import pytest

from gan_lib.reporting.style import Chart, draw_loss, epoch_numbers, robust_top, say_missing, set_title


def test_a_chart_shows_itself_with_its_words_and_its_size() -> None:
    chart = Chart(figsize=(5, 2))
    chart.alt = "Nothing yet."
    data, about = chart._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG")
    assert data["text/plain"] == "Nothing yet."
    assert about["image/png"] == {"alt": "Nothing yet.", "width": 480, "height": 192}


def test_epochs_are_counted_from_1() -> None:
    assert epoch_numbers([5.0, 6.0, 7.0]).tolist() == [1, 2, 3]


def test_a_loss_is_drawn_thin_by_epoch_and_bold_as_its_trailing_mean() -> None:
    panel = Chart().subplots()
    draw_loss(panel, [float(value) for value in range(1, 31)], "G", "black")
    thin, bold = panel.lines
    assert thin.get_xydata().tolist() == [[epoch, epoch] for epoch in range(1, 31)]
    assert bold.get_xydata()[0].tolist() == [10, 5.5]  # the mean of 1 to 10 belongs to epoch 10
    assert bold.get_xydata()[-1].tolist() == [30, 25.5]
    assert panel.texts[0].get_text() == "G 25.50"


def test_a_few_high_losses_do_not_flatten_the_rest() -> None:
    assert robust_top([1.0] * 95 + [100.0] * 5) == pytest.approx(1.6)
    assert robust_top([2.0] * 10) == pytest.approx(2.0)
    assert robust_top([0.1]) == pytest.approx(1.3)  # the bands are always in sight
    assert math.isfinite(robust_top([0.0]))


def test_text_from_a_file_is_no_formula() -> None:
    chart = Chart()
    panel = chart.subplots()
    set_title(panel, r"$\frac$")
    say_missing(panel, r"$\frac$ costs $5")
    assert chart.png().startswith(b"\x89PNG")
