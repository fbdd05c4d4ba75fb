"""Distances of features that can be worked out by hand."""

import pytest
import torch
from torch import Tensor

from gan_lib.quality.distances import NEIGHBOURS, Features, frechet_distance, kernel_distance, neighbourhoods


def points(count: int, seed: int, spread: float = 1.0, at: float = 0.0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, 4, generator=draw, dtype=torch.float64) * spread + at


def cloud(count: int, seed: int, at: float = 0.0) -> Features:
    return Features(points(count, seed, at=at))


def exactly(mean: list[float], spread: list[float]) -> Features:
    """Points whose mean and standard deviations (unbiased) are exactly these, without covariance: ± each axis."""
    axes = len(mean)
    unit = torch.cat([torch.eye(axes), -torch.eye(axes)]).double()
    unit = unit / unit.var(dim=0).sqrt()
    return Features(unit * torch.tensor(spread) + torch.tensor(mean), neighbours=1)


def test_the_frechet_distance_of_two_gaussians_by_hand() -> None:
    a, b = exactly([0.0, 0.0], [1.0, 2.0]), exactly([3.0, 4.0], [2.0, 2.0])
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    # |(3, 4)|² = 25, and (1 - 2)² + (2 - 2)² = 1 for the spreads
    assert frechet_distance(a, b) == pytest.approx(26, abs=1e-9)
    assert frechet_distance(b, a) == pytest.approx(26, abs=1e-9)


def test_the_frechet_distance_sees_a_covariance_that_single_features_hide() -> None:
    line = torch.linspace(-1, 1, 101, dtype=torch.float64)
    line = line / line.var().sqrt()
    along, across = (Features(torch.stack([line, other], dim=1)) for other in (line, -line))
    # Each feature has mean 0 and variance 1 in both. A B is 0, so the distance is trace(A) + trace(B) = 4.
    assert frechet_distance(along, across) == pytest.approx(4, abs=1e-6)


def test_the_frechet_distance_of_two_samples_falls_with_their_size() -> None:
    means = [sum(frechet_distance(cloud(n, seed), cloud(n, seed + 50)) for seed in range(20)) / 20 for n in (200, 400, 800)]
    assert means[0] / means[1] == pytest.approx(2, rel=0.25)  # in proportion to 1 / N, which floor() makes use of
    assert means[1] / means[2] == pytest.approx(2, rel=0.25)


def test_distances_are_those_of_torchmetrics() -> None:
    from torchmetrics.image.fid import _compute_fid
    from torchmetrics.image.kid import poly_kernel

    one, other = points(300, 1), points(200, 2, spread=0.5, at=1)
    moments = [moment for values in (one, other) for moment in (values.mean(dim=0), values.T.cov())]
    assert frechet_distance(Features(one), Features(other)) == pytest.approx(float(_compute_fid(*moments)), rel=1e-9)
    among = [(poly_kernel(values, values).sum() - poly_kernel(values, values).trace()) / len(values) for values in (one, other)]
    expected = among[0] / 299 + among[1] / 199 - 2 * poly_kernel(one, other).mean()
    assert kernel_distance(Features(one), Features(other)) == pytest.approx(float(expected), rel=1e-9)


def test_the_kernel_distance_by_hand() -> None:
    # One feature, so the kernel is (x y + 1)³. Among themselves: k(1, 1) = 8 in one set, k(0, 0) = 1 in the other; between: 1.
    ones, zeros = Features(torch.ones(3, 1), neighbours=1), Features(torch.zeros(3, 1), neighbours=1)
    assert kernel_distance(ones, zeros) == pytest.approx(8 + 1 - 2 * 1, abs=1e-9)
    assert kernel_distance(ones, ones) == pytest.approx(0, abs=1e-9)


def test_the_kernel_distance_of_one_distribution_is_zero_in_the_mean_and_not_by_being_cut_off() -> None:
    found = torch.tensor([kernel_distance(cloud(100, seed), cloud(100, seed + 100)) for seed in range(60)])
    assert found.min() < 0 < found.max()
    assert abs(found.mean()) < 3 * found.std() / 60**0.5
    assert kernel_distance(cloud(100, 1), cloud(100, 2, at=0.5)) > found.max()


def test_identical_sets_are_all_near_each_other() -> None:
    assert neighbourhoods(cloud(200, 1), cloud(200, 1)) == (1, 1, 1, 1)


def test_sets_far_apart_are_near_nowhere() -> None:
    assert neighbourhoods(cloud(50, 1), cloud(50, 2, at=100)) == (0, 0, 0, 0)


def test_neighbourhoods_on_a_line_by_hand() -> None:
    # One neighbour. Reference 0, 1, 3: radii 1, 1, 2. Generated 0.5, 10, 10.5: radii 9.5, 0.5, 0.5.
    sets = ([[0.0], [1.0], [3.0]], [[0.5], [10.0], [10.5]])
    found = neighbourhoods(*(Features(torch.tensor(values), neighbours=1) for values in sets))
    assert found.precision == pytest.approx(1 / 3)  # 0.5 alone is inside
    assert found.recall == 1  # all lie within 9.5 of 0.5
    assert found.density == pytest.approx(2 / 3)  # 0.5 is inside two neighbourhoods: 2.5 from 3 is too far
    assert found.coverage == pytest.approx(2 / 3)  # those of 0 and of 1


def test_two_samples_of_one_distribution_have_the_ceiling_that_theory_gives() -> None:
    found = [neighbourhoods(cloud(400, seed), cloud(400, seed + 10)) for seed in range(5)]
    coverage, density = (sum(getattr(each, name) for each in found) / 5 for name in ("coverage", "density"))
    assert coverage == pytest.approx(1 - 2**-NEIGHBOURS, abs=0.015)
    assert density == pytest.approx(1, abs=0.05)


def test_what_is_drawn_and_what_is_missed_are_told_apart() -> None:
    two = Features(torch.cat([points(100, 1), points(100, 2, at=20)]))
    one = cloud(200, 3)  # one of two kinds, drawn well
    found = neighbourhoods(two, one)
    assert found.precision > 0.9
    assert found.recall < 0.55
    assert found.coverage < 0.55
    wide = torch.cat([points(100, 4, spread=8), points(100, 5, spread=8, at=20)])  # both kinds, drawn badly
    found = neighbourhoods(two, Features(wide))
    assert found.precision < 0.3
    assert found.recall > 0.9


def test_a_set_has_more_points_than_neighbours() -> None:
    with pytest.raises(ValueError, match=r"more than 5 points .*, got 5"):
        cloud(5, 1)
