"""An interval answers a claim, or it is said why not."""

import pytest

from gan_lib.reporting.stats import FAILS, HOLDS, UNKNOWN, Interval, answer, cannot_be_told, in_words, is_above


@pytest.mark.parametrize(
    ("low", "high", "bound", "found"),
    [(0.1, 2, 0, True), (-2, -0.1, 0, False), (-1, 1, 0, None), (0, 1, 0, None), (0.6, 0.9, 0.5, True), (0.4, 0.6, 0.5, None)],
)
def test_an_interval_that_spans_the_bound_answers_nothing(low: float, high: float, bound: float, found: bool | None) -> None:
    assert is_above(Interval((low + high) / 2, low, high, 3), bound) is found
    assert is_above(None, bound) is None


@pytest.mark.parametrize(
    ("verdicts", "given"),
    [([True, True], HOLDS), ([True, None], UNKNOWN), ([None, None], UNKNOWN), ([True, False], FAILS), ([None, False], FAILS)],
)
def test_all_findings_must_speak_for_a_claim_and_one_against_it_is_enough(verdicts: list[bool | None], given: str) -> None:
    assert answer(verdicts) == given


def test_in_words() -> None:
    assert cannot_be_told(1, 5) == "cannot be told with 1 run: 3 of each are the least"
    assert cannot_be_told(2) == "cannot be told with 2 runs: 3 of each are the least"
    assert cannot_be_told(3, 4) == "cannot be told with 3 runs"
    assert in_words(Interval(0.0212, 0.018, 0.02444, 3), 100) == "2.12 (95% interval 1.80 to 2.44, n = 3)"
