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

    distance_ratio: float  # median closeness to the nearest training image, that of held-out images = 1; 0: all are copies
    copies: float  # share closer to a training image than all but 1 % of held-out images; 0.01 for new images like these


def nearest_images(images: Tensor, train: Tensor) -> Nearest:
    """Which training image (M, C, S, S) is nearest to each image (N, C, S, S), pixel by pixel."""
    distance, which = torch.cdist(images.flatten(1).double(), train.flatten(1).double()).min(dim=1)
    return Nearest(_in_pixels(distance, images), which)


def memorisation(generated: Tensor, train: Tensor, held_out: Tensor) -> Memorisation:
    """Do generated images lie closer to the training images than other images of the same kind do?

    Closeness is the distance to the nearest training image over that one's distance from the next training image: ones all look
    alike, so a generator that draws many ones would else be taken for one that copies. A generator that has learnt digits gives
    a ratio near 1, one that hands its training images out near 0. Below 1 is no proof of copying by itself: simple or blurred
    images are close to everything. Look at the nearest pairs too. Raises ValueError for fewer than two training images.
    """
    if len(train) < 2:
        raise ValueError(f"there must be at least 2 training images, got {len(train)}")
    flat = train.flatten(1).double()
    apart = _in_pixels(torch.cdist(flat, flat).fill_diagonal_(torch.inf).amin(dim=1), train)  # (M,)
    apart = apart.clamp(min=apart[apart > 0].min() if (apart > 0).any() else 1.0)  # some sets hold an image twice
    found, usual = (_closeness(images, train, apart) for images in (generated, held_out))
    return Memorisation(
        distance_ratio=float(found.median() / usual.median()),
        copies=float((found < usual.quantile(COPY_QUANTILE)).double().mean()),
    )


def _closeness(images: Tensor, train: Tensor, apart: Tensor) -> Tensor:
    distance, which = nearest_images(images, train)
    return distance / apart[which]


def _in_pixels(distance: Tensor, images: Tensor) -> Tensor:
    """Euclidean distances of images in [-1, 1] -> root mean square differences of their pixels, black to white = 1."""
    return distance / 2 / images[0].numel() ** 0.5
