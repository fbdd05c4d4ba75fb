"""Two sets of features -> how far apart they are: as two clouds (Fréchet, kernel), and point by point (nearest neighbours).

All work in float64 on features (N, F) of reference images and (M, F) of generated ones, and draw no random numbers.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

NEIGHBOURS = 5  # as in Naeem et al. 2020


def frechet_distance(reference: Tensor, generated: Tensor) -> float:
    """The Fréchet distance of two Gaussians fitted to the features: |difference of means|² + trace(A + B - 2 (A B)^½).

    In squared units of the features; 0 for two clouds of the same mean and covariance. Too high by an amount that falls with
    1/N + 1/M, so that only values from as many images compare. Heusel et al. 2017, there on Inception's features as "FID".
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    same = nn.Identity()
    same.num_features = reference.shape[1]  # type: ignore[assignment]
    metric = FrechetInceptionDistance(feature=same)
    metric.update(reference.double(), real=True)
    metric.update(generated.double(), real=False)
    return float(metric.compute())


def kernel_distance(reference: Tensor, generated: Tensor) -> float:
    """The squared maximum mean discrepancy with the kernel (x·y / F + 1)³, from N features each.

    Unbiased: 0 in the mean for two samples of one distribution, whatever N, and so below 0 at times. Bińkowski et al. 2018,
    there on Inception's features as "KID" and averaged over random subsets; here once, over all pairs. Raises ValueError
    when the two sets differ in size.
    """
    from torchmetrics.image.kid import poly_mmd

    if len(reference) != len(generated):
        raise ValueError(f"both sets must be of one size, got {len(reference):,} and {len(generated):,}")
    return float(poly_mmd(reference.double(), generated.double()))


class Neighbourhoods(NamedTuple):
    """What neighbourhoods say: a point is near a set when it is nearer to one of its points than that one's fifth neighbour."""

    precision: float  # share of generated points near the reference set: is what is drawn like the data?
    recall: float  # share of reference points near the generated set: is all of the data drawn?
    density: float  # mean number of reference neighbourhoods round a generated point, over five: 1 for the same distribution
    coverage: float  # share of reference points with a generated one in their neighbourhood; 0.97 for the same distribution


def neighbourhoods(reference: Tensor, generated: Tensor, neighbours: int = NEIGHBOURS) -> Neighbourhoods:
    """Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020).

    Coverage has its own ceiling: two samples of N points from one distribution cover each other to 1 - 2^-neighbours.
    Raises ValueError when a set has no more points than neighbours are asked for.
    """
    if min(len(reference), len(generated)) <= neighbours:
        raise ValueError(f"both sets must have more than {neighbours} points, got {len(reference)} and {len(generated)}")
    reference, generated = reference.double(), generated.double()
    reference_radii, generated_radii = _radii(reference, neighbours), _radii(generated, neighbours)
    apart = torch.cdist(reference, generated)  # (N, M)
    in_reference = apart < reference_radii.unsqueeze(1)
    in_generated = apart < generated_radii.unsqueeze(0)
    return Neighbourhoods(
        precision=_share(in_reference.any(dim=0)),
        recall=_share(in_generated.any(dim=1)),
        density=float(in_reference.double().sum(dim=0).mean()) / neighbours,
        coverage=_share(in_reference.any(dim=1)),
    )


def _radii(points: Tensor, neighbours: int) -> Tensor:
    """Each point's distance from its nth neighbour, (N,); it is itself the first in the list."""
    return torch.cdist(points, points).kthvalue(neighbours + 1, dim=1).values


def _share(yes: Tensor) -> float:
    return float(yes.double().mean())
