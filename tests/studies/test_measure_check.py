"""The parts that the study takes of the digits, and the damage that it does to them."""

import pytest
import torch
from torch import Tensor

from gan_lib.data import Images
from gan_lib.quality.classifier import load_classifier
from gan_lib.quality.pixels import nearest_images
from gan_lib.studies.measure_check import DAMAGE, by_size, damaged, seconds_per_evaluation, three_parts


@pytest.fixture(scope="module")
def parts() -> tuple[Images, Tensor, Tensor]:
    return three_parts()


def test_the_three_parts_share_no_digit_and_have_as_many_of_each_class(parts: tuple[Images, Tensor, Tensor]) -> None:
    images, pool, labels = parts
    assert images.train_labels is not None and images.held_out_labels is not None
    assert [len(images.train), len(images.held_out), len(pool)] == [1000, 1000, 3000]
    assert images.train_labels.bincount().tolist() == images.held_out_labels.bincount().tolist() == [100] * 10
    assert labels.bincount().tolist() == [300] * 10
    # Not even a double in the source: the nearest digit of another part is another digit.
    assert nearest_images(pool[::10], torch.cat([images.train, images.held_out])).distance.min() > 0


@pytest.mark.parametrize("kind", DAMAGE)
def test_the_lowest_level_is_no_damage_and_the_highest_is_some(kind: str, parts: tuple[Images, Tensor, Tensor]) -> None:
    lowest, highest = (damaged(kind, level, *parts, count=200) for level in (DAMAGE[kind][0], DAMAGE[kind][-1]))
    assert lowest.shape == highest.shape == (200, 1, 28, 28)
    assert nearest_images(lowest, parts[1]).distance.max() < 1e-6  # all are digits of the pool
    assert not torch.equal(lowest, highest)
    if kind == "copies":
        assert nearest_images(highest, parts[0].train).distance.max() < 1e-6
        assert highest.flatten(1).unique(dim=0).shape == (200, 784)


def test_an_unknown_damage_is_refused(parts: tuple[Images, Tensor, Tensor]) -> None:
    with pytest.raises(ValueError, match=r"kind must be one of noise, blur, .*, got 'mud'"):
        damaged("mud", 1, *parts)


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
