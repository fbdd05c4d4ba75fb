"""The formula counts what PyTorch's own counter counts on a real iteration of the plain networks."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from gan_lib.config import RunConfig
from gan_lib.studies.baseline import plain_networks
from gan_lib.training.flops import flops_per_image
from gan_lib.training.losses import gradient_penalty

BATCH = 4


def counted_iteration(config: RunConfig) -> int:
    """One iteration on the meta device, where shapes are computed and nothing else; exactly the gradients that are needed."""

    def latents() -> Tensor:
        return torch.rand(BATCH, config.latent_size, device="meta")

    def gradients(logits: Tensor, network: nn.Module) -> None:
        loss = F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))
        torch.autograd.grad(loss, list(network.parameters()))

    generator, discriminator = (network.to("meta") for network in plain_networks(config))
    real = torch.rand(BATCH, *config.image_shape, device="meta")
    with FlopCounterMode(display=False) as counter:
        generated = generator(latents())
        gradients(discriminator(torch.cat([real, generated.detach()])), discriminator)
        if config.generator_noise == "fresh":
            generated = generator(latents())
        gradients(discriminator(generated), generator)
    return counter.get_total_flops()


@pytest.mark.parametrize("shape", [{}, {"channels": 3, "image_size": 8, "latent_size": 10}])
@pytest.mark.parametrize("noise", ["fresh", "reused"])
@pytest.mark.parametrize("model", ["gan", "cgan"])
def test_the_formula_equals_pytorchs_counter(model: str, noise: str, shape: dict[str, int]) -> None:
    config = RunConfig(model=model, generator_noise=noise, **shape)
    assert flops_per_image(config) * BATCH == counted_iteration(config)


def counted_penalty(config: RunConfig) -> int:
    critic = plain_networks(config)[1].to("meta")
    images = torch.rand(BATCH, *config.image_shape, device="meta")
    with FlopCounterMode(display=False) as counter:
        # times 1: PyTorch's counter refuses to differentiate in a network's own input
        penalty = gradient_penalty(lambda between: critic(between * 1), images, images, torch.rand(BATCH, device="meta"))
        torch.autograd.grad(penalty, list(critic.parameters()), materialize_grads=True)
    return counter.get_total_flops()


@pytest.mark.parametrize("shape", [{}, {"channels": 3, "image_size": 8, "latent_size": 10}])
@pytest.mark.parametrize("model", ["gan", "cgan"])
def test_the_penalty_is_counted_as_pytorch_counts_it(model: str, shape: dict[str, int]) -> None:
    with_it, without = (flops_per_image(RunConfig(model=model, loss=loss, **shape)) for loss in ("wgan-gp", "wgan"))
    # the first and last layers of our CGAN have ways of their own, a few products more than PyTorch's
    assert (with_it - without) * BATCH == pytest.approx(counted_penalty(RunConfig(model=model, **shape)), rel=0.03)


def test_of_five_critic_steps_one_is_followed_by_the_generators() -> None:
    every, fifth = (flops_per_image(RunConfig(model="cgan", loss="wgan", critic_steps=steps)) for steps in (1, 5))
    assert every == flops_per_image(RunConfig(model="cgan"))  # a Wasserstein loss is no more arithmetic than the paper's
    alone = flops_per_image(RunConfig(model="cgan", loss="wgan", critic_steps=15))
    assert every - fifth == pytest.approx((every - alone) * (4 / 5) / (14 / 15), rel=1e-6)
    assert fifth < 0.5 * every  # most of the convolutional pair's work is the generator's step


@pytest.mark.parametrize(("model", "gflop"), [("gan", 4.09), ("cgan", 62.32)])
def test_an_iteration_of_the_papers_size_is_as_much_arithmetic_as_is_known(model: str, gflop: float) -> None:
    assert 128 * flops_per_image(RunConfig(model=model)) / 1e9 == pytest.approx(gflop, abs=0.005)


def test_an_image_of_the_smallest_gan_is_counted_by_hand() -> None:
    # multiply-adds of the layers with 1 latent value and 16 pixels
    g = [256, 256 * 512, 512 * 1024, 1024 * 16]
    d = [16 * 1024, 1024 * 512, 512 * 256, 256]
    discriminator = 2 * sum(d) + 2 * sum(d) + 2 * sum(d[1:])  # forward; weight gradients; input gradients; 2 images each
    generator = 2 * sum(d) + sum(g) + sum(g[1:])  # D forward and back; G's weight and input gradients
    expected = 2 * (sum(g) + discriminator + generator)
    assert flops_per_image(RunConfig(image_size=4, latent_size=1, generator_noise="reused")) == expected


def test_r1_and_r2_every_fourth_step_cost_a_quarter() -> None:
    every, fourth, never = (
        flops_per_image(RunConfig(model="small", loss="rpgan", **changes))
        for changes in ({}, {"penalty_every": 4}, {"r1_weight": 0, "r2_weight": 0})
    )
    assert every - never == pytest.approx(4 * (fourth - never), rel=1e-6)
    assert every > 1.2 * never
