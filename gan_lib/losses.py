"""Losses: logits in, scalar out. All are means over the batch.

The paper uses binary cross-entropy on the GAN's sigmoid output and logistic binary cross-entropy on the CGAN's linear output.
Both are the same function of the logit, so both networks return logits here and share these losses.
"""

import torch.nn.functional as F
from torch import Tensor


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
