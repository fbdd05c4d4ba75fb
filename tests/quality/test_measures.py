"""The judge's power to tell real from generated, and quality: cases counted by hand, and known damage to digits."""

import math

import pytest
import torch
from torch import Tensor

from gan_lib.data import Images
from gan_lib.errors import DataError
from gan_lib.quality.classifier import Classifier, load_classifier
from gan_lib.quality.measures import (
    NAMES,
    Standard,
    class_accuracy,
    classifier_score,
    digit_histogram,
    divergence,
    evaluation_size,
    recognisable,
    roc_auc,
)
from gan_lib.studies.measure_check import damaged, three_parts, told_apart

Parts = tuple[Images, Tensor, Tensor]


@pytest.fixture(scope="module")
def parts() -> Parts:
    return three_parts()


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return load_classifier()


@pytest.mark.parametrize(
    ("real", "generated", "area"),
    [
        ([0.9, 0.8], [0.1, 0.2, 0.3], 1.0),
        ([0.1, 0.2], [0.8, 0.9], 0.0),
        ([0.5, 0.5], [0.5, 0.5, 0.5], 0.5),  # nothing but ties
        ([0.2, 0.8], [0.4, 0.6], 0.5),  # 2 of 4 pairs in order
        ([0.3, 0.8], [0.2, 0.5], 0.75),  # 3 of 4
        ([0.4, 0.8], [0.4, 0.1], 0.875),  # 3 of 4, and a tie counts half
        ([0.6], [0.1, 0.2, 0.3, 0.7], 0.75),  # groups of different size
    ],
)
def test_the_area_is_the_share_of_pairs_in_order(real: list[float], generated: list[float], area: float) -> None:
    found = roc_auc(torch.tensor(real), torch.tensor(generated))
    assert found == pytest.approx(area, abs=1e-6)


def certain(classes: list[int]) -> Tensor:
    return torch.nn.functional.one_hot(torch.tensor(classes), 10).double()


def test_the_classifier_score_by_hand() -> None:
    assert classifier_score(certain([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])) == pytest.approx(10)
    assert classifier_score(certain([3] * 10)) == pytest.approx(1)  # one digit only
    assert classifier_score(torch.full((10, 10), 0.1)) == pytest.approx(1)  # never certain
    assert classifier_score(certain([0, 0, 7, 7])) == pytest.approx(2)


def test_what_is_recognisable_is_what_one_class_has_nine_tenths_of() -> None:
    lines = torch.tensor([[0.9, 0.1], [0.89, 0.11], [0.5, 0.5], [0.0, 1.0]])
    assert recognisable(lines) == 0.5


def test_histograms_and_their_divergence_by_hand() -> None:
    assert digit_histogram(certain([1, 1, 2, 9])).tolist() == [0, 0.5, 0.25, 0, 0, 0, 0, 0, 0, 0.25]
    even, one, other = torch.full((10,), 0.1).double(), certain([4])[0], certain([5])[0]
    assert divergence(even, even) == pytest.approx(0, abs=1e-12)
    assert divergence(one, other) == pytest.approx(1)  # nothing in common: one bit tells which it is
    # One digit of ten: (log2(1 / 0.55) + 0.1 log2(0.1 / 0.55) + 0.9 log2(2)) / 2
    by_hand = (math.log2(1 / 0.55) + 0.1 * math.log2(0.1 / 0.55) + 0.9) / 2
    assert divergence(one, even) == divergence(even, one) == pytest.approx(by_hand)


def test_class_accuracy_is_the_share_of_images_of_the_class_that_was_asked_for() -> None:
    asked = torch.arange(10).repeat(2)
    drawn = asked.clone()
    drawn[[1, 11, 13]] = 7  # both ones are sevens, and one of the threes
    found = class_accuracy(certain(drawn.tolist()), asked)
    by_digit = {f"digit_{digit}_accuracy": {1: 0.0, 3: 0.5}.get(digit, 1.0) for digit in range(10)}
    assert found == {"class_accuracy": pytest.approx(0.85), **by_digit}
    assert class_accuracy(torch.eye(3), torch.tensor([0, 1, 1])) == {"class_accuracy": pytest.approx(2 / 3)}


