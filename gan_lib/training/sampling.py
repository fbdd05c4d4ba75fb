"""Latents, and what trained networks make of them and of images."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lib.config import RunConfig
from gan_lib.training.mixed_precision import network_device


def uniform_latents(count: int, latent_size: int, generator: torch.Generator) -> Tensor:
    """(count, latent_size) values, uniform in [-1, 1], on the generator's device."""
    return torch.rand(count, latent_size, generator=generator, device=generator.device).mul_(2).sub_(1)


def label_inputs(latents: Tensor, labels: Tensor | None, classes: int) -> Tensor:
    """Latents (N, Z) with their class one-hot at the end, (N, Z + K); as they are without labels."""
    return latents if labels is None else torch.cat([latents, F.one_hot(labels, classes).to(latents.dtype)], dim=1)


def fixed_latents(config: RunConfig, count: int, seed: int | None = None, label: int | None = None) -> Tensor:
    """Latents to look at a network with: the same on every machine, and independent of training's random numbers.

    Where the config has classes, each latent carries one: `label`, or 0, 1, 2, … in turn.
    """
    random = torch.Generator().manual_seed(stream(config.seed if seed is None else seed, 9))
    latents = uniform_latents(count, config.latent_size, random)
    if not config.classes:
        return latents
    labels = torch.arange(count) % config.classes if label is None else torch.full((count,), label)
    return label_inputs(latents, labels, config.classes)


@torch.no_grad()
def sample(generator: nn.Module, latents: Tensor, batch_size: int = 500) -> Tensor:
    """Images (N, C, S, S) in [-1, 1], float32 on the CPU, from latents (N, Z).

    In eval mode: batch norm uses its running statistics, so an image does not depend on the others drawn with it. The
    network's mode is put back afterwards.
    """
    return _in_eval_mode(generator, latents, batch_size)


@torch.no_grad()
def judge(discriminator: nn.Module, images: Tensor, batch_size: int = 500) -> Tensor:
    """The discriminator's belief that each image is real: (N,) in [0, 1], from images (N, C, S, S). Dropout is off."""
    return _in_eval_mode(discriminator, images, batch_size).sigmoid().flatten()


@torch.no_grad()
def score(critic: nn.Module, images: Tensor, batch_size: int = 500) -> Tensor:
    """A Wasserstein critic's score of each image: (N,), higher for images that look real, without bound and without zero."""
    return _in_eval_mode(critic, images, batch_size).flatten()


def _in_eval_mode(network: nn.Module, inputs: Tensor, batch_size: int) -> Tensor:
    was_training = network.training
    device = network_device(network)
    network.eval()
    try:
        return torch.cat([network(part.to(device)).float().cpu() for part in inputs.split(batch_size)])
    finally:
        network.train(was_training)


def stream(seed: int, number: int) -> int:
    """A seed for one of a run's independent random generators."""
    return seed * 16 + number
