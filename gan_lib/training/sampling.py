"""Draw latents, generate images, and judge images with trained networks."""

import torch
from torch import Tensor, nn

from gan_lib.config import RunConfig


def stream(seed: int, number: int) -> int:
    """Return the seed of one of a run's independent random generators."""
    return seed * 16 + number


def uniform_latents(count: int, latent_size: int, generator: torch.Generator) -> Tensor:
    """(count, latent_size) values, uniform in [-1, 1], on the generator's device."""
    return torch.rand(count, latent_size, generator=generator, device=generator.device).mul_(2).sub_(1)


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Labels (N,) -> (N, K) float32. Unlike PyTorch's own, it does not check the values, so a CUDA graph can capture it."""
    return (labels[:, None] == torch.arange(classes, device=labels.device)).float()


def label_inputs(latents: Tensor, labels: Tensor | None, classes: int) -> Tensor:
    """Latents (N, Z) with their class one-hot at the end, (N, Z + K); unchanged without labels."""
    return latents if labels is None else torch.cat([latents, one_hot(labels, classes)], dim=1)


def fixed_labels(config: RunConfig, count: int) -> Tensor | None:
    """The classes of fixed_latents, (count,): 0, 1, 2, … in turn; None where the config has no classes."""
    return torch.arange(count) % config.classes if config.classes else None


def fixed_latents(config: RunConfig, count: int, seed: int | None = None, label: int | None = None) -> Tensor:
    """Latents to look at a network with: the same on every machine, and independent of training's random numbers.

    If the config has classes, each latent has one: `label`, or those of fixed_labels.
    """
    random = torch.Generator().manual_seed(stream(config.seed if seed is None else seed, 9))
    latents, labels = uniform_latents(count, config.latent_size, random), fixed_labels(config, count)
    if labels is not None and label is not None:
        labels.fill_(label)
    return label_inputs(latents, labels, config.classes)


def sample(generator: nn.Module, latents: Tensor, batch_size: int = 500) -> Tensor:
    """Images (N, C, S, S) in [-1, 1], float32 on the CPU, from latents (N, Z).

    In eval mode: batch norm uses its running statistics, so an image does not depend on the others drawn with it.
    """
    return _in_eval_mode(generator, latents, batch_size)


def judge(discriminator: nn.Module, images: Tensor, batch_size: int = 500) -> Tensor:
    """The discriminator's belief that each image is real: (N,) in [0, 1], from images (N, C, S, S). Dropout is off."""
    return _in_eval_mode(discriminator, images, batch_size).sigmoid().flatten()


def score(critic: nn.Module, images: Tensor, batch_size: int = 500) -> Tensor:
    """A critic's score of each image: (N,), higher for images that look real, without bound and without zero."""
    return _in_eval_mode(critic, images, batch_size).flatten()


@torch.no_grad()
def _in_eval_mode(network: nn.Module, inputs: Tensor, batch_size: int) -> Tensor:
    was_training, device = network.training, next(network.parameters()).device
    network.eval()
    try:
        return torch.cat([network(part.to(device)).float().cpu() for part in inputs.split(batch_size)])
    finally:
        network.train(was_training)
