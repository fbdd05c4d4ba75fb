"""The rule, on curves whose trailing means can be worked out by hand."""

import math

import pytest

from gan_lib.reporting.convergence import (
    WINDOW,
    Balance,
    Plateau,
    find_balance,
    find_plateau,
    median_epoch,
    roughness,
    trailing_mean,
)
from gan_lib.reporting.paper import Band


def test_a_trailing_mean_starts_when_its_window_is_full() -> None:
    assert trailing_mean([1, 2, 3, 4], 2).tolist() == [1.5, 2.5, 3.5]
    assert trailing_mean([1, 2, 3, 4], 4).tolist() == [2.5]
    assert trailing_mean([1, 2], 1).tolist() == [1, 2]


def test_balance_from_the_start_is_found_at_the_first_full_window() -> None:
    assert find_balance([0.55] * 30, [1.05] * 30) == Balance(WINDOW, WINDOW, 0.0) == Balance(10, 10, 0.0)
    assert find_balance([0.55] * 30, [1.05] * 30, window=3).epoch == 3
    assert find_balance([0.55] * 3, [1.05] * 3, window=3).epoch == 3  # exactly one window


@pytest.mark.parametrize("d", [0.5, 0.6])
@pytest.mark.parametrize("g", [1.0, 1.1])
def test_both_ends_of_a_band_belong_to_it(d: float, g: float) -> None:
    assert find_balance([d] * 12, [g] * 12).epoch == 10
    # In floating point the mean of 0.55 and 0.65, five times each, is 0.6000000000000001; it still counts as 0.6.
    assert find_balance([0.55, 0.65] * 6, [g] * 12).epoch == 10


@pytest.mark.parametrize(("d", "g"), [(0.499, 1.05), (0.601, 1.05), (0.55, 0.999), (0.55, 1.101)])
def test_just_outside_a_band_is_outside(d: float, g: float) -> None:
    found = find_balance([d] * 12, [g] * 12)
    assert found.epoch is None
    assert found.nearest_distance == pytest.approx(0.001, abs=1e-9)


def test_the_mean_over_the_window_decides_and_not_a_single_epoch() -> None:
    # D jumps between 0.3 and 0.8: never inside the band itself, its mean over two epochs always is.
    assert find_balance([0.3, 0.8] * 5, [1.05] * 10, window=2).epoch == 2
    # One epoch inside after nine far outside is no balance.
    assert find_balance([2.0] * 9 + [0.55], [1.05] * 10, window=10).epoch is None


def test_balance_comes_when_the_window_has_left_what_was_outside() -> None:
    # G falls from 2 to 1.05 at epoch 6. Means over 3 epochs: (2 + 2 * 1.05) / 3 = 1.37 at epoch 7, 1.05 at epoch 8.
    assert find_balance([0.55] * 12, [2.0] * 5 + [1.05] * 7, window=3).epoch == 8


def test_both_losses_must_be_inside_at_the_same_time() -> None:
    d, g = [0.55] * 5 + [0.9] * 5, [2.0] * 5 + [1.05] * 5
    found = find_balance(d, g, window=1)
    assert found.epoch is None
    # Distances: max(0, 2 - 1.1) = 0.9 in the first half, max(0.9 - 0.6, 0) = 0.3 in the second.
    assert found.nearest_epoch == 6
    assert found.nearest_distance == pytest.approx(0.3, abs=1e-9)


def test_the_first_of_several_balances_is_the_answer() -> None:
    d = [0.9, 0.55, 0.9, 0.55]
    assert find_balance(d, [1.05] * 4, window=1) == Balance(2, 2, 0.0)


def test_never_reached_says_how_near_it_came_and_when() -> None:
    found = find_balance([0.65, 0.62, 0.7], [1.05] * 3, window=1)
    assert (found.epoch, found.nearest_epoch) == (None, 2)
    assert found.nearest_distance == pytest.approx(0.02, abs=1e-9)


def test_fewer_epochs_than_the_window_have_no_answer() -> None:
    assert find_balance([0.55] * 9, [1.05] * 9) == Balance(None, None, None)
    assert find_balance([], []) == Balance(None, None, None)


def test_the_bands_can_be_others() -> None:
    undecided = [math.log(2)] * 10
    assert find_balance(undecided, undecided).epoch is None
    band = Band(0.69, 0.70)
    assert find_balance(undecided, undecided, discriminator_band=band, generator_band=band).epoch == 10


def test_a_window_below_1_or_series_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"window must be at least 1 .* got 0"):
        find_balance([0.5], [1.0], window=0)
    with pytest.raises(ValueError, match="one value an epoch, got 2 and 3"):
        find_balance([0.5] * 2, [1.0] * 3)


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


# When quality no longer improves.


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
    epochs: list[int], values: list[float], plateau: Plateau
) -> None:
    assert find_plateau(epochs, values) == plateau


def test_the_tolerance_and_the_share_that_must_follow_can_be_given() -> None:
    assert find_plateau([1, 2, 10], [100, 100, 89.9], tolerance=0.2).epoch == 1
    assert find_plateau([10, 81, 100], [500, 100, 100], settled=0.1).epoch == 81


@pytest.mark.parametrize(
    ("epochs", "values", "words"),
    [
        ([], [], "at least one epoch"),
        ([1, 2], [1.0], "got 2 and 1"),
        ([2, 2], [1.0, 1.0], "epochs must rise"),
        ([1, 2], [1.0, -0.1], "not below 0"),
        ([1, 2], [1.0, float("nan")], "finite"),
    ],
)
def test_nonsense_is_refused(epochs: list[int], values: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        find_plateau(epochs, values)
