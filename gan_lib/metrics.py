"""Images or judgements of images -> numbers."""

import torch
from torch import Tensor


def roc_auc(real: Tensor, generated: Tensor) -> float:
    """How well a discriminator tells real from generated images, whatever threshold one would take.

    real, generated: its beliefs that images are real, (N,) and (M,) in [0, 1]. 1: every real image is believed more than
    every generated one; 0.5: no better than tossing a coin.
    """
    from torchmetrics.functional.classification import binary_auroc

    beliefs = torch.cat([real, generated])
    truth = torch.cat([torch.ones(len(real)), torch.zeros(len(generated))]).long()
    return float(binary_auroc(beliefs, truth))
