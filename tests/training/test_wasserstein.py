"""A critic's update by hand, its slope held by clip or penalty, and whole trainings with either loss."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from conftest import tiny_config
from torch import Tensor, nn

from gan_lib.config import RunConfig
from gan_lib.data import load_images
from gan_lib.presets import configure
from gan_lib.training.losses import gradient_penalty
from gan_lib.training.mixed_precision import Learner
from gan_lib.training.models import build_pair
from gan_lib.training.steps import discriminator_step, rules_of
from gan_lib.training.trainer import EpochStats, Trainer, Turns

MODELS = ["gan", "cgan"]
LOSSES = ["wgan", "wgan-gp"]


def noise(count: int, size: int = 8, seed: int = 42) -> Tensor:
    return torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(seed)).mul(2).sub(1)


def trainer(precision: str = "fp32", **changes: Any) -> Trainer:
    """On 40 images of noise in batches of 8: five an epoch."""
    settings = {"training_images": 40, "batch_size": 8, "dropout": 0.0, "critic_steps": 2, **changes}
    config = tiny_config(**settings)
    return Trainer(config, noise(40, config.image_size), precision)


def numbers(stats: EpochStats) -> tuple[float, ...]:
    return tuple(stats)[:5]  # all but the seconds


def everything(run: Trainer) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in run.tensors().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def linear_critic(config: RunConfig, weights: list[float]) -> Learner:
    """Images of two pixels, scores w·x + 1."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(len(weights), 1))
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor([weights]))
        network[1].bias.fill_(1.0)
    return Learner(network, config, torch.float32)


def two_pixels(*pixels: tuple[float, float]) -> Tensor:
    return torch.tensor(pixels, dtype=torch.float32).view(-1, 1, 1, 2)


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
    run = trainer(precision, model=model, loss="wgan", clip=0.02, learning_rate=0.01)
    run.train_epoch()
    largest = max(parameter.abs().max().item() for parameter in run.pair.discriminator.parameters())
    assert largest == pytest.approx(0.02, abs=1e-9)
    assert max(parameter.abs().max().item() for parameter in run.pair.generator.parameters()) > 0.02


