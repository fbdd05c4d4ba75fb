"""Numbers and names as people read them."""

import functools
import math
from typing import Any

import numpy as np
import pytest

from gan_lib.text import duration, exact, nearest, shorten, show


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *[(None, "–"), (math.nan, "–"), (True, "yes"), (False, "no"), ("a name", "a name")],
        *[(0, "0"), (2_950_161, "2,950,161"), (np.int64(1200), "1,200")],  # counted, so in full
        *[(0.0, "0"), (1234.5, "1,230"), (999.6, "1,000"), (37.04, "37.0")],  # measured, so three digits
        *[(0.5, "0.500"), (-0.12345, "-0.123"), (np.float32(0.25), "0.250")],
        *[(0.0009996, "0.00100"), (0.0001, "0.000100"), (0.00001234, "1.23e-05"), (2e15, "2e+15"), (math.inf, "inf")],
    ],
)
def test_a_measured_number_shows_three_digits_and_a_count_all(value: Any, text: str) -> None:
    assert show(value) == text


@pytest.mark.parametrize("value", [1.005, 9.995, 9.9949, 99.95, 0.09996, 123456.0, 5.5e-4])
def test_three_digits_are_never_off_by_more_than_half_a_unit_of_the_third(value: float) -> None:
    third = 10 ** (math.floor(math.log10(value)) - 2)
    assert abs(float(show(value).replace(",", "")) - value) <= third / 2 * (1 + 1e-9)


@pytest.mark.parametrize(
    ("value", "text"),
    [(37, "37"), (0.1, "0.1"), (0.45, "0.45"), (44_400, "44,400"), (2_950_161, "2,950,161"), (11.269, "11.269"), (999, "999")],
)
def test_published_numbers_keep_all_their_digits(value: float, text: str) -> None:
    assert exact(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *[(0, "0 s"), (0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s")],
        *[(3599.4, "59 min 59 s"), (3599.6, "1 h 0 min"), (7500, "2 h 5 min"), (131_100, "36 h 25 min")],
    ],
)
def test_a_duration_carries_its_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "limit", "text"),
    [
        ("abc", 80, "'abc'"),
        ("a" * 78, 80, f"'{'a' * 78}'"),
        ("a" * 79, 80, f"'{'a' * 78}…"),
        ("two\nlines", 80, "'two\\nlines'"),
        ([1, 2, 3], 5, "[1, …"),
        (functools.reduce(lambda inner, _: [inner], range(5000), []), 80, "list beyond all measure"),
    ],
)
def test_a_users_value_is_shown_in_one_short_line(value: object, limit: int, text: str) -> None:
    assert shorten(value, limit) == text
    assert len(shorten(value, limit)) <= limit


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *[("epoch", ": did you mean 'epochs'?"), ("sede", ": did you mean 'seed'?")],
        *[("xyz", ": choose from epochs, seed"), ("", ": choose from epochs, seed")],
    ],
)
def test_the_nearest_known_name_is_offered_or_all_of_them(name: str, text: str) -> None:
    assert nearest(name, iter(["epochs", "seed"])) == text
