"""Average, schedule, augmentation, classes and the small pair: known answers, and exact to the last bit on resume."""

from typing import Any

import pytest
import torch
from conftest import tiny_config
from torch import Tensor, nn

from gan_lib.training.augmentation import affine, augment, cut_out, shift
from gan_lib.training.averaging import WeightAverage
from gan_lib.training.models import build_pair, parameter_count
from gan_lib.training.sampling import fixed_latents, sample
from gan_lib.training.trainer import Trainer

EVERYTHING: dict[str, Any] = {
    "model": "small",
    "loss": "rpgan",
    "image_size": 16,
    "width": 2,
    "average_decay": 0.9,
    "schedule": "linear",
    "schedule_start": 0.25,
    "augmentation": "shift",
    "penalty_every": 2,
    "classes": 3,
    "discriminator_learning_rate": 0.001,
}


_HINGE: dict[str, Any] = {"loss": "hinge", "penalty_every": None}


def noise(count: int, size: int = 16, seed: int = 42) -> Tensor:
    return torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(seed)).mul(2).sub(1)


def trainer(**changes: Any) -> Trainer:
    config = tiny_config(**{**EVERYTHING, **changes})
    labels = torch.arange(64) % 3
    return Trainer(config, noise(64, config.image_size), labels=labels)


@pytest.mark.parametrize("changes", [{}, {"augmentation": "affine"}, {"augmentation": "cutout", "classes": 0}, _HINGE])
def test_training_goes_on_to_the_last_bit_from_the_middle_of_an_epoch(changes: dict[str, Any]) -> None:
    undisturbed, stopped, resumed = (trainer(**changes) for _ in range(3))
    expected = [stats[:5] for stats in undisturbed.train()]
    seen = [stopped.train_epoch()[:5]]
    assert stopped.advance(lambda: True) is None  # one batch into the second epoch
    tensors = {name: tensor.clone() for name, tensor in stopped.tensors().items()}
    resumed.load(tensors, stopped.facts())
    seen += [stats[:5] for stats in resumed.train()]
    assert seen == expected
    last, again = undisturbed.tensors(), resumed.tensors()
    assert all(torch.equal(last[name], again[name]) for name in last)


def test_an_average_moves_by_its_share_and_takes_over_statistics() -> None:
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    average = WeightAverage(network, decay=0.15)
    before = average.network[0].weight.item()  # type: ignore[index]
    with torch.no_grad():
        network[0].weight.fill_(before + 1)
        network[1].running_mean.fill_(3.0)
    average.update(network)  # keeps min(0.15, 2 / 11) of itself
    assert average.network[0].weight.item() == pytest.approx(before + 0.85, rel=1e-6)  # type: ignore[index]
    assert average.network[1].running_mean.item() == 3.0  # type: ignore[index]
    average = WeightAverage(network, decay=0.999)
    with torch.no_grad():
        network[0].weight.add_(1.0)
    start = average.network[0].weight.item()  # type: ignore[index]
    average.update(network)
    assert average.network[0].weight.item() == pytest.approx(start + 9 / 11, rel=1e-6)  # type: ignore[index]


def test_the_average_is_sampled_and_the_raw_weights_are_another_network() -> None:
    run = trainer()
    run.train_epoch()
    latents = fixed_latents(run.config, 6)
    assert not torch.equal(sample(run.sampled, latents), sample(run.pair.generator, latents))
    assert trainer(average_decay=0.0).average is None


def test_a_linear_schedule_falls_to_zero_after_its_start() -> None:
    run = trainer(schedule_start=0.5, epochs=4, training_images=64, batch_size=16)  # sixteen steps
    shares = [run._share_of_rate(step) for step in (0, 8, 12, 15)]
    assert shares == pytest.approx([1, 1, 0.5, 0.125])
    run.generator.scale_rate(0.25)
    assert run.generator.optimiser.param_groups[0]["lr"] == pytest.approx(0.25 * run.config.learning_rate)


def test_both_players_have_learning_rates_of_their_own() -> None:
    run = trainer(schedule="constant", schedule_start=None)
    rates = [player.optimiser.param_groups[0]["lr"] for player in (run.generator, run.discriminator)]
    assert rates == [0.002, 0.001]


def test_a_shift_moves_whole_images_by_at_most_its_pixels() -> None:
    images = torch.zeros(200, 1, 9, 9)
    images[:, :, 4, 4] = 1.0
    moved = shift(images, 2, torch.Generator().manual_seed(0))
    where = moved.flatten(1).argmax(dim=1)
    rows, columns = where // 9 - 4, where % 9 - 4
    assert set(rows.tolist()) == set(columns.tolist()) == {-2, -1, 0, 1, 2}
    assert moved.sum(dim=(1, 2, 3)).eq(1).all()


@pytest.mark.parametrize("kind", ["shift", "affine", "cutout"])
def test_augmentation_is_drawn_anew_for_each_image_and_lets_gradients_through(kind: str) -> None:
    images = noise(8).requires_grad_()
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
@pytest.mark.parametrize("size", [16, 20, 28, 64, 128, 256])
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
    latents = fixed_latents(config, 4)
    assert latents[:, -3:].argmax(dim=1).tolist() == [0, 1, 2, 0]
    assert fixed_latents(config, 4, label=2)[:, -3:].argmax(dim=1).tolist() == [2] * 4
    assert torch.equal(latents[:, :-3], fixed_latents(config, 4, label=2)[:, :-3])
