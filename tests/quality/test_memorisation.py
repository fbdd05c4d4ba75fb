"""Copies of training images are found, and new images are not taken for copies."""

import pytest
import torch
from torch import Tensor

from gan_lib.config import RunConfig
from gan_lib.data import Images, load_images
from gan_lib.quality import pixels
from gan_lib.quality.pixels import Memorisation, nearest_images


@pytest.fixture(scope="module")
def images() -> Images:
    return load_images(RunConfig(training_images=1000))


def judged(generated: Tensor, train: Tensor, held_out: Tensor) -> Memorisation:
    return pixels.memorisation(generated, train, pixels.usual(train, held_out))


def test_the_nearest_image_by_hand() -> None:
    train = torch.tensor([[-1.0, -1.0, -1.0, -1.0], [1.0, 1.0, 1.0, 1.0]]).view(2, 1, 2, 2)
    found = nearest_images(torch.tensor([[1.0, 1.0, 1.0, -1.0]]).view(1, 1, 2, 2), train)
    assert found.which.tolist() == [1]
    assert found.distance.item() == pytest.approx(0.5)  # one of four pixels differs by all there is: sqrt(1 / 4)


def test_training_images_are_copies_of_themselves(images: Images) -> None:
    found = judged(images.train[:200], images.train, images.held_out[:1000])
    assert found.copies == 1
    assert found.distance_ratio == pytest.approx(0, abs=1e-6)


def test_new_digits_are_as_far_from_the_training_images_as_held_out_ones(images: Images) -> None:
    usual, new = images.held_out[:1500], images.held_out[1500:3000]
    # Held-out digits are in the order of their class in the file, so every second one stands for all.
    usual, new = torch.cat([usual, new])[::2], torch.cat([usual, new])[1::2]
    found = judged(new, images.train, usual)
    assert found.distance_ratio == pytest.approx(1, abs=0.05)
    assert found.copies == pytest.approx(0.01, abs=0.01)
    itself = judged(usual, images.train, usual)
    assert itself.distance_ratio == 1
    assert itself.copies == pytest.approx(0.01, abs=0.001)


def test_drawing_the_plainest_digit_often_is_no_copying(images: Images) -> None:
    assert images.held_out_labels is not None
    ones = images.held_out[images.held_out_labels == 1]
    usual = images.held_out[::4]
    assert nearest_images(ones, images.train).distance.median() < 0.6 * nearest_images(usual, images.train).distance.median()
    found = judged(ones, images.train, usual)
    assert found.distance_ratio == pytest.approx(1, abs=0.15)
    assert found.copies < 0.1


def test_a_training_set_with_an_image_twice_is_no_obstacle(images: Images) -> None:
    train = torch.cat([images.train[:50], images.train[:50]])
    found = judged(train[:20], train, images.held_out[::20])
    assert found.distance_ratio == pytest.approx(0, abs=1e-6)
    assert found.copies == 1
    with pytest.raises(ValueError, match="at least 2 training images, got 1"):
        judged(train[:20], train[:1], images.held_out[::20])


def test_a_share_of_copies_is_found_as_that_share_even_when_they_are_a_little_noisy(images: Images) -> None:
    new, usual = images.held_out[::8], images.held_out[1::4]
    copied = images.train[: len(new) // 2]
    copied = copied + 0.02 * torch.randn(copied.shape, generator=torch.Generator().manual_seed(1))
    found = judged(torch.cat([copied, new[len(copied) :]]), images.train, usual)
    assert found.copies == pytest.approx(0.5, abs=0.02)


def test_many_images_are_taken_part_by_part(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pixels.usual(images.train, images.held_out[:30])
    monkeypatch.setattr(pixels, "_PART", 7)
    parts = pixels.usual(images.train, images.held_out[:30])
    assert torch.allclose(parts.apart, whole.apart, atol=1e-9)
    assert torch.allclose(parts.closeness, whole.closeness, atol=1e-9)
    assert whole.apart.min() > 0
