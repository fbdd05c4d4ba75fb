"""The rules, on series whose trailing means can be worked out by hand."""

from collections.abc import Sequence

import pytest

from gan_lib.reporting.convergence import Balance, Plateau, find_balance, find_plateau, median_epoch, roughness, trailing_mean


@pytest.mark.parametrize(("window", "means"), [(2, [1.5, 2.5, 3.5]), (4, [2.5]), (1, [1, 2, 3, 4])])
def test_a_trailing_mean_starts_when_its_window_is_full(window: int, means: list[float]) -> None:
    assert trailing_mean([1, 2, 3, 4], window).tolist() == means


@pytest.mark.parametrize(
    ("d", "g", "balance"),
    [
        ([0.55] * 30, [1.05] * 30, Balance(10, 10, 0)),  # at the first full window
        ([0.55] * 10, [1.05] * 10, Balance(10, 10, 0)),
        ([0.55] * 9, [1.05] * 9, Balance(None, None, None)),  # fewer epochs than the window
        ([], [], Balance(None, None, None)),
        *(([d] * 12, [g] * 12, Balance(10, 10, 0)) for d in (0.5, 0.6) for g in (1.0, 1.1)),  # both ends belong to a band
        # In floating point the mean of 0.55 and 0.65, five times each, is 0.6000000000000001; it still counts as 0.6.
        ([0.55, 0.65] * 6, [1.05] * 12, Balance(10, 10, 0)),
        *(([d] * 12, [1.05] * 12, Balance(None, 10, 0.001)) for d in (0.499, 0.601)),
        *(([0.55] * 12, [g] * 12, Balance(None, 10, 0.001)) for g in (0.999, 1.101)),
        ([0.3, 0.8] * 5, [1.05] * 10, Balance(10, 10, 0)),  # no single epoch is inside, the mean is
        ([2.0] * 9 + [0.55], [1.05] * 10, Balance(None, 10, 1.255)),  # and one epoch inside is no balance
        # G falls from 2 to 1.05 at epoch 6: at epoch 14 one epoch of 2 is left in the window, and its mean is 1.145.
        ([0.55] * 20, [2.0] * 5 + [1.05] * 15, Balance(15, 15, 0)),
        # Both inside, but never at once. Nearest with 8 epochs of the second half: D 0.83 is 0.23 above, G 1.24 is 0.14 above.
        ([0.55] * 20 + [0.9] * 20, [2.0] * 20 + [1.05] * 20, Balance(None, 28, 0.23)),
        ([0.9] * 5 + [0.55] * 20 + [0.9] * 20 + [0.55] * 20, [1.05] * 65, Balance(14, 14, 0)),  # the first of several
    ],
)
def test_balance_is_the_first_epoch_with_both_trailing_means_in_their_bands(
    d: list[float], g: list[float], balance: Balance
) -> None:
    assert find_balance(d, g) == pytest.approx(balance, abs=1e-9)


@pytest.mark.parametrize(
    ("epochs", "median"),
    [([], None), ([None], None), ([30], 30), ([100, 300], 200), ([100, 101], 101), ([100, None], None), ([10, 40, None], 40)],
)
def test_the_median_epoch_is_none_where_half_of_the_runs_never_came_there(epochs: list[int | None], median: int | None) -> None:
    assert median_epoch([Balance(epoch, None, None) for epoch in epochs]) == median


def test_a_loss_that_falls_steadily_is_smooth_and_one_that_jumps_is_not() -> None:
    steady = [10 - 0.01 * epoch for epoch in range(100)]
    assert roughness(steady) == pytest.approx(0.045, abs=1e-9)  # half of what it falls in nine epochs
    assert roughness([2.5, 1.5] * 50) == pytest.approx(0.5, abs=1e-9)
    assert roughness([2.5, 1.5]) == 0


@pytest.mark.parametrize(
    ("epochs", "values", "plateau"),
    [
        # 50 is the first that nothing later is a tenth better than: 46 > 0.9 x 50 = 45.
        ([10, 20, 30, 40, 50], [200, 100, 50, 48, 46], Plateau(30, 50, 46)),
        ([10, 20, 30, 40, 50], [500, 400, 300, 200, 100], Plateau(None, 50, 100)),  # still improving
        ([1, 2, 10], [100, 100, 90], Plateau(1, 10, 90)),  # a tenth better is no improvement
        ([1, 2, 10], [100, 100, 89.9], Plateau(None, 10, 89.9)),  # and a little more is one
        ([10, 80, 100], [500, 100, 100], Plateau(80, 80, 100)),  # a fifth of the run came after it
        ([10, 81, 100], [500, 100, 100], Plateau(None, 81, 100)),  # and here less
        ([300], [5.0], Plateau(None, 300, 5.0)),  # one measurement shows no course
        ([10, 20, 30, 40, 50], [100, 40, 80, 90, 120], Plateau(20, 20, 40)),  # a later turn for the worse
        ([10, 20, 30, 40, 50], [100, 100, 60, 100, 100], Plateau(30, 30, 60)),  # a dip that is not held still counts
        ([1, 2, 3, 4, 5], [0, 0, 0, 0, 0], Plateau(1, 1, 0)),  # zero is improved on by none
    ],
)
def test_quality_settles_at_the_first_value_that_nothing_later_improves_on(
    epochs: Sequence[int], values: Sequence[float], plateau: Plateau
) -> None:
    assert find_plateau(epochs, values) == plateau
