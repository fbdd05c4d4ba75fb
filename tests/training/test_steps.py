"""The two steps with every loss and penalty: known answers, worked out by hand."""

import math

import pytest
import torch
from conftest import tiny_config
from torch import nn

from gan_lib.training.mixed_precision import Learner
from gan_lib.training.steps import discriminator_step, generator_step, label_maps, rules_of, with_maps

from .helpers import MODELS, bits, linear_critic, make_trainer, noise, same, two_pixels


@pytest.mark.parametrize("model", MODELS)
def test_a_discriminator_step_changes_the_discriminator_alone(model: str) -> None:
    training = make_trainer(model=model)
    generator, discriminator = (bits(network) for network in training.pair)
    discriminator_step(training.discriminator, noise(4), noise(8)[4:], training.rules)
    assert same(generator, bits(training.pair.generator))
    assert not any(torch.equal(discriminator[name], new) for name, new in bits(training.pair.discriminator).items())


@pytest.mark.parametrize("model", MODELS)
def test_a_generator_step_changes_the_generator_alone_and_leaves_the_discriminator_no_gradients(model: str) -> None:
    training = make_trainer(model=model)
    generator, discriminator = (bits(network) for network in training.pair)
    generator_step(training.generator, training.discriminator, training.pair.generator(torch.rand(4, 10)), training.rules)
    assert same(discriminator, bits(training.pair.discriminator))
    assert not any(torch.equal(generator[name], new) for name, new in training.pair.generator.named_parameters())
    gradients = [parameter.grad for parameter in training.pair.discriminator.parameters()]
    assert all(gradient is None or not gradient.any() for gradient in gradients)


def test_r1_and_r2_of_a_linear_discriminator_are_half_its_squared_slope_with_their_weights() -> None:
    # w = (3, 4): |w|² / 2 = 12.5 at every image; scores are 1 everywhere, so the pairing's loss is ln 2.
    config = tiny_config(loss="rpgan", r1_weight=2.0, r2_weight=0.5)
    critic = linear_critic(config, [3.0, 4.0])
    zeros = two_pixels((0, 0), (0, 0))
    numbers = discriminator_step(critic, zeros, zeros, rules_of(config))
    assert numbers.tolist() == pytest.approx([math.log(2) + 2.5 * 12.5, 1.0, 1.0], rel=1e-6)
    weight = critic.network[1].weight  # type: ignore[index]
    assert weight.grad.flatten().tolist() == pytest.approx([2.5 * 3, 2.5 * 4], rel=1e-6)


@pytest.mark.parametrize("every", [1, 4])
def test_rare_penalties_weigh_as_many_times_more_and_are_left_out_in_between(every: int) -> None:
    config = tiny_config(loss="rpgan", r1_weight=1.0, r2_weight=0.0, penalty_every=every)
    zeros = two_pixels((0, 0))
    due, not_due = (
        discriminator_step(linear_critic(config, [3.0, 4.0]), zeros, zeros, rules_of(config), slopes=slopes)[0].item()
        for slopes in (True, False)
    )
    assert due - not_due == pytest.approx(every * 12.5, rel=1e-6)
    assert not_due == pytest.approx(math.log(2), abs=1e-6)


def test_the_generator_of_a_pair_is_judged_against_real_images() -> None:
    config = tiny_config(loss="rpgan")
    critic, generator = linear_critic(config, [1.0, 0.0]), Learner(nn.Linear(2, 2), config, torch.float32)
    generated = generator.working(torch.ones(1, 2)).view(1, 1, 1, 2)
    real = two_pixels((2.0, 0.0))
    by_hand = math.log1p(math.exp(2.0 - generated[0, 0, 0, 0].item()))
    loss = generator_step(generator, critic, generated, rules_of(config), real=real)
    assert loss.item() == pytest.approx(by_hand, rel=1e-5)


def test_label_maps_are_one_for_their_class_and_go_behind_the_image() -> None:
    maps = label_maps(torch.tensor([2, 0]), classes=3, size=2)
    assert maps[0].tolist() == [[[0, 0], [0, 0]], [[0, 0], [0, 0]], [[1, 1], [1, 1]]]
    images = torch.zeros(2, 1, 2, 2)
    assert with_maps(images, maps).shape == (2, 4, 2, 2)
    assert with_maps(images, None) is images


def test_a_linear_critics_numbers_are_those_worked_out_by_hand() -> None:
    # w = (3, 4): scores 3 + 1 and 4 + 1 for the real images, 1 and -6 for the others; |w| = 5, so 10 (5 - 1)² = 160.
    config = tiny_config(loss="wgan-gp", critic_steps=1)
    critic = linear_critic(config, [3.0, 4.0])
    found = discriminator_step(critic, two_pixels((1, 0), (0, 1)), two_pixels((0, 0), (-1, -1)), rules_of(config))
    assert found.tolist() == pytest.approx([-2.5 - 4.5 + 160, 4.5, -2.5])


def test_the_penalty_is_part_of_the_gradient_with_its_weight() -> None:
    # d/dw: mean of generated minus mean of real, and 10 * 2 (|w| - 1) w / |w| = 80 (0.6, 0.8). Means: (0, 0) and (0.5, 0.5).
    config = tiny_config(loss="wgan-gp", critic_steps=1)
    critic = linear_critic(config, [3.0, 4.0])
    discriminator_step(critic, two_pixels((1, 0), (0, 1)), two_pixels((0, 0), (0, 0)), rules_of(config))
    weight, bias = critic.network.parameters()
    assert weight.grad is not None and bias.grad is not None
    assert weight.grad.flatten().tolist() == pytest.approx([48 - 0.5, 64 - 0.5])
    assert bias.grad.item() == pytest.approx(0, abs=1e-6)  # scores have no zero


def test_clipping_takes_weights_and_biases_alike() -> None:
    config = tiny_config(loss="wgan", critic_steps=1, clip=0.25)
    critic = linear_critic(config, [3.0, -0.125])
    discriminator_step(critic, two_pixels((1, 0)), two_pixels((0, 0)), rules_of(config))
    weight, bias = critic.network.parameters()
    assert weight.flatten().tolist() == pytest.approx([0.25, -0.125], abs=1e-3)
    assert bias.item() == 0.25


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("model", MODELS)
def test_clipped_weights_stay_inside_the_clip(model: str, precision: str) -> None:
    run = make_trainer(precision=precision, model=model, loss="wgan", critic_steps=2, clip=0.02, learning_rate=0.01)
    run.train_epoch()
    largest = max(parameter.abs().max().item() for parameter in run.pair.discriminator.parameters())
    assert largest == pytest.approx(0.02, abs=1e-9)
    assert max(parameter.abs().max().item() for parameter in run.pair.generator.parameters()) > 0.02
