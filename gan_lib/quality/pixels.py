"""Images -> how noisy they are ("like real digits with so much noise added"), and whether they copy training images.

The paper finds by eye that GAN's images keep noise and stray pixels that convolutions smooth away. Two measures, because these
are two things: grain all over, and single dots.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_lib.errors import DataError

_SIGMAS = (0.0, 0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)  # at which the scale is made
_CLEAN = 1000  # images that the scale is made from
_LIT = 0.25  # of the way from black to white
_COPY_QUANTILE = 0.01  # nearer to a training image than all but this share of images never trained on: as good as a copy
_SAME = 0.5 / 255  # images that differ by less than half a grey level are one image
_PART = 500  # images at a time


def grain(images: Tensor) -> Tensor:
    """How much each image departs from itself with a 3 x 3 median filter: (N,), mean absolute difference, black to white = 1.

    A median takes away what stands alone and leaves edges where they are. images: (N, C, S, S) in [-1, 1].
    """
    return torch.cat([(part - _median(part)).abs().flatten(1).mean(dim=1) / 2 for part in images.split(500)])


def noise_scale(clean: Tensor, seed: int = 0) -> Tensor:
    """The mean grain of clean images (N, C, S, S) with rising Gaussian noise: what noise_level reads its answer from.

    Made from up to 1,000 of them, by noise from a random generator of its own.
    """
    clean = clean[torch.randperm(len(clean), generator=torch.Generator().manual_seed(seed))[:_CLEAN]]
    draw = torch.Generator().manual_seed(seed)
    return torch.stack([grain(add_noise(clean, sigma, draw)).mean() for sigma in _SIGMAS])


def noise_level(images: Tensor, scale: Tensor) -> float:
    """The standard deviation of Gaussian noise, black to white = 1, that gives clean images the mean grain of these images.

    Strokes have a grain of their own, which says nothing: hence the comparison, by the noise_scale() of clean images of the
    same kind. 0 for images with as little grain as clean ones or less (a blur takes grain away), and never above 1.
    """
    value, last = grain(images).mean(), len(_SIGMAS) - 1
    if value <= scale[0]:
        return 0.0
    above = int((scale < value).sum())
    if above > last:
        return _SIGMAS[last]
    part = float((value - scale[above - 1]) / (scale[above] - scale[above - 1]))
    return _SIGMAS[above - 1] + part * (_SIGMAS[above] - _SIGMAS[above - 1])


def stray_pixels(images: Tensor) -> float:
    """Lit pixels with no lit neighbour among the eight around them, a mean number an image; lit: a quarter of white or more.

    Falls again when there are so many that they touch: read it beside the noise level.
    """
    lit = ((images.mean(dim=1, keepdim=True) + 1) / 2 >= _LIT).float()  # (N, 1, S, S)
    around = 9 * F.avg_pool2d(lit, kernel_size=3, stride=1, padding=1) - lit  # six times as fast as a convolution
    return float((lit * (around < 0.5)).sum(dim=(1, 2, 3)).mean())


def add_noise(images: Tensor, sigma: float, draw: torch.Generator) -> Tensor:
    """Images (N, C, S, S) in [-1, 1] plus Gaussian noise of standard deviation sigma, black to white = 1, cut to the range."""
    return (images + 2 * sigma * torch.randn(images.shape, generator=draw)).clamp(-1, 1)


def _median(images: Tensor) -> Tensor:
    """3 x 3 median filter of (N, C, S, S); beyond the edge, the edge's pixels are repeated.

    Each column's three sorted first: the median of nine is that of the largest low, the middle middle and the smallest high
    value. Ten times as fast as sorting all nine.
    """
    height, width = images.shape[-2:]
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    above, here, below = (padded[..., y : y + height, :] for y in range(3))  # (N, C, S, S + 2)
    low, high = torch.minimum(above, here), torch.maximum(above, here)
    lowest, middle, highest = torch.minimum(low, below), _middle(above, here, below), torch.maximum(high, below)

    def beside(columns: Tensor) -> list[Tensor]:
        return [columns[..., x : x + width] for x in range(3)]

    return _middle(torch.stack(beside(lowest)).amax(dim=0), _middle(*beside(middle)), torch.stack(beside(highest)).amin(dim=0))


def _middle(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return torch.maximum(torch.minimum(a, b), torch.minimum(torch.maximum(a, b), c))


class Nearest(NamedTuple):
    """For each of N images, the training image most like it."""

    distance: Tensor  # (N,) root mean square difference of their pixels, black to white = 1
    which: Tensor  # (N,) that training image's index


class Memorisation(NamedTuple):
    """How near generated images come to training images, by the measure of held-out images."""

    distance_ratio: float  # median closeness to the nearest training image, that of held-out images = 1; 0: all are copies
    copies: float  # share closer to a training image than all but 1 % of held-out images; 0.01 for new images like these


class RealCloseness(NamedTuple):
    """How near images that were never trained on come to the training images: what generated ones are held against."""

    spacing: Tensor  # (M,) each training image's distance from the next one that differs from it
    closeness: Tensor  # of those held-out images that are no training image
    duplicates: float  # share of the held-out images that are one


def nearest_images(images: Tensor, train: Tensor) -> Nearest:
    """Which training image (M, C, S, S) is nearest to each image (N, C, S, S), pixel by pixel."""
    nearest = [distances.min(dim=1) for distances in _distances(images, train)]
    return Nearest(torch.cat([part.values for part in nearest]), torch.cat([part.indices for part in nearest]))


def real_closeness(train: Tensor, held_out: Tensor) -> RealCloseness:
    """How near held-out images (N, C, S, S) come to the training images (M, C, S, S).

    Held-out images that repeat a training image are counted and left out. Raises DataError where none is left.
    """
    spacing = torch.cat([apart.masked_fill(apart < _SAME, torch.inf).amin(dim=1) for apart in _distances(train, train)])
    spacing = spacing.where(spacing.isfinite(), 1.0)  # where all training images are one and the same
    distance, which = nearest_images(held_out, train)
    new = distance >= _SAME
    if not new.any():
        raise DataError(f"held-out images must not all be training images too, got {len(held_out):,} that are")
    return RealCloseness(spacing, (distance / spacing[which])[new], 1 - float(new.double().mean()))


def memorisation(generated: Tensor, train: Tensor, real: RealCloseness) -> Memorisation:
    """Do generated images lie closer to the training images than other images of the same kind do?

    Closeness is the distance to the nearest training image over that one's distance from the next training image: ones all look
    alike, so a generator that draws many ones would else seem to copy. A generator that has learnt digits gives a ratio near 1,
    one that hands its training images out near 0. Below 1 alone is no proof: simple or blurred images are close to everything.
    """
    distance, which = nearest_images(generated, train)
    return judge_closeness(distance / real.spacing[which], real)


def judge_closeness(closeness: Tensor, real: RealCloseness) -> Memorisation:
    """The closeness of some images (N,), held against that of images never trained on."""
    return Memorisation(
        distance_ratio=float(closeness.median() / real.closeness.median()),
        copies=float((closeness < real.closeness.quantile(_COPY_QUANTILE)).double().mean()),
    )


def _distances(images: Tensor, train: Tensor) -> Iterator[Tensor]:
    """Root mean square differences of pixels (black to white = 1) of each image from each training image, (n, M) at a time:
    all distances from 60,000 images at once would not fit into memory."""
    flat = train.flatten(1).double()
    for part in images.flatten(1).split(_PART):
        yield torch.cdist(part.double(), flat) / 2 / flat.shape[1] ** 0.5
