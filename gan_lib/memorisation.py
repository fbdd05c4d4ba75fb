"""Generated images -> whether they are copies of training images: each one's nearest training image, and how near it is."""

from typing import NamedTuple

import torch
from torch import Tensor

COPY_QUANTILE = 0.01  # nearer to a training image than all but this share of images never trained on: as good as a copy

_PART = 500  # images at a time


class Nearest(NamedTuple):
    """For each of N images, the training image most like it."""

    distance: Tensor  # (N,) root mean square difference of their pixels, black to white = 1
    which: Tensor  # (N,) that training image's index


class Memorisation(NamedTuple):
    """How near generated images come to training images, by the measure of held-out images."""

    distance_ratio: float  # median closeness to the nearest training image, that of held-out images = 1; 0: all are copies
    copies: float  # share closer to a training image than all but 1 % of held-out images; 0.01 for new images like these


class Usual(NamedTuple):
    """How near images that were never trained on come to the training images: what generated ones are held against."""

    apart: Tensor  # (M,) each training image's distance from the next one
    closeness: Tensor  # (N,) of held-out images


def nearest_images(images: Tensor, train: Tensor) -> Nearest:
    """Which training image (M, C, S, S) is nearest to each image (N, C, S, S), pixel by pixel."""
    flat = train.flatten(1).double()
    # Part by part: all distances from 60,000 images at once would not fit into memory.
    found = [torch.cdist(part.flatten(1).double(), flat).min(dim=1) for part in images.split(_PART)]
    distance = torch.cat([part.values for part in found])
    return Nearest(_in_pixels(distance, images), torch.cat([part.indices for part in found]))


def usual(train: Tensor, held_out: Tensor) -> Usual:
    """How near held-out images (N, C, S, S) come to the training images (M, C, S, S); the same for every set of generated ones.

    Raises ValueError for fewer than two training images.
    """
    if len(train) < 2:
        raise ValueError(f"there must be at least 2 training images, got {len(train)}")
    flat = train.flatten(1).double()
    parts = []
    for first, part in zip(range(0, len(flat), _PART), flat.split(_PART), strict=True):
        distance = torch.cdist(part, flat)
        distance[torch.arange(len(part)), torch.arange(first, first + len(part))] = torch.inf  # not from itself
        parts.append(distance.amin(dim=1))
    apart = _in_pixels(torch.cat(parts), train)
    apart = apart.clamp(min=apart[apart > 0].min() if (apart > 0).any() else 1.0)  # some sets hold an image twice
    return Usual(apart, _closeness(held_out, train, apart))


def memorisation(generated: Tensor, train: Tensor, known: Usual) -> Memorisation:
    """Do generated images lie closer to the training images than other images of the same kind do?

    Closeness is the distance to the nearest training image over that one's distance from the next training image: ones all look
    alike, so a generator that draws many ones would else be taken for one that copies. A generator that has learnt digits gives
    a ratio near 1, one that hands its training images out near 0. Below 1 is no proof of copying by itself: simple or blurred
    images are close to everything. Look at the nearest pairs too. known: what usual() says of the same training images.
    """
    return compared(_closeness(generated, train, known.apart), known)


def compared(closeness: Tensor, known: Usual) -> Memorisation:
    """The closeness of some images (N,), held against that of images never trained on."""
    return Memorisation(
        distance_ratio=float(closeness.median() / known.closeness.median()),
        copies=float((closeness < known.closeness.quantile(COPY_QUANTILE)).double().mean()),
    )


def _closeness(images: Tensor, train: Tensor, apart: Tensor) -> Tensor:
    distance, which = nearest_images(images, train)
    return distance / apart[which]


def _in_pixels(distance: Tensor, images: Tensor) -> Tensor:
    """Euclidean distances of images in [-1, 1] -> root mean square differences of their pixels, black to white = 1."""
    return distance / 2 / images[0].numel() ** 0.5
