"""Losses: logits in, scalar out. All are means over the batch.

The paper uses binary cross-entropy on the GAN's sigmoid output and logistic binary cross-entropy on the CGAN's linear output.
Both are the same function of the logit, so both networks return logits here and share these losses.

The Wasserstein losses are for the model that the paper names next: there the discriminator is a critic, and what it returns is
no logit but a score without bound, higher for images that look real.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_lib.config import RunConfig
from gan_lib.training.mixed_precision import Learner


def discriminator_loss(real_logits: Tensor, generated_logits: Tensor) -> Tensor:
    """Binary cross-entropy of the discriminator, targets real = 1 and generated = 0.

    The mean over real and generated images: ln 2 = 0.693 when the discriminator is undecided, 0 when it is always right.
    (Adam does not see the scale of a loss, so the sum of both halves would train the same networks.)

    real_logits, generated_logits: (N, 1) each.
    """
    real = F.softplus(-real_logits).mean()  # -log(sigmoid(logit)), without ever computing log(0)
    generated = F.softplus(generated_logits).mean()  # -log(1 - sigmoid(logit))
    return (real + generated) / 2


def generator_loss(generated_logits: Tensor) -> Tensor:
    """Binary cross-entropy of the generator, target generated = 1: the non-saturating form. ln 2 when D is undecided.

    generated_logits: (N, 1).
    """
    return F.softplus(-generated_logits).mean()


def critic_loss(real_scores: Tensor, generated_scores: Tensor) -> Tensor:
    """The Wasserstein critic's loss: mean score of the generated images minus that of the real ones. Below 0 when it is right.

    Its negative is the critic's estimate of the Wasserstein distance between both, as far as the critic's slope is held to 1
    (by the penalty below, or up to a factor by clipped weights). Arjovsky et al. 2017, algorithm 1.

    real_scores, generated_scores: (N, 1) each.
    """
    return generated_scores.mean() - real_scores.mean()


def critic_generator_loss(generated_scores: Tensor) -> Tensor:
    """The generator's loss against a Wasserstein critic: minus the mean score of its images, (N, 1)."""
    return -generated_scores.mean()


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, generated: Tensor, shares: Tensor) -> Tensor:
    """How far the critic's slope is from 1 between real and generated images: mean of (|gradient| - 1)², without its weight.

    The norm is over the whole gradient of each image, all channels, rows and columns together: over one dimension of
    (N, C, S, S) it would be that of each pixel. Gulrajani et al. 2017, algorithm 1, with a weight of 10 there.

    real, generated: (N, C, S, S) each; shares: (N,) in [0, 1], how much of each pair is real, drawn by the caller anew each
    time. The result has a gradient in the critic's weights and none in the images.
    """
    shares = shares.view(-1, *[1] * (real.dim() - 1))  # (N,) -> (N, 1, 1, 1)
    between = (shares * real + (1 - shares) * generated).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)  # (N, C, S, S)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def slope_penalty(critic: Learner, real: Tensor, generated: Tensor, config: RunConfig, shares: torch.Generator) -> Tensor:
    """The weighted gradient penalty, in float32 whatever the working precision: a scalar.

    In bf16 it came out the same to three digits after a few epochs and took 10 % (GAN) or 25 % (CGAN) off an epoch, on one
    thread; in fp16 the gradients, each far below 1, would lose digits before any scaling of the loss can help.
    """
    drawn = torch.rand(len(real), generator=shares, device=real.device)
    return config.penalty_weight * gradient_penalty(critic.network, real.float(), generated.float(), drawn)
