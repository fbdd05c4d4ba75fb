"""The damage is as stated, and nothing else changes."""

import pytest
import torch

from gan_lib.studies.measure_check import blur, keep_digits, with_noisy_copies


def test_a_blur_of_nothing_changes_nothing() -> None:
    images = torch.rand(2, 1, 8, 8) * 2 - 1
    assert torch.equal(blur(images, 0), images)


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
