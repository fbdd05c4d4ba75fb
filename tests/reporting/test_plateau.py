"""The rule that says when quality no longer improves, on series worked out by hand."""

import pytest

from gan_lib.reporting.convergence import Plateau, find_plateau


def test_a_series_that_falls_and_then_stays() -> None:
    # 50 is the first that nothing later is a tenth better than: 46 > 0.9 x 50 = 45.
    assert find_plateau([10, 20, 30, 40, 50], [200, 100, 50, 48, 46]) == Plateau(30, 50, 46)


def test_the_tolerance_decides_from_both_sides() -> None:
    assert find_plateau([1, 2, 10], [100, 100, 90]).epoch == 1
    assert find_plateau([1, 2, 10], [100, 100, 89.9]).epoch is None
    assert find_plateau([1, 2, 10], [100, 100, 89.9], tolerance=0.2).epoch == 1


def test_a_run_that_still_improves_has_no_plateau() -> None:
    assert find_plateau([10, 20, 30, 40, 50], [500, 400, 300, 200, 100]) == Plateau(None, 50, 100)


def test_a_plateau_counts_only_when_a_fifth_of_the_run_came_after_it() -> None:
    assert find_plateau([10, 80, 100], [500, 100, 100]).epoch == 80
    assert find_plateau([10, 81, 100], [500, 100, 100]).epoch is None
    assert find_plateau([10, 81, 100], [500, 100, 100], settled=0.1).epoch == 81
    assert find_plateau([300], [5.0]) == Plateau(None, 300, 5.0)  # one measurement shows no course


def test_a_later_turn_for_the_worse_does_not_move_the_plateau() -> None:
    assert find_plateau([10, 20, 30, 40, 50], [100, 40, 80, 90, 120]) == Plateau(20, 20, 40)


def test_a_dip_that_is_not_held_still_counts_as_better() -> None:
    assert find_plateau([10, 20, 30, 40, 50], [100, 100, 60, 100, 100]).epoch == 30


def test_a_distance_of_zero_is_improved_on_by_none() -> None:
    assert find_plateau([1, 2, 3, 4, 5], [0, 0, 0, 0, 0]).epoch == 1


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
