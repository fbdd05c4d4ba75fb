"""Count the floating-point operations of training: matrix products and convolutions, by PyTorch's own counter."""

from collections.abc import Callable
from functools import lru_cache, partial

import torch
from torch import Tensor

from gan_lib.config import RunConfig
from gan_lib.training.losses import squared_slope
from gan_lib.training.models import Pair, build_pair
from gan_lib.training.steps import Rules, rules_of

_IMAGES = 4  # in the counted batch; the count is proportional to it


def flops_per_image(config: RunConfig) -> int:
    """Return the floating-point operations per training image and epoch (a multiply-add counts as two).

    D's update on a real and a generated image with its penalties, and G's update, once in critic_steps. Counted on PyTorch's
    meta device, where tensors have shapes and no values: nothing is computed.
    """
    kept = {"seed": 0, "epochs": 1, "training_images": 2000, "batch_size": 128, "data": "digits"}  # no effect
    return _count(config.model_copy(update=kept))


def flops_per_epoch(config: RunConfig) -> int:
    """Return flops_per_image times the training images; for "all", whose number is not known yet, times the default number."""
    count = config.training_images
    return flops_per_image(config) * (RunConfig.model_fields["training_images"].default if count == "all" else count)


@lru_cache(maxsize=64)
def _count(config: RunConfig) -> int:
    with torch.device("meta"):
        pair, rules = Pair(*(network.to("meta") for network in build_pair(config))), rules_of(config)
        real = torch.empty(_IMAGES, config.channels + config.classes, *config.image_shape[1:])
        latents = torch.empty(_IMAGES, config.latent_size + config.classes)
        forward = _counted(lambda: pair.generator(latents))
        plain, with_slopes = (_counted(partial(_update_discriminator, pair, real, rules, slopes)) for slopes in (False, True))
        update = _counted(partial(_update_generator, pair, latents, real, rules))
    if config.generator_noise == "reused":
        update -= forward
    return round((forward + plain + (with_slopes - plain) / config.penalty_every + update / config.critic_steps) / _IMAGES)


def _counted(work: Callable[[], object]) -> int:
    from torch.utils.flop_counter import FlopCounterMode  # imports Triton: half a second

    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def _update_discriminator(pair: Pair, real: Tensor, rules: Rules, slopes: bool) -> None:
    slopes = slopes and bool(rules.r1_weight or rules.r2_weight)
    images = torch.cat([real, real]).requires_grad_(slopes) * 1  # the counter refuses to differentiate in a network's own input
    logits = pair.discriminator(images)
    loss = rules.discriminator_loss(*logits.chunk(2))
    if slopes:
        loss = loss + squared_slope(logits, images).sum()
    if rules.penalty:
        loss = loss + rules.penalty(lambda between: pair.discriminator(between * 1), real, real)
    torch.autograd.grad(loss, list(pair.discriminator.parameters()), materialize_grads=True)


def _update_generator(pair: Pair, latents: Tensor, real: Tensor, rules: Rules) -> None:
    generated = pair.generator(latents)
    maps = real[:, generated.shape[1] :]
    pair.discriminator.requires_grad_(False)
    logits = pair.discriminator(torch.cat([generated, maps], dim=1))
    real_logits = (pair.discriminator(real),) if rules.pairs else ()
    torch.autograd.grad(rules.generator_loss(logits, *real_logits), list(pair.generator.parameters()))
    pair.discriminator.requires_grad_(True)
