"""Average, schedule, augmentation, classes and the small pair: known answers."""

import pytest
import torch
from conftest import tiny_config
from torch import nn

from gan_lib.training.augmentation import affine, augment, cut_out, shift
from gan_lib.training.averaging import WeightAverage
from gan_lib.training.models import build_pair, parameter_count
from gan_lib.training.sampling import fixed_latents, sample

from .helpers import EVERYTHING, make_trainer, noise


@pytest.mark.parametrize(("decay", "kept"), [(0.15, 0.15), (0.999, 2 / 11)])  # at first it keeps at most 2 / 11 of itself
def test_an_average_moves_by_its_share_and_takes_over_statistics(decay: float, kept: float) -> None:
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    average = WeightAverage(network, decay)
    before = network.state_dict()["0.weight"].item()
    with torch.no_grad():
        network[0].weight.fill_(before + 1)
        network[1].running_mean.fill_(3.0)
    average.update(network)
    after = average.network.state_dict()
    assert after["0.weight"].item() == pytest.approx(before + 1 - kept, rel=1e-6)
    assert after["1.running_mean"].item() == 3.0


def test_the_average_is_sampled_and_the_raw_weights_are_another_network() -> None:
    run = make_trainer(**EVERYTHING)
    run.train_epoch()
    latents = fixed_latents(run.config, 6)
    assert not torch.equal(sample(run.sampled, latents), sample(run.pair.generator, latents))
    assert make_trainer().average is None


def test_a_linear_schedule_falls_to_zero_after_its_start() -> None:
    run = make_trainer(**{**EVERYTHING, "schedule_start": 0.5}, epochs=4)  # twelve steps
    assert [run._share_of_rate(step) for step in (0, 6, 9, 11)] == pytest.approx([1, 1, 0.5, 1 / 6])
    run.generator.scale_rate(0.25)
    rates = [player.optimiser.param_groups[0]["lr"] for player in (run.generator, run.discriminator)]
    assert rates == pytest.approx([0.25 * 0.0005, 0.001])  # each player has a rate of its own


def test_a_shift_moves_whole_images_by_at_most_its_pixels() -> None:
    images = torch.zeros(200, 1, 9, 9)
    images[:, :, 4, 4] = 1.0
    moved = shift(images, 2, torch.Generator().manual_seed(0))
    where = moved.flatten(1).argmax(dim=1)
    rows, columns = where // 9 - 4, where % 9 - 4
    assert set(rows.tolist()) == set(columns.tolist()) == {-2, -1, 0, 1, 2}
    assert moved.sum(dim=(1, 2, 3)).eq(1).all()


@pytest.mark.parametrize("kind", ["shift", "affine", "cutout"])
def test_augmentation_depends_on_its_generator_and_lets_gradients_through(kind: str) -> None:
    images = noise(8, 16).requires_grad_()
    changed = augment(images, kind, 3, torch.Generator().manual_seed(1))
    assert changed.shape == images.shape
    assert torch.equal(changed, augment(images, kind, 3, torch.Generator().manual_seed(1)))
    changed.sum().backward()
    assert images.grad is not None and images.grad.abs().sum() > 0


def test_what_is_even_stays_even_and_a_cutout_is_a_grey_square() -> None:
    even = torch.full((4, 3, 16, 16), 0.5)
    random = torch.Generator().manual_seed(2)
    assert torch.allclose(affine(even, 2, random), even, atol=1e-6)
    assert torch.equal(shift(even, 2, random), even)
    cut = cut_out(even, 2, random)
    assert set(cut.unique().tolist()) == {0.0, 0.5}
    assert all(0 < (image == 0).float().sum() <= 3 * 16 for image in cut)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [16, 20, 28, 64, 256])
def test_the_small_pair_takes_sizes_from_16_to_256_and_normalises_nothing_in_d(size: int, channels: int) -> None:
    config = tiny_config(model="small", loss="rpgan", width=2, image_size=size, channels=channels)
    pair = build_pair(config)
    images = pair.generator(torch.zeros(2, config.latent_size))
    assert images.shape == (2, channels, size, size)
    assert pair.discriminator(images).shape == (2, 1)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in pair.discriminator.modules())


def test_the_small_pair_has_a_tenth_of_the_papers_parameters() -> None:
    assert parameter_count(*build_pair(tiny_config(model="small", loss="rpgan", image_size=28, width=20))) < 300_000


def test_a_chosen_class_is_at_the_end_of_the_latents() -> None:
    config = tiny_config(**EVERYTHING)
    latents, chosen = fixed_latents(config, 4), fixed_latents(config, 4, label=2)
    assert latents[:, -3:].argmax(dim=1).tolist() == [0, 1, 2, 0]
    assert chosen[:, -3:].argmax(dim=1).tolist() == [2] * 4
    assert torch.equal(latents[:, :-3], chosen[:, :-3])


def test_penalties_are_due_on_every_nth_step_counted_on_through_the_epochs() -> None:
    run, due = make_trainer(**{**EVERYTHING, "penalty_every": 2}), []  # three steps an epoch
    run._runs = {kind: lambda batch, due_now=kind[1]: due.append(due_now) or torch.ones(5) for kind in run._runs}
    list(run.train())
    assert due == [True, False, True, False, True, False, True, False, True]
