"""Distances between two sets of features: Fréchet, kernel, and by nearest neighbours.

All work in float64 and draw no random numbers.
"""

from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

NEIGHBOURS = 5  # as in Naeem et al. 2020
_PART = 100  # points whose pairs are computed at once: they fit into a processor's cache, which halves the time


class Features:
    """The features (N, F) of a set of images, with values that depend on that set alone, computed at first use."""

    def __init__(self, values: Tensor, neighbours: int = NEIGHBOURS) -> None:
        """neighbours: k; a point's radius is the distance to its k-th neighbour. Raises ValueError for k points or fewer."""
        if len(values) <= neighbours:
            raise ValueError(f"a set must have more than {neighbours} points (neighbours of each), got {len(values)}")
        self.values, self.neighbours = values.double(), neighbours

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def radii(self) -> Tensor:
        """Return each point's distance to its k-th neighbour, (N,)."""
        apart = (torch.cdist(part, self.values) for part in self.values.split(_PART))
        return torch.cat([part.topk(self.neighbours + 1, dim=1, largest=False).values[:, -1] for part in apart])

    @cached_property
    def similarity(self) -> float:
        """Return the mean kernel value of two different points of the set."""
        with_themselves = float(_kernel(self.values.square().sum(dim=1), self.values.shape[1]).sum())
        return (_kernel_sum(self, self) - with_themselves) / len(self) / (len(self) - 1)


def frechet_distance(reference: Features, generated: Features) -> float:
    """Return the Fréchet distance of two Gaussians fitted to the features: |difference of means|² + trace(A + B - 2 (A B)^½).

    In squared units of the features; 0 for equal means and covariances. Its bias is positive and proportional to 1/N + 1/M,
    so compare only values from equal numbers of images. Heusel et al. 2017 use Inception's features and call it FID.
    """
    one, other = (features.values.T.cov() for features in (reference, generated))  # (F, F)
    apart = (reference.values.mean(dim=0) - generated.values.mean(dim=0)).square().sum()
    # The trace of a root is the sum of the roots of the eigenvalues, which are real up to rounding.
    return float(apart + one.trace() + other.trace() - 2 * torch.linalg.eigvals(one @ other).sqrt().real.sum())


def kernel_distance(reference: Features, generated: Features) -> float:
    """Return the squared maximum mean discrepancy with the kernel (x·y / F + 1)³, over all pairs of points.

    Unbiased: its expected value is 0 for two samples of one distribution of any size, so it can be below 0. Bińkowski et al.
    2018 use Inception's features, average over random subsets, and call it KID.
    """
    mean = _kernel_sum(reference, generated) / len(reference) / len(generated)
    return reference.similarity + generated.similarity - 2 * mean


def _kernel_sum(one: Features, other: Features) -> float:
    """Return the sum of the kernel over all pairs of a point of one set and a point of the other."""
    products = (part @ other.values.T for part in one.values.split(_PART))
    return sum(float(_kernel(part, one.values.shape[1]).sum()) for part in products)


def _kernel(products: Tensor, features: int) -> Tensor:
    """Return the kernel from dot products of points with so many features, in their place."""
    return products.div_(features).add_(1).pow_(3)


class Neighbourhoods(NamedTuple):
    """Nearest-neighbour measures. A point is near a set if it lies within the radius of one of the set's points."""

    precision: float  # share of generated points near the reference set: are the images realistic?
    recall: float  # share of reference points near the generated set: are they diverse?
    density: float  # mean number of reference neighbourhoods around a generated point, over 5; 1 for the same distribution
    coverage: float  # share of reference points with a generated one in their neighbourhood; 0.97 for the same distribution


def neighbourhoods(reference: Features, generated: Features) -> Neighbourhoods:
    """Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020).

    The expected coverage of two samples of N points from one distribution is 1 - 2^-neighbours.
    """
    realistic = torch.zeros(len(generated), dtype=torch.bool)
    covered, recalled, pairs = [], [], 0
    for values, radii in zip(reference.values.split(_PART), reference.radii.split(_PART), strict=True):
        apart = torch.cdist(values, generated.values)  # (n, M)
        in_reference = apart < radii.unsqueeze(1)
        realistic |= in_reference.any(dim=0)
        covered.append(in_reference.any(dim=1))
        recalled.append((apart < generated.radii).any(dim=1))
        pairs += int(in_reference.sum())
    return Neighbourhoods(
        precision=_share(realistic),
        recall=_share(torch.cat(recalled)),
        density=pairs / len(generated) / reference.neighbours,
        coverage=_share(torch.cat(covered)),
    )


def _share(yes: Tensor) -> float:
    return float(yes.double().mean())
