"""The training step: one update of the discriminator, one update of the generator."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gan_lib.config import RunConfig
from gan_lib.registry import LOSSES, resolve
from gan_lib.training.losses import squared_slope
from gan_lib.training.mixed_precision import Learner
from gan_lib.training.sampling import one_hot


@dataclass(frozen=True)
class Rules:
    """The loss of a config, its penalties and their weights, for both steps."""

    discriminator_loss: Callable[..., Tensor]
    generator_loss: Callable[..., Tensor]
    penalty: Callable[..., Tensor] | None  # at points of its own, in float32: WGAN-GP's
    penalty_weight: float
    r1_weight: float
    r2_weight: float
    clip: float | None  # D's weights stay within plus and minus this
    pairs: bool  # the generator's loss needs the logits of real images too
    scores: bool  # logits are unbounded scores, not beliefs
    generator_dropout: bool  # whether D's dropout is active in G's step


def rules_of(config: RunConfig) -> Rules:
    """The rules of a config. r1_weight and r2_weight are multiplied by penalty_every."""
    loss = LOSSES[config.loss]
    return Rules(
        resolve(loss.discriminator),
        resolve(loss.generator),
        resolve(loss.penalty) if loss.penalty else None,
        config.penalty_weight,
        config.r1_weight * config.penalty_every,
        config.r2_weight * config.penalty_every,
        config.clip if "clip" in loss.uses else None,
        loss.pairs,
        loss.scores,
        config.generator_dropout == "active",
    )


def discriminator_step(
    discriminator: Learner,
    real: Tensor,
    generated: Tensor,
    rules: Rules,
    *,
    labels: Tensor | None = None,
    random: torch.Generator | None = None,
    slopes: bool = True,
) -> Tensor:
    """Update the discriminator once.

    real, generated: (N, C, S, S) each, generated without history. labels: (N, K, S, S) maps of both, where the networks have
    classes. random: draws the points of the penalty. slopes: whether R1 and R2 are due, if they have a weight. Returns (loss
    with penalties, mean belief or score of real, of generated), (3,), still on the device: nothing here waits for it.
    """
    images = torch.cat([real, generated.to(real.dtype)])  # (2N, C, S, S): no batch norm in D, so they do not see each other
    maps = None if labels is None else torch.cat([labels, labels])
    slopes = slopes and bool(rules.r1_weight or rules.r2_weight)
    logits = discriminator.working(with_maps(images.requires_grad_(slopes), maps)).float()  # (2N, 1)
    loss = rules.discriminator_loss(*logits.chunk(2))
    if slopes:
        r1, r2 = squared_slope(logits, images).view(2, -1).mean(dim=1)
        loss = loss + rules.r1_weight * r1 + rules.r2_weight * r2
    whole, penalty = loss, None
    if rules.penalty:
        # Always in float32. In bf16 the result was the same to three digits, and an epoch 10 % (GAN) or 25 % (CGAN) faster on
        # one thread; but in fp16 its gradients would lose digits before loss scaling can help.
        network: Any = discriminator.network
        critic = network if labels is None else lambda between: network(with_maps(between, labels))
        penalty = rules.penalty_weight * rules.penalty(critic, real.float(), generated.float(), random)
        whole = loss + penalty
    discriminator.update(loss, penalty)
    if rules.clip is not None:
        discriminator.clip(rules.clip)  # all parameters, biases too: Arjovsky et al. 2017, algorithm 1, line 7
    judged = logits.detach() if rules.scores else logits.detach().sigmoid()
    return torch.cat([whole.detach().view(1), judged.view(2, -1).mean(dim=1)])


def generator_step(
    generator: Learner,
    discriminator: Learner,
    generated: Tensor,
    rules: Rules,
    *,
    real: Tensor | None = None,
    labels: Tensor | None = None,
) -> Tensor:
    """Update the generator once.

    generated: (N, C, S, S), with its history. real: (N, C, S, S), for a loss that compares both. labels: as in
    `discriminator_step`. Returns the loss, (1,), still on the device.
    """
    with discriminator.frozen(rules.generator_dropout) as frozen:
        logits = [frozen(with_maps(generated, labels)).float()]  # (N, 1)
        if rules.pairs and real is not None:
            with torch.no_grad():
                logits.append(frozen(with_maps(real, labels)).float())
        loss = rules.generator_loss(*logits)
    generator.update(loss)
    return loss.detach().view(1)


def with_maps(images: Tensor, maps: Tensor | None) -> Tensor:
    """Images (N, C, S, S) with one map a class, 1 everywhere for their own: (N, C + K, S, S). Unchanged without maps."""
    return images if maps is None else torch.cat([images, maps.to(images.dtype)], dim=1)


def label_maps(labels: Tensor, classes: int, size: int) -> Tensor:
    """Labels (N,) -> (N, K, S, S) float32: the map of each image's class is 1, the others 0. A view, not copies."""
    return one_hot(labels, classes)[:, :, None, None].expand(-1, -1, size, size)
