"""Every measure and every damage has its panel, and the nearest pairs are the nearest."""

import pytest
import torch

from gan_lib.quality.measures import NAMES
from gan_lib.reporting.quality_figures import nearest_pairs
from gan_lib.studies.measure_check import _ROWS, sanity_chart


def record() -> dict[str, object]:
    curve = {"level": [0.0, 1.0, 2.0], **{name: [1.0, 2.0, 3.0] for name in NAMES}}
    return {"images": 1000, "floor": dict.fromkeys(NAMES, 1.0), "damage": {"noise": curve, "blur": curve}}


def test_every_measure_is_drawn_under_every_damage() -> None:
    chart = sanity_chart(record())
    assert len(chart.axes) == 2 * len(_ROWS)
    assert {name for _, names, _ in _ROWS for name in names} == {name for name in NAMES if not name.startswith("digit_")} | {
        "digit_divergence"
    }
    for panel in chart.axes:
        assert [line.get_ydata()[-1] for line in panel.lines if len(line.get_xdata()) == 3] in ([3.0], [3.0, 3.0])
    assert chart.alt == (
        "Measures of quality under known damage, 1,000 digits each. noise: from 0 to 2 the Fréchet distance goes from 1.00 to "
        "3.00; blur: from 0 to 2 the Fréchet distance goes from 1.00 to 3.00."
    )
    assert chart.png().startswith(b"\x89PNG")


def test_the_nearest_pairs_are_shown_the_nearest_first() -> None:
    train = torch.stack([torch.full((1, 4, 4), value) for value in (-1.0, 0.0, 1.0)])
    generated = torch.stack([torch.full((1, 4, 4), value) for value in (0.5, 0.9, -1.0, 0.2)])
    chart = nearest_pairs(generated, train, count=3)
    shown = [float(panel.images[0].get_array().flatten()[0]) for panel in chart.axes]
    assert shown == pytest.approx([0.0, 0.95, 0.6, 0.0, 1.0, 0.5])
    assert [panel.get_xlabel() for panel in chart.axes[3:]] == ["0", "0.0500", "0.100"]
    assert "Of 4 generated images the 3 that are nearest" in chart.alt
    by_class = nearest_pairs(generated, train, labels=torch.tensor([5, 2, 2]))  # class 2: 0.9 and 1.0; class 5: both -1
    assert [panel.get_xlabel() for panel in by_class.axes[2:]] == ["0.0500", "0"]
    assert "of each class" in by_class.alt


def test_pairs_in_colour_and_fewer_images_than_asked_for() -> None:
    images = torch.rand(2, 3, 4, 4) * 2 - 1
    assert len(nearest_pairs(images, images, count=10).axes) == 4
