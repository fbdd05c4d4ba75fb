"""Generated images -> whether they are copies of training images: each one's nearest training image, and how near it is."""

from typing import NamedTuple

import torch
from torch import Tensor

COPY_QUANTILE = 0.01  # nearer to a training image than all but this share of images never trained on: as good as a copy


class Nearest(NamedTuple):
    """For each of N images, the training image most like it."""

    distance: Tensor  # (N,) root mean square difference of their pixels, black to white = 1
    which: Tensor  # (N,) that training image's index


class Memorisation(NamedTuple):
    """How near generated images come to training images, by the measure of held-out images."""

    distance_ratio: float  # median distance to the nearest training image, that of held-out images = 1; 0: all are copies
    copies: float  # share nearer to a training image than all but 1 % of held-out images; 0.01 for new images like these


def nearest_images(images: Tensor, train: Tensor) -> Nearest:
    """Which training image (M, C, S, S) is nearest to each image (N, C, S, S), pixel by pixel."""
    distance, which = torch.cdist(images.flatten(1).double(), train.flatten(1).double()).min(dim=1)
    return Nearest(distance / 2 / images[0].numel() ** 0.5, which)


def memorisation(generated: Tensor, train: Tensor, held_out: Tensor) -> Memorisation:
    """Do generated images lie nearer to the training images than other images of the same kind do?

    A generator that has learnt digits gives a ratio near 1, one that hands its training images out near 0. Below 1 is no proof
    of copying by itself: simple or blurred images are near to everything. Look at the nearest pairs too.
    """
    found = nearest_images(generated, train).distance
    usual = nearest_images(held_out, train).distance
    return Memorisation(
        distance_ratio=float(found.median() / usual.median()),
        copies=float((found < usual.quantile(COPY_QUANTILE)).double().mean()),
    )
