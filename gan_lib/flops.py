"""How much arithmetic one training iteration is: the matrix products and convolutions, counted by formula."""

import itertools

from gan_lib.config import RunConfig


def flops_per_image(config: RunConfig) -> int:
    """Floating-point operations that one training image costs in one epoch (a multiply-add counts as two).

    With g and d the multiply-adds of one forward pass of G and D, and g1, d1 those of their first layers, an iteration takes

    - D's step: G forward (g), D forward over a real and a generated image (2d), weight gradients (2d) and input gradients
      of all layers but the first (2d - 2 d1);
    - G's step: G forward again where its noise is fresh (g), D forward (d), D's input gradients (d), G's weight gradients (g)
      and input gradients of all layers but the first (g - g1).
    """
    g, d = sum(_generator(config)), sum(_discriminator(config))
    g_first, d_first = _generator(config)[0], _discriminator(config)[0]
    forward_again = g if config.generator_noise == "fresh" else 0
    discriminator_step = g + 2 * d + 2 * d + 2 * (d - d_first)
    generator_step = forward_again + d + d + g + (g - g_first)
    return 2 * (discriminator_step + generator_step)


def flops_per_epoch(config: RunConfig) -> int:
    """flops_per_image times the training images."""
    return flops_per_image(config) * config.training_images


def _generator(config: RunConfig) -> list[int]:
    """Multiply-adds of each layer for one image."""
    channels, size, _ = config.image_shape
    if config.model == "gan":
        return _dense(config.latent_size, 256, 512, 1024, channels * size * size)
    quarter, half = size // 4, size // 2
    return [
        config.latent_size * 256 * quarter**2,
        256 * 128 * 5 * 5 * quarter**2,  # transposed: every input pixel meets the whole kernel
        128 * 64 * 4 * 4 * quarter**2,
        64 * channels * 4 * 4 * half**2,
    ]


def _discriminator(config: RunConfig) -> list[int]:
    """Multiply-adds of each layer for one image."""
    channels, size, _ = config.image_shape
    if config.model == "gan":
        return _dense(channels * size * size, 1024, 512, 256, 1)
    quarter, half = size // 4, size // 2
    return [channels * 64 * 4 * 4 * half**2, 64 * 128 * 4 * 4 * quarter**2, 128 * quarter**2]


def _dense(*widths: int) -> list[int]:
    return [inputs * outputs for inputs, outputs in itertools.pairwise(widths)]