@pytest.mark.parametrize("model", MODELS)
def test_the_penaltys_gradient_is_that_of_pytorchs_own_layers(model: str) -> None:
    config = tiny_config(model=model, dropout=0.0)
    critic = build_pair(config).discriminator
    plain: Any = critic
    if model == "cgan":  # its layers with a backward pass of their own must have a second one
        first, second, last = critic[0], critic[3], critic[7]

        def plain(x: Tensor) -> Tensor:
            x = F.leaky_relu(F.conv2d(x, first.weight, first.bias, stride=2, padding=1), 0.2)
            x = F.leaky_relu(F.conv2d(x, second.weight, second.bias, stride=2, padding=1), 0.2)
            return F.linear(x.permute(0, 2, 3, 1).flatten(1), last.weight, last.bias)

    def gradients(network: Any) -> list[Tensor]:
        penalty = gradient_penalty(network, noise(6), noise(6, seed=1), torch.linspace(0, 1, 6))
        return list(torch.autograd.grad(penalty, list(critic.parameters()), materialize_grads=True))

    for ours, theirs in zip(gradients(critic), gradients(plain), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    # and by finite differences, along the gradient itself
    found, step = gradients(critic), 1e-3
    norm = torch.cat([gradient.flatten() for gradient in found]).norm()
    values = []
    for sign in (1, -2):
        with torch.no_grad():
            for parameter, gradient in zip(critic.parameters(), found, strict=True):
                parameter.add_(gradient / norm, alpha=sign * step)
        values.append(gradient_penalty(critic, noise(6), noise(6, seed=1), torch.linspace(0, 1, 6)).item())
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(norm.item(), rel=0.02)


@pytest.mark.parametrize("model", MODELS)
def test_the_penalty_brings_the_critics_slope_near_1(model: str) -> None:
    run = trainer(model=model, loss="wgan-gp", learning_rate=1e-3, adam_beta1=0.0, adam_beta2=0.9, epochs=40)
    latents = torch.rand(40, 10, generator=torch.Generator().manual_seed(1)) * 2 - 1

    def slope() -> float:  # where the penalty holds it: between real images and those that the generator makes now
        between = ((noise(40) + run.pair.generator(latents).detach()) / 2).requires_grad_()
        (gradient,) = torch.autograd.grad(run.pair.discriminator(between).sum(), between)
        return gradient.flatten(1).norm(dim=1).mean().item()

    assert slope() < 0.5
    for _ in run.train():
        pass
    assert slope() == pytest.approx(1, abs=0.35)  # 0.87 to 1.27 over six seeds and both models


@pytest.mark.parametrize("model", MODELS)
def test_bf16_follows_fp32(model: str) -> None:
    changes: dict[str, Any] = {"model": model, "loss": "wgan-gp", "adam_beta1": 0.0, "adam_beta2": 0.9, "epochs": 5}
    full, half = ([numbers(stats) for stats in trainer(precision, **changes).train()] for precision in ("fp32", "bf16"))
    for one, other in zip(full, half, strict=True):
        assert other == pytest.approx(one, rel=0.05, abs=0.1)
    assert full[-1][1] < full[0][1] - 1  # it learns: the agreement is not that of networks that stand still


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("model", MODELS)
def test_the_same_seed_gives_the_same_bits_and_another_does_not(model: str, loss: str) -> None:
    first, second, other = (trainer(model=model, loss=loss, seed=seed) for seed in (5, 5, 6))
    assert [numbers(stats) for stats in first.train()] == [numbers(stats) for stats in second.train()]
    list(other.train())
    assert same(everything(first), everything(second))
    assert not same(everything(first), everything(other))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("model", MODELS)
def test_training_goes_on_from_the_middle_of_an_epoch_to_the_same_last_bit(model: str, precision: str, loss: str) -> None:
    changes: dict[str, Any] = {"model": model, "loss": loss, "critic_steps": 3, "dropout": 0.25}
    whole = trainer(precision, **changes)
    expected = [numbers(stats) for stats in whole.train()]
    stopped, resumed = trainer(precision, **changes), trainer(precision, **changes)
    found = [numbers(stopped.train_epoch())]
    pauses = iter([False, False, True])
    assert stopped.advance(lambda: next(pauses)) is None
    assert stopped.facts()["batches_done"] == 3
    resumed.load(everything(stopped), stopped.facts())
    list(stopped.train())  # the tensors that were handed over are copies
    found += [numbers(stats) for stats in resumed.train()]
    assert found == expected
    assert same(everything(resumed), everything(whole))


def test_only_the_penalty_draws_shares_and_checkpoints_hold_their_generator() -> None:
    for loss, drawn in (("wgan-gp", True), ("wgan", False), ("bce", False)):
        run = trainer(loss=loss, critic_steps=1)
        assert ("random.shares" in run.tensors()) == drawn
        if drawn:
            before = run.tensors()["random.shares"].clone()
            run.train_epoch()
            assert not torch.equal(before, run.tensors()["random.shares"])


def test_the_generator_has_its_turn_on_every_fifth_batch_counted_on_through_the_epochs() -> None:
    turns = Turns(steps=5, batches=16)
    first = [number for number in range(16) if turns.updates_generator(0, number)]
    second = [number for number in range(16) if turns.updates_generator(1, number)]
    assert (first, second) == ([4, 9, 14], [3, 8, 13])
    assert turns.generator_share(0, [1 / 16] * 16) == pytest.approx(3 / 16)
    assert Turns(1, 16).generator_share(0, [1 / 16] * 16) == 1.0


def test_an_epoch_is_one_pass_and_the_generators_loss_is_that_of_its_own_steps() -> None:
    run = trainer(loss="wgan-gp", critic_steps=2, learning_rate=1e-12)  # weights stand still
    (last,) = [layer for layer in run.pair.discriminator if isinstance(layer, nn.Linear)][-1:]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(7.0)
    calls = []
    run.pair.generator.register_forward_pre_hook(lambda _, inputs: calls.append(len(inputs[0])))
    stats = run.train_epoch()
    assert (stats.real_probability, stats.generated_probability) == pytest.approx((7.0, 7.0))  # scores, no probabilities
    assert stats.generator_loss == pytest.approx(-7.0)
    assert stats.discriminator_loss == pytest.approx(10.0)  # a flat critic: (0 - 1)² times the weight
    assert calls == [8] * 7  # five critic steps, and two of the generator with fresh latents


@pytest.mark.parametrize("name", ["wgan-cpu", "cwgan-cpu"])
def test_both_networks_learn_on_digits(name: str) -> None:
    changes: dict[str, Any] = {"training_images": 160, "batch_size": 16, "image_size": 12, "threads": 1, "latent_size": 20}
    config = configure(name, "quick", epochs=25, learning_rate=5e-4, **changes)
    run = Trainer(config, load_images(config).train, "fp32")
    estimates = [stats.real_probability - stats.generated_probability for stats in run.train()]
    assert max(estimates) > 2  # the critic learns to tell them apart …
    assert 0 < estimates[-1] < 0.7 * max(estimates)  # … and the generator comes nearer
