"""Noise is found in its amount, copies of training images are found, and new images are not taken for them."""

import pytest
import torch
from torch import Tensor

from gan_lib.config import RunConfig
from gan_lib.data import Images, load_images
from gan_lib.errors import DataError
from gan_lib.quality.pixels import (
    Memorisation,
    _median,
    add_noise,
    grain,
    memorisation,
    nearest_images,
    noise_level,
    noise_scale,
    real_closeness,
    stray_pixels,
)
from gan_lib.studies.measure_check import blur


@pytest.fixture(scope="module")
def digits() -> Tensor:
    return load_images(RunConfig(training_images=2000)).train


def draw(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_one_stray_pixel_is_all_grain_and_a_flat_image_or_a_straight_edge_is_none() -> None:
    image = torch.full((1, 1, 8, 8), -1.0)
    assert grain(image).item() == 0
    image[..., 3, 3] = 1  # white: 1 of 64 pixels departs from its median by all there is
    assert grain(image).item() == pytest.approx(1 / 64)
    edge = torch.full((1, 1, 8, 8), -1.0)
    edge[..., 4:] = 1
    assert grain(edge).item() == 0


@pytest.mark.parametrize("sigma", [0.0, 0.02, 0.05, 0.12, 0.25])
def test_known_noise_on_digits_never_seen_is_found_in_its_amount(digits: Tensor, sigma: float) -> None:
    clean, others = digits[::2], digits[1::2]
    found = noise_level(add_noise(others, sigma, draw()), noise_scale(clean))
    assert found == pytest.approx(sigma, abs=0.01)


def test_a_noise_level_is_between_zero_and_one(digits: Tensor) -> None:
    assert noise_level(blur(digits, 1.0), noise_scale(digits)) == 0
    black_or_white = (torch.rand(50, 1, 28, 28, generator=draw()) < 0.5).float() * 2 - 1
    assert 0.5 < noise_level(black_or_white, noise_scale(digits)) <= 1


def test_the_median_is_that_of_the_nine_pixels_round_each() -> None:
    image = torch.rand(2, 3, 6, 5, generator=draw()) * 2 - 1
    median = torch.tensor([sorted(image[1, 2, 2:5, 1:4].flatten().tolist())[4]])
    windows = torch.nn.functional.pad(image, (1, 1, 1, 1), mode="replicate").unfold(2, 3, 1).unfold(3, 3, 1)
    assert torch.equal(_median(image), windows.flatten(4).median(dim=-1).values)
    assert _median(image)[1, 2, 3, 2] == median


def test_stray_pixels_are_those_that_stand_alone() -> None:
    images = torch.full((2, 1, 8, 8), -1.0)
    images[0, 0, 0, 0] = 1.0  # alone, in a corner
    images[0, 0, 4, 4] = -0.4  # alone; 0.3 of the way to white is lit
    images[0, 0, 6, 6] = -0.6  # 0.2 is not
    images[1, 0, 2, 2] = images[1, 0, 3, 3] = 1.0  # neighbours, by a corner
    assert stray_pixels(images) == 1.0  # two in two images


def test_real_digits_have_few_stray_pixels_and_dots_add_theirs(digits: Tensor) -> None:
    usual = stray_pixels(digits)
    assert usual < 0.5
    dotted = digits.clone()
    dotted[:, :, 0, 0] = dotted[:, :, 0, 27] = dotted[:, :, 27, 0] = 1  # corners are black in every digit
    assert stray_pixels(dotted) == pytest.approx(usual + 3, abs=0.01)


def test_images_in_colour_are_measured_too() -> None:
    images = torch.full((2, 3, 8, 8), -1.0)
    images[:, :, 4, 4] = 1
    assert stray_pixels(images) == 1
    assert grain(images).tolist() == pytest.approx([1 / 64] * 2)


@pytest.fixture(scope="module")
def images() -> Images:
    return load_images(RunConfig(training_images=1000))


def judged(generated: Tensor, train: Tensor, held_out: Tensor) -> Memorisation:
    return memorisation(generated, train, real_closeness(train, held_out))


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
    held_out, new = images.held_out[:3000:2], images.held_out[1:3000:2]  # in the order of their classes, in the file
    found = judged(new, images.train, held_out)
    assert found.distance_ratio == pytest.approx(1, abs=0.05)
    assert found.copies == pytest.approx(0.01, abs=0.01)
    itself = judged(held_out, images.train, held_out)
    assert itself.distance_ratio == 1
    assert itself.copies == pytest.approx(0.01, abs=0.001)


def test_drawing_the_plainest_digit_often_is_no_copying(images: Images) -> None:
    assert images.held_out_labels is not None
    ones, held_out = images.held_out[images.held_out_labels == 1], images.held_out[::4]
    assert nearest_images(ones, images.train).distance.median() < 0.6 * nearest_images(held_out, images.train).distance.median()
    found = judged(ones, images.train, held_out)
    assert found.distance_ratio == pytest.approx(1, abs=0.15)
    assert found.copies < 0.1


def test_a_training_set_with_an_image_twice_is_no_obstacle(images: Images) -> None:
    train = torch.cat([images.train[:50], images.train[:50]])
    found = judged(train[:20], train, images.held_out[::20])
    assert found.distance_ratio == pytest.approx(0, abs=1e-6)
    assert found.copies == 1


@pytest.mark.parametrize("share", [0.02, 0.5])
def test_held_out_images_that_repeat_training_images_hide_no_copies(images: Images, share: float) -> None:
    held_out = images.held_out[::4]
    repeated = round(share * len(held_out))
    mixed = torch.cat([images.train[:repeated], held_out[repeated:]])
    real = real_closeness(images.train, mixed)
    assert real.duplicates == pytest.approx(share, abs=1e-3)
    assert memorisation(images.train[:200], images.train, real).copies == 1
    assert memorisation(images.held_out[1::4], images.train, real).copies == pytest.approx(0.01, abs=0.01)
    with pytest.raises(DataError, match="held-out images must not all be training images too, got 50"):
        real_closeness(images.train, images.train[:50])


def test_a_share_of_copies_is_found_as_that_share_even_when_they_are_a_little_noisy(images: Images) -> None:
    new = images.held_out[::8]
    copied = images.train[: len(new) // 2]
    copied = copied + 0.02 * torch.randn(copied.shape, generator=draw())
    found = judged(torch.cat([copied, new[len(copied) :]]), images.train, images.held_out[1::4])
    assert found.copies == pytest.approx(0.5, abs=0.02)
