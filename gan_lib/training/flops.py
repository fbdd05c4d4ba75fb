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

    With several critic steps, G's step is taken on one batch in so many. A gradient penalty adds to D's, for one image between
    a real and a generated one, D forward (d), its gradient in the image (d), and that gradient's way back, for all layers but
    the last: through the backward pass (2d) and through the forward pass (2d - d1), where LeakyReLU hands on nothing but
    zeros, which are multiplied all the same. Of the last layer there are only the weight gradients.
    """
    g, d = sum(_generator(config)), sum(_discriminator(config))
    g_first, d_first = _generator(config)[0], _discriminator(config)[0]
    forward_again = g if config.generator_noise == "fresh" else 0
    discriminator_step = g + 2 * d + 2 * d + 2 * (d - d_first)
    generator_step = forward_again + d + d + g + (g - g_first)
    penalty = _penalty(config) if config.loss == "wgan-gp" else 0
    return round(2 * (discriminator_step + penalty + generator_step / config.critic_steps))


def _penalty(config: RunConfig) -> int:
    """Multiply-adds of the gradient penalty for one pair of a real and a generated image."""
    layers = _discriminator(config)
    return 6 * sum(layers) - layers[0] - 3 * layers[-1]


def flops_per_epoch(config: RunConfig) -> int:
    """flops_per_image times the training images; "all", counted when they are read, stands for the default number."""
    count = config.training_images
    return flops_per_image(config) * (RunConfig.model_fields["training_images"].default if count == "all" else count)


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