def test_real_digits_are_at_their_floor(parts: Parts, classifier: Classifier) -> None:
    standard = Standard(parts[0], classifier)
    found, least = standard.measure(damaged("noise", 0, *parts)), standard.floor()
    assert list(found) == list(least) == list(NAMES)
    assert standard.duplicates == 0
    assert found["frechet_distance"] == pytest.approx(least["frechet_distance"], rel=0.35)
    assert abs(found["kernel_distance"]) < 0.02 and abs(least["kernel_distance"]) < 0.02
    for name in ("precision", "recall", "coverage", "recognisable"):
        assert found[name] == pytest.approx(least[name], abs=0.05), name
    assert found["density"] == pytest.approx(1, abs=0.1)
    assert found["classifier_score"] > 9
    assert found["digit_divergence"] < 0.01
    assert found["noise_level"] < 0.01
    assert found["nearest_distance_ratio"] == pytest.approx(1, abs=0.06)
    assert found["copies"] < 0.03
    assert sum(found[f"digit_{digit}"] for digit in range(10)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("kind", "levels", "names"),
    [
        ("noise", (0, 0.05, 0.15, 0.3), ("frechet_distance", "kernel_distance", "noise_level", "-coverage", "-density")),
        ("blur", (0, 0.75, 1.25, 2), ("frechet_distance", "kernel_distance", "-coverage", "-recognisable")),
        ("digits removed", (0, 2, 4, 6), ("frechet_distance", "kernel_distance", "digit_divergence", "-recall", "-coverage")),
        ("copies", (0, 0.25, 0.5, 1), ("copies", "-nearest_distance_ratio")),
    ],
)
def test_each_damage_makes_its_measures_worse_the_more_of_it_there_is(
    kind: str, levels: tuple[float, ...], names: tuple[str, ...], parts: Parts, classifier: Classifier
) -> None:
    images = parts[0]._replace(waiting=parts[0].held_out[::2])  # in the order of their classes: still as many of each
    standard = Standard(images, classifier)
    found = [standard.measure(damaged(kind, level, *parts, count=500)) for level in levels]
    for name in names:
        values = [line[name.lstrip("-")] * (-1 if name.startswith("-") else 1) for line in found]
        assert values == sorted(values) and len(set(values)) == len(values), (name, values)


def test_precision_and_recall_tell_apart_what_is_missing_and_what_is_badly_drawn(parts: Parts, classifier: Classifier) -> None:
    sets = told_apart(*parts[1:], Standard(parts[0], classifier))
    usual, one, noisy = (sets[name] for name in ("digits", "one digit only", "digits and noisy copies"))
    assert one["precision"] > 0.9 * usual["precision"]
    assert one["recall"] < 0.3 < 0.8 < usual["recall"]
    assert noisy["precision"] < 0.6 * usual["precision"]
    assert noisy["recall"] > 0.9 * usual["recall"]


def test_without_a_classifier_what_needs_none_is_measured_all_the_same(parts: Parts) -> None:
    images, pool, _ = parts
    names = ["noise_level", "stray_pixels", "nearest_distance_ratio", "copies"]
    standard = Standard(images, None)
    assert list(standard.measure(pool[::30])) == list(standard.floor()) == names


def test_measuring_is_the_same_each_time_and_leaves_the_global_generator_alone(parts: Parts, classifier: Classifier) -> None:
    images, pool, _ = parts
    before = torch.get_rng_state()
    kept = Standard(images, classifier)
    assert kept.measure(pool[::10]) == kept.measure(pool[::10]) == Standard(images, classifier).measure(pool[::10])
    assert torch.equal(torch.get_rng_state(), before)


def test_the_number_of_images_to_generate_is_that_of_the_held_out_ones_or_3000(parts: Parts) -> None:
    images = parts[0]
    assert evaluation_size(images) == 1000
    assert evaluation_size(images._replace(waiting=images.held_out.repeat(4, 1, 1, 1))) == 3000
    with pytest.raises(DataError, match=r"held-out images must be at least 100 .*, got 99"):
        evaluation_size(images._replace(waiting=images.held_out[:99]))
    with pytest.raises(DataError, match=r"training_images=100 .*batch_size=100"):
        evaluation_size(images._replace(train=images.train[:180], waiting=images.held_out[:20]))
