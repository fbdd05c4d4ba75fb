"""The parts that the study takes of the digits, the damage that it does to them, and its figure."""

import pytest
import torch
from torch import Tensor

from gan_lib.data import Images
from gan_lib.quality.classifier import load_classifier
from gan_lib.quality.measures import NAMES
from gan_lib.quality.pixels import nearest_images
from gan_lib.studies.measure_check import (
    _ROWS,
    DAMAGE,
    blur,
    by_size,
    damaged,
    keep_digits,
    sanity_chart,
    seconds_per_evaluation,
    three_parts,
    with_noisy_copies,
)

Parts = tuple[Images, Tensor, Tensor]


@pytest.fixture(scope="module")
def parts() -> Parts:
    return three_parts()


def test_the_three_parts_share_no_digit_and_have_as_many_of_each_class(parts: Parts) -> None:
    images, pool, labels = parts
    assert images.train_labels is not None and images.held_out_labels is not None
    assert [len(images.train), len(images.held_out), len(pool)] == [1000, 1000, 3000]
    assert images.train_labels.bincount().tolist() == images.held_out_labels.bincount().tolist() == [100] * 10
    assert labels.bincount().tolist() == [300] * 10
    # Not even a double in the source: the nearest digit of another part is another digit.
    assert nearest_images(pool[::10], torch.cat([images.train, images.held_out])).distance.min() > 0


@pytest.mark.parametrize("kind", DAMAGE)
def test_the_lowest_level_is_no_damage_and_the_highest_is_some(kind: str, parts: Parts) -> None:
    lowest, highest = (damaged(kind, level, *parts, count=200) for level in (DAMAGE[kind][0], DAMAGE[kind][-1]))
    assert lowest.shape == highest.shape == (200, 1, 28, 28)
    assert nearest_images(lowest, parts[1]).distance.max() < 1e-6  # all are digits of the pool
    assert not torch.equal(lowest, highest)
    if kind == "copies":
        assert nearest_images(highest, parts[0].train).distance.max() < 1e-6
        assert highest.flatten(1).unique(dim=0).shape == (200, 784)


def test_an_unknown_damage_is_refused(parts: Parts) -> None:
    with pytest.raises(ValueError, match=r"kind must be one of noise, blur, .*, got 'mud'"):
        damaged("mud", 1, *parts)


@pytest.mark.slow
def test_the_distance_of_real_digits_from_real_digits_is_the_error_of_the_size() -> None:
    found = by_size(load_classifier(), sizes=(500, 1000, 2000))
    middle = sorted(found["times_size"])[1]
    assert found["times_size"] == pytest.approx([middle] * 3, rel=0.25)


def test_timing_leaves_the_number_of_threads_as_it_was() -> None:
    before = torch.get_num_threads()
    found = seconds_per_evaluation(load_classifier(), threads=(1,), rounds=1, count=200)
    assert torch.get_num_threads() == before
    assert list(found) == ["1"]
    assert [len(found["1"][clock]) for clock in ("wall", "cpu")] == [1, 1]
    assert found["1"]["cpu"][0] > 0


@pytest.mark.parametrize("channels", [1, 3])
def test_a_blur_spreads_a_dot_and_keeps_its_light(channels: int) -> None:
    image = torch.full((1, channels, 15, 15), -1.0)
    image[..., 7, 7] = 1
    blurred = blur(image, 1.0)
    light = (blurred + 1) / 2
    assert light.sum().item() == pytest.approx(channels, rel=1e-5)
    # The Gaussian's own values: its height at the middle, and exp(-1/2) of that one pixel further.
    assert light[0, 0, 7, 7].item() == pytest.approx(1 / 6.2832, rel=0.01)
    assert (light[0, 0, 7, 8] / light[0, 0, 7, 7]).item() == pytest.approx(0.60653, rel=1e-3)
    assert torch.allclose(light, light.transpose(2, 3))


def test_only_the_first_digits_are_kept_and_none_twice() -> None:
    labels = torch.arange(10).repeat(20)
    images = torch.arange(200.0).view(200, 1, 1, 1)
    kept = keep_digits(images, labels, 3, 50)
    assert kept.shape == (50, 1, 1, 1)
    assert set((kept.flatten() % 10).tolist()) == {0, 1, 2}
    assert len(set(kept.flatten().tolist())) == 50
    with pytest.raises(ValueError, match="only 20 images of the first 1 digits, 50 wanted"):
        keep_digits(images, labels, 1, 50)


def test_noisy_copies_come_beside_what_they_copy() -> None:
    images = torch.linspace(-0.5, 0.5, 10).view(10, 1, 1, 1).expand(10, 1, 4, 4)
    both = with_noisy_copies(images, 0.001, torch.Generator().manual_seed(0))
    assert both.shape == images.shape
    assert torch.equal(both[:5], images[:5])
    assert torch.allclose(both[5:], images[:5], atol=0.02)
    assert not torch.equal(both[5:], images[:5])


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
    assert "blur: from 0 to 2 the Fréchet distance goes from 1.00 to 3.00." in chart.alt
    assert chart.png().startswith(b"\x89PNG")
