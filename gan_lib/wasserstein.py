"""Training with a Wasserstein loss: one update of the critic, held to a slope of about 1 by clipping or by a penalty.

The critic is the paper's discriminator, whose output is taken as a score instead of as a logit. As in algorithm 1 of both
articles (Arjovsky et al. 2017, Gulrajani et al. 2017), it is corrected `critic_steps` times for every correction of the
generator, each time on a batch of its own with latents of its own. An epoch therefore stays one pass over all images, and has
a fifth of the generator's updates when there are five steps; the count goes on from one epoch to the next.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gan_lib.config import RunConfig
from gan_lib.learner import Learner
from gan_lib.losses import critic_loss, gradient_penalty


class Turns(NamedTuple):
    """Whose turn it is: the critic's on every batch, the generator's on every `steps`-th one, counted on through the epochs."""

    steps: int
    batches: int  # of an epoch

    def corrects_generator(self, epochs_done: int, number: int) -> bool:
        """Whether the generator has its turn too on a batch of the epoch after epochs_done, counted from 0."""
        return (epochs_done * self.batches + number + 1) % self.steps == 0

    def generator_share(self, epochs_done: int, weights: Sequence[float]) -> float:
        """The share of an epoch's images that is in such batches, from the share that is in each batch."""
        if self.steps == 1:
            return 1.0
        return sum(weight for number, weight in enumerate(weights) if self.corrects_generator(epochs_done, number))


def critic_step(critic: Learner, real: Tensor, generated: Tensor, config: RunConfig, shares: torch.Generator) -> Tensor:
    """Correct the critic once.

    real, generated: (N, C, S, S) each, generated without history. shares: draws where, between a real and a generated image,
    the slope is penalised. Returns (loss, mean score of real, mean score of generated) as one (3,) tensor, still on the device;
    the loss is what the critic descends on, its penalty included, so the estimate of the Wasserstein distance is the
    difference of the two scores and not minus the loss.
    """
    scores = critic.working(torch.cat([real, generated.to(real.dtype)])).float()  # (2N, C, S, S) -> (2N, 1)
    loss = critic_loss(*scores.chunk(2))
    penalty = slope_penalty(critic, real, generated, config, shares) if config.loss == "wgan-gp" else None
    critic.update(loss, penalty)
    if config.loss == "wgan":
        critic.clip(config.clip)  # all parameters, biases too, after the update: the article's algorithm 1, line 7
    whole = loss if penalty is None else loss + penalty
    return torch.cat([whole.detach().view(1), scores.detach().view(2, -1).mean(dim=1)])


def slope_penalty(critic: Learner, real: Tensor, generated: Tensor, config: RunConfig, shares: torch.Generator) -> Tensor:
    """The weighted gradient penalty, in float32 whatever the working precision: a scalar.

    In bf16 it came out the same to three digits after a few epochs and took 10 % (GAN) or 25 % (CGAN) off an epoch, on one
    thread; in fp16 the gradients, each far below 1, would lose digits before any scaling of the loss can help.
    """
    drawn = torch.rand(len(real), generator=shares, device=real.device)
    return config.penalty_weight * gradient_penalty(critic.network, real.float(), generated.float(), drawn)
