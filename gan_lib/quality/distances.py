"""Distances between two sets of features: Fréchet, kernel, and by nearest neighbours.

All work in float64 and draw no random numbers.
"""

from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

NEIGHBOURS = 5  # as in Naeem et al. 2020


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
        apart = torch.cdist(self.values, self.values)
        return apart.topk(self.neighbours + 1, dim=1, largest=False).values[:, -1]

    @cached_property
    def similarity(self) -> float:
        """Return the mean kernel value of two different points of the set."""
        kernel = _kernel(self, self)
        return float(kernel.sum() - kernel.trace()) / len(self) / (len(self) - 1)


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
    return reference.similarity + generated.similarity - 2 * float(_kernel(reference, generated).mean())


def _kernel(one: Features, other: Features) -> Tensor:
    """Return the kernel of each point of one set with each point of the other, (N, M)."""
    return (one.values @ other.values.T / one.values.shape[1] + 1) ** 3


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
    apart = torch.cdist(reference.values, generated.values)  # (N, M)
    in_reference = apart < reference.radii.unsqueeze(1)
    in_generated = apart < generated.radii.unsqueeze(0)
    return Neighbourhoods(
        precision=_share(in_reference.any(dim=0)),
        recall=_share(in_generated.any(dim=1)),
        density=float(in_reference.sum()) / len(generated) / reference.neighbours,
        coverage=_share(in_reference.any(dim=1)),
    )


def _share(yes: Tensor) -> float:
    return float(yes.double().mean())
