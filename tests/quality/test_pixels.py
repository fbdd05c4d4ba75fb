"""Noise that was put there is found again, in the amount that was put there."""

import pytest
import torch
from torch import Tensor

from gan_lib.config import RunConfig
from gan_lib.data import load_images
from gan_lib.quality.pixels import _median, add_noise, grain, noise_level, noise_scale, stray_pixels
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


@pytest.mark.parametrize("sigma", [0.02, 0.05, 0.12, 0.25])
def test_known_noise_on_digits_never_seen_is_found_in_its_amount(digits: Tensor, sigma: float) -> None:
    clean, others = digits[::2], digits[1::2]
    found = noise_level(add_noise(others, sigma, draw()), noise_scale(clean))
    assert found == pytest.approx(sigma, abs=0.01)


def test_the_noise_level_rises_with_the_noise_and_real_digits_have_next_to_none(digits: Tensor) -> None:
    clean, others = digits[::2], digits[1::2]
    scale = noise_scale(clean)
    levels = [noise_level(add_noise(others, sigma, draw()), scale) for sigma in (0, 0.02, 0.05, 0.1, 0.2, 0.4)]
    assert levels == sorted(levels)
    assert len(set(levels)) == len(levels)
    assert levels[0] < 0.01
    assert noise_level(blur(others, 1.0), scale) == 0


def test_no_noise_level_goes_beyond_one(digits: Tensor) -> None:
    black_or_white = (torch.rand(50, 1, 28, 28, generator=draw()) < 0.5).float() * 2 - 1
    assert 0.5 < noise_level(black_or_white, noise_scale(digits)) <= 1


def test_the_median_is_that_of_the_nine_pixels_round_each() -> None:
    image = torch.rand(2, 3, 6, 5, generator=draw()) * 2 - 1
    median = torch.tensor([sorted(image[1, 2, 2:5, 1:4].flatten().tolist())[4]])
    windows = torch.nn.functional.pad(image, (1, 1, 1, 1), mode="replicate").unfold(2, 3, 1).unfold(3, 3, 1)
    assert torch.equal(_median(image), windows.flatten(4).median(dim=-1).values)
    assert _median(image)[1, 2, 3, 2] == median


def test_measuring_noise_is_the_same_each_time_and_leaves_the_global_generator_alone(digits: Tensor) -> None:
    before = torch.get_rng_state()
    assert torch.equal(noise_scale(digits), noise_scale(digits))
    noise_level(digits[::9] * 0.9, noise_scale(digits))
    assert torch.equal(torch.get_rng_state(), before)


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
