"""Latents, and what networks make of them and of images."""

import pytest
import torch
from conftest import tiny_config

from gan_lib.config import RunConfig
from gan_lib.training.models import build_pair
from gan_lib.training.sampling import fixed_latents, judge, sample

from .helpers import MODELS


@pytest.mark.parametrize("model", MODELS)
def test_an_image_does_not_depend_on_the_others_drawn_with_it(model: str) -> None:
    config = tiny_config(model=model)
    generator, latents = build_pair(config).generator, fixed_latents(config, 6)
    generator(torch.rand(32, config.latent_size))  # in training mode: running statistics of its own
    together = sample(generator, latents)
    assert together.shape == (6, 1, 8, 8)
    assert together.abs().max().item() <= 1
    assert torch.equal(together, sample(generator, latents))
    assert torch.allclose(together, sample(generator, latents, batch_size=1), atol=1e-5)
    assert torch.allclose(together[4:5], sample(generator, latents[4:5]), atol=1e-5)


@pytest.mark.parametrize("training_mode", [True, False])
def test_a_networks_mode_is_put_back_even_after_a_mistake(training_mode: bool) -> None:
    pair = build_pair(tiny_config())
    for network in pair:
        network.train(training_mode)
    sample(pair.generator, torch.zeros(2, 10))
    judge(pair.discriminator, torch.zeros(2, 1, 8, 8))
    with pytest.raises(RuntimeError):
        sample(pair.generator, torch.zeros(2, 11))
    assert [network.training for network in pair] == [training_mode] * 2


def test_a_judgement_is_a_belief_for_each_image() -> None:
    discriminator = build_pair(tiny_config()).discriminator
    images = torch.rand(5, 1, 8, 8)
    beliefs = judge(discriminator, images, batch_size=2)
    assert beliefs.shape == (5,)
    assert not beliefs.requires_grad
    discriminator.eval()
    assert torch.allclose(beliefs, discriminator(images).sigmoid().flatten().detach(), atol=1e-6)


def test_fixed_latents_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    one = fixed_latents(RunConfig(seed=3), 9)
    torch.manual_seed(2)
    assert torch.equal(one, fixed_latents(RunConfig(seed=3, model="cgan"), 9))
    assert torch.equal(one, fixed_latents(RunConfig(seed=8), 9, seed=3))
    assert torch.equal(one[:4], fixed_latents(RunConfig(seed=3), 4))
    assert not torch.equal(one, fixed_latents(RunConfig(seed=4), 9))
    many = fixed_latents(RunConfig(), 64)
    assert many.shape == (64, 100)
    assert -1 <= many.min().item() < -0.99 < 0.99 < many.max().item() <= 1
    assert many.var().item() == pytest.approx(1 / 3, abs=0.02)  # of the uniform distribution; a normal one has 1
