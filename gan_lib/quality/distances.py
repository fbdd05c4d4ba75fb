"""Two sets of features -> how far apart they are: as two clouds (Fréchet, kernel), and point by point (nearest neighbours).

All work in float64 and draw no random numbers.
"""

from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

NEIGHBOURS = 5  # as in Naeem et al. 2020


class Features:
    """The features (N, F) of a set of images, and what depends on that set alone: worked out at first use, then kept."""

    def __init__(self, values: Tensor, neighbours: int = NEIGHBOURS) -> None:
        """neighbours: whose distance is a point's radius. Raises ValueError when there are no more points than that."""
        if len(values) <= neighbours:
            raise ValueError(f"a set must have more than {neighbours} points (neighbours of each), got {len(values)}")
        self.values, self.neighbours = values.double(), neighbours

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def radii(self) -> Tensor:
        """Each point's distance from its nth neighbour, (N,); it is itself the first in the list."""
        apart = torch.cdist(self.values, self.values)
        return apart.topk(self.neighbours + 1, dim=1, largest=False).values[:, -1]

    @cached_property
    def similarity(self) -> float:
        """The mean kernel value of two different points of the set."""
        kernel = _kernel(self, self)
        return float(kernel.sum() - kernel.trace()) / len(self) / (len(self) - 1)


def frechet_distance(reference: Features, generated: Features) -> float:
    """The Fréchet distance of two Gaussians fitted to the features: |difference of means|² + trace(A + B - 2 (A B)^½).

    In squared units of the features; 0 for two clouds of the same mean and covariance. Too high by an amount that falls with
    1/N + 1/M, so that only values from as many images compare. Heusel et al. 2017, there on Inception's features as "FID".
    """
    one, other = (features.values.T.cov() for features in (reference, generated))  # (F, F)
    apart = (reference.values.mean(dim=0) - generated.values.mean(dim=0)).square().sum()
    # The trace of a root is the sum of the roots of the eigenvalues, which are real up to rounding.
    return float(apart + one.trace() + other.trace() - 2 * torch.linalg.eigvals(one @ other).sqrt().real.sum())


def kernel_distance(reference: Features, generated: Features) -> float:
    """The squared maximum mean discrepancy with the kernel (x·y / F + 1)³, over all pairs of points.

    Unbiased: 0 in the mean for two samples of one distribution, whatever their size, and so below 0 at times. Bińkowski et al.
    2018, there on Inception's features as "KID" and averaged over random subsets.
    """
    return reference.similarity + generated.similarity - 2 * float(_kernel(reference, generated).mean())


def _kernel(one: Features, other: Features) -> Tensor:
    """The kernel of each point of one set with each of the other, (N, M)."""
    return (one.values @ other.values.T / one.values.shape[1] + 1) ** 3


class Neighbourhoods(NamedTuple):
    """What neighbourhoods say: a point is near a set when it is nearer to one of its points than that one's fifth neighbour."""

    precision: float  # share of generated points near the reference set: is what is drawn like the data?
    recall: float  # share of reference points near the generated set: is all of the data drawn?
    density: float  # mean number of reference neighbourhoods round a generated point, over five: 1 for the same distribution
    coverage: float  # share of reference points with a generated one in their neighbourhood; 0.97 for the same distribution


def neighbourhoods(reference: Features, generated: Features) -> Neighbourhoods:
    """Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020).

    Coverage has its own ceiling: two samples of N points from one distribution cover each other to 1 - 2^-neighbours.
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
