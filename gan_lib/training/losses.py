"""Losses: pure functions from logits (N, 1) to a scalar, the mean over the batch. registry.LOSSES lists them.

The paper uses binary cross-entropy on the GAN's sigmoid output and logistic binary cross-entropy on the CGAN's linear output.
Both are the same function of the logit, so both networks return logits here and share these losses. With other losses
(Wasserstein, hinge, relativistic pairing) D's output is a score without bound, higher for images that look real.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Critic = Callable[[Tensor], Tensor]  # images (N, C, S, S) -> scores (N, 1)


def discriminator_loss(real_logits: Tensor, generated_logits: Tensor) -> Tensor:
    """Binary cross-entropy of the discriminator, targets real = 1 and generated = 0.

    The mean over real and generated images: ln 2 = 0.693 when D is undecided, 0 when it is always right. (Adam does not see
    the scale of a loss, so the sum of both halves would train the same networks.)
    """
    real = F.softplus(-real_logits).mean()  # -log(sigmoid(logit)), without ever computing log(0)
    generated = F.softplus(generated_logits).mean()  # -log(1 - sigmoid(logit))
    return (real + generated) / 2


def generator_loss(generated_logits: Tensor) -> Tensor:
    """Binary cross-entropy of the generator, target generated = 1: the non-saturating form. ln 2 when D is undecided."""
    return F.softplus(-generated_logits).mean()


def critic_loss(real_scores: Tensor, generated_scores: Tensor) -> Tensor:
    """The Wasserstein critic's loss: mean score of the generated images minus that of the real ones. Below 0 when it is right.

    Its negative estimates the Wasserstein distance if the critic's slope is kept at 1 by the penalty below, or, up to a
    factor, by clipped weights. Arjovsky et al. 2017, algorithm 1.
    """
    return generated_scores.mean() - real_scores.mean()


def critic_generator_loss(generated_scores: Tensor) -> Tensor:
    """The generator's loss with a Wasserstein critic or a hinge discriminator: minus the mean score of its images."""
    return -generated_scores.mean()


def hinge_loss(real_scores: Tensor, generated_scores: Tensor) -> Tensor:
    """The discriminator's hinge loss: 0 for scores above 1 (real) and below -1 (generated), 2 when all are 0.

    Lim and Ye 2017.
    """
    return F.relu(1 - real_scores).mean() + F.relu(1 + generated_scores).mean()


def relativistic_loss(real_scores: Tensor, generated_scores: Tensor) -> Tensor:
    """Relativistic pairing: each real image should score higher than the generated one beside it. ln 2 when both are equal.

    Jolicoeur-Martineau 2018; with R1 and R2 Huang et al. 2024 (R3GAN).
    """
    return F.softplus(generated_scores - real_scores).mean()


def relativistic_generator_loss(generated_scores: Tensor, real_scores: Tensor) -> Tensor:
    """The generator's side of relativistic pairing: its image should score higher than the real one. ln 2 when equal."""
    return F.softplus(real_scores - generated_scores).mean()


def slope_penalty(critic: Critic, real: Tensor, generated: Tensor, random: torch.Generator | None = None) -> Tensor:
    """WGAN-GP's penalty at a point drawn between each real and each generated image, without its weight (10 in the article).

    real, generated: (N, C, S, S) float32 each.
    """
    return gradient_penalty(critic, real, generated, torch.rand(len(real), generator=random, device=real.device))


def gradient_penalty(critic: Critic, real: Tensor, generated: Tensor, shares: Tensor) -> Tensor:
    """How far the critic's slope is from 1 between real and generated images: mean of (|gradient| - 1)², without its weight.

    real, generated: (N, C, S, S) each; shares: (N,) in [0, 1], the real share of each pair. The norm is over all values of an
    image's gradient, not over one dimension of (N, C, S, S). The result has gradients in the critic's weights, not in the
    images. Gulrajani et al. 2017, algorithm 1.
    """
    shares = shares.view(-1, *[1] * (real.dim() - 1))  # (N,) -> (N, 1, 1, 1)
    between = (shares * real + (1 - shares) * generated).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)  # (N, C, S, S)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def squared_slope(logits: Tensor, images: Tensor) -> Tensor:
    """R1 at real images, R2 at generated ones: each image's squared slope, halved: (N,), differentiable in D's weights.

    logits: computed from images (N, C, S, S) that require gradients. Mescheder et al. 2018.
    """
    (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True)  # (N, C, S, S)
    return slope.float().square().flatten(1).sum(dim=1) / 2
