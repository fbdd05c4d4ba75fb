"""Measure the noise of images, and whether they copy training images.

The paper sees, by eye, noise and stray pixels in GAN's images that convolutions smooth away. Grain over the whole image and
single dots are two different things, so each has its own measure.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_lib.errors import DataError

_SIGMAS = (0.0, 0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)  # noise levels of the scale
_CLEAN = 1000  # images that the scale is computed from
_LIT = 0.25  # of the way from black to white
_COPY_QUANTILE = 0.01  # a copy is nearer to a training image than all but this share of held-out images
_SAME = 0.5 / 255  # images that differ by less than half a grey level are one image
_PART = 500  # images at a time


def grain(images: Tensor) -> Tensor:
    """Return each image's mean absolute difference from its 3 x 3 median filter: (N,), black to white = 1.

    A median filter removes single pixels and keeps edges. images: (N, C, S, S) in [-1, 1].
    """
    return torch.cat([(part - _median(part)).abs().flatten(1).mean(dim=1) / 2 for part in images.split(500)])


def noise_scale(clean: Tensor, seed: int = 0) -> Tensor:
    """Return the mean grain of clean images (N, C, S, S) at increasing Gaussian noise, the scale for noise_level.

    Uses up to 1,000 images, and noise from its own random generator.
    """
    clean = clean[torch.randperm(len(clean), generator=torch.Generator().manual_seed(seed))[:_CLEAN]]
    draw = torch.Generator().manual_seed(seed)
    return torch.stack([grain(add_noise(clean, sigma, draw)).mean() for sigma in _SIGMAS])


def noise_level(images: Tensor, scale: Tensor) -> float:
    """Return the standard deviation of Gaussian noise, black to white = 1, that gives clean images the same mean grain.

    Strokes have grain even without noise, so it is compared with the noise_scale() of clean images of the same kind.
    0 for images with no more grain than clean ones (a blur removes grain), and at most 1.
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
    """Return the mean number per image of lit pixels without a lit neighbour among the eight around; lit: at least 0.25.

    With very many lit pixels they touch, and the number falls again: read it beside the noise level.
    """
    lit = ((images.mean(dim=1, keepdim=True) + 1) / 2 >= _LIT).float()  # (N, 1, S, S)
    around = 9 * F.avg_pool2d(lit, kernel_size=3, stride=1, padding=1) - lit  # six times as fast as a convolution
    return float((lit * (around < 0.5)).sum(dim=(1, 2, 3)).mean())


def add_noise(images: Tensor, sigma: float, draw: torch.Generator) -> Tensor:
    """Add Gaussian noise of standard deviation sigma (black to white = 1) to images (N, C, S, S), clipped to [-1, 1]."""
    return (images + 2 * sigma * torch.randn(images.shape, generator=draw)).clamp(-1, 1)


def _median(images: Tensor) -> Tensor:
    """Apply a 3 x 3 median filter to (N, C, S, S). Beyond the edge, the edge's pixels are repeated.

    Each column's three values are sorted first. The median of nine is then the median of three: the maximum of the lows, the
    median of the middles, and the minimum of the highs. Ten times as fast as sorting all nine.
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
    """The nearest training image of each of N images."""

    distance: Tensor  # (N,) root mean square difference of their pixels, black to white = 1
    which: Tensor  # (N,) that training image's index


class Memorisation(NamedTuple):
    """How near generated images are to training images, compared with held-out images."""

    distance_ratio: float  # median closeness to the nearest training image; 1: as held-out images; 0: all are copies
    copies: float  # share closer to a training image than all but 1 % of held-out images; 0.01 by chance


class RealCloseness(NamedTuple):
    """How near held-out images are to the training images, for comparison with generated ones."""

    spacing: Tensor  # (M,) each training image's distance to the nearest different training image
    closeness: Tensor  # of the held-out images that are not training images
    duplicates: float  # share of held-out images that are also training images


def nearest_images(images: Tensor, train: Tensor) -> Nearest:
    """Find the nearest training image (M, C, S, S) of each image (N, C, S, S), pixel by pixel."""
    nearest = [distances.min(dim=1) for distances in _distances(images, train)]
    return Nearest(torch.cat([part.values for part in nearest]), torch.cat([part.indices for part in nearest]))


def real_closeness(train: Tensor, held_out: Tensor) -> RealCloseness:
    """Compare held-out images (N, C, S, S) with the training images (M, C, S, S).

    Held-out images that repeat a training image are counted and left out. Raises DataError if none remains.
    """
    spacing = torch.cat([apart.masked_fill(apart < _SAME, torch.inf).amin(dim=1) for apart in _distances(train, train)])
    spacing = spacing.where(spacing.isfinite(), 1.0)  # if all training images are equal
    distance, which = nearest_images(held_out, train)
    new = distance >= _SAME
    if not new.any():
        raise DataError(f"held-out images must not all be training images too, got {len(held_out):,} that are")
    return RealCloseness(spacing, (distance / spacing[which])[new], 1 - float(new.double().mean()))


def memorisation(generated: Tensor, train: Tensor, real: RealCloseness) -> Memorisation:
    """Compare how close generated and held-out images are to the training images.

    Closeness is the distance to the nearest training image, divided by that image's distance to its own nearest neighbour in
    the training set. Without the division, a generator of many ones would seem to copy, because all ones look alike. The ratio
    is near 1 for a generator that has learnt digits, and near 0 for one that returns its training images. A ratio below 1 is
    no proof by itself: simple or blurred images are close to every image.
    """
    distance, which = nearest_images(generated, train)
    return judge_closeness(distance / real.spacing[which], real)


def judge_closeness(closeness: Tensor, real: RealCloseness) -> Memorisation:
    """Compare the closeness of images (N,) with that of held-out images."""
    return Memorisation(
        distance_ratio=float(closeness.median() / real.closeness.median()),
        copies=float((closeness < real.closeness.quantile(_COPY_QUANTILE)).double().mean()),
    )


def _distances(images: Tensor, train: Tensor) -> Iterator[Tensor]:
    """Yield root mean square pixel differences (black to white = 1) between images and training images, (n, M) at a time.

    All distances to 60,000 images would not fit into memory at once.
    """
    flat = train.flatten(1).double()
    for part in images.flatten(1).split(_PART):
        yield torch.cdist(part.double(), flat) / 2 / flat.shape[1] ** 0.5
