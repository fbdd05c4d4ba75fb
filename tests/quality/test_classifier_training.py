"""The recipe learns, the same each time, and is measured on images that it has not seen."""

import pytest
import torch

from gan_lib.config import RunConfig
from gan_lib.data import Images, load_images
from gan_lib.errors import DataError
from gan_lib.quality.classifier_training import cross_validate, distort, junk, labelled_images, split_folds, train_classifier


@pytest.fixture(scope="module")
def images() -> Images:
    return load_images(RunConfig(training_images=400))


def draw(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_short_training_learns_and_gives_the_same_bits_again(images: Images) -> None:
    assert images.train_labels is not None and images.held_out_labels is not None
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    first, again = (train_classifier(images.train, images.train_labels, epochs=4) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert all(map(torch.equal, first.state_dict().values(), again.state_dict().values()))
    found = first.judge(images.held_out[::20]).probabilities.argmax(dim=1)
    assert (found == images.held_out_labels[::20]).double().mean() > 0.4  # one in ten by chance


def test_every_image_is_unseen_once_and_each_fold_has_as_many_of_each_class() -> None:
    labels = torch.arange(10).repeat(20)
    folds = list(split_folds(labels, 5, seed=3))
    assert torch.cat([unseen for _, unseen in folds]).sort().values.equal(torch.arange(200))
    for seen, unseen in folds:
        assert not set(seen.tolist()) & set(unseen.tolist())
        assert labels[unseen].bincount().tolist() == [4] * 10


def test_cross_validation_returns_shares_and_both_distances(images: Images) -> None:
    assert images.train_labels is not None
    found = cross_validate(images.train[::2], images.train_labels[::2], folds=4, epochs=1)
    assert found["images"] == 200
    assert isinstance(found["accuracy_of_each_fold"], list)
    assert sum(found["accuracy_of_each_fold"]) / 4 == pytest.approx(found["accuracy"], abs=1e-5)
    for name in ("accuracy", "recognised", "junk_recognised"):
        assert 0 <= float(found[name]) <= 1  # type: ignore[arg-type]
    for name in ("frechet_distance_seen", "frechet_distance_unseen"):
        assert float(found[name]) > 0  # type: ignore[arg-type]


def test_a_distorted_digit_is_the_same_digit_a_little_different(images: Images) -> None:
    digits = images.train[:50]
    bent = distort(digits, draw())
    assert bent.shape == digits.shape
    assert bent.min() >= -1 and bent.max() <= 1
    ink, was = (bent + 1).sum(dim=(1, 2, 3)), (digits + 1).sum(dim=(1, 2, 3))
    assert (ink / was).median().item() == pytest.approx(1, abs=0.1)
    assert not torch.equal(bent, digits)
    assert torch.equal(bent, distort(digits, draw()))


def test_junk_keeps_the_format_and_is_drawn_anew_each_time(images: Images) -> None:
    made = junk(images.train, 20, draw())
    assert made.shape == (20, 1, 28, 28)
    assert made.min() >= -1 and made.max() <= 1
    assert not torch.equal(made, junk(images.train, 20, draw(2)))


def test_images_without_labels_are_refused(images: Images) -> None:
    pixels, labels = labelled_images(images)
    assert len(pixels) == len(labels) == 5000
    with pytest.raises(DataError, match="no labels"):
        labelled_images(images._replace(held_out_labels=None))
