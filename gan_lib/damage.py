"""Real images -> images with known damage, to see what each measure of quality makes of it."""

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_lib.noise import add_noise

__all__ = ["add_noise", "blur", "keep_digits", "with_noisy_copies"]


def blur(images: Tensor, sigma: float) -> Tensor:
    """Images (N, C, S, S) under a Gaussian blur of a standard deviation of sigma pixels; 0 leaves them as they are."""
    if sigma == 0:
        return images
    reach = int(3 * sigma) + 1
    steps = torch.arange(-reach, reach + 1, dtype=images.dtype)
    weights = torch.exp(-(steps**2) / (2 * sigma**2))
    weights = weights / weights.sum()
    channels, size = images.shape[1], 2 * reach + 1
    wide = weights.view(1, 1, 1, size).expand(channels, 1, 1, size)
    tall = weights.view(1, 1, size, 1).expand(channels, 1, size, 1)
    light = F.conv2d(images + 1, wide, padding=(0, reach), groups=channels)  # + 1: beyond the edge it is black
    return (F.conv2d(light, tall, padding=(reach, 0), groups=channels) - 1).clamp(-1, 1)


def keep_digits(images: Tensor, labels: Tensor, digits: int, count: int) -> Tensor:
    """So many images (count, C, S, S) of the first so many digits, none twice, drawn by a fixed seed."""
    kept = images[labels < digits]
    if len(kept) < count:
        raise ValueError(f"there are only {len(kept)} images of the first {digits} digits, {count} wanted")
    return kept[torch.randperm(len(kept), generator=torch.Generator().manual_seed(0))[:count]]


def with_noisy_copies(images: Tensor, sigma: float, draw: torch.Generator) -> Tensor:
    """As many images as given: the first half of them, and a noisy copy of each of these."""
    half = images[: len(images) // 2]
    return torch.cat([half, add_noise(half, sigma, draw)])
