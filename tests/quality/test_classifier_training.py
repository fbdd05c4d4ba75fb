"""The recipe learns, the same each time, and is measured on images that it has not seen; each data set has its classifier."""

from pathlib import Path

import pytest
import torch

from gan_lib.config import RunConfig
from gan_lib.data import Images, load_images
from gan_lib.errors import DataError
from gan_lib.quality import classifier_training
from gan_lib.quality.classifier import Classifier, load_classifier
from gan_lib.quality.classifier_training import (
    choose_classifier,
    cross_validate,
    distort,
    junk,
    labelled_images,
    split_folds,
    train_classifier,
)
from gan_lib.quality.measures import DIGITS, Standard


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


@pytest.mark.parametrize("data", ["digits", "mnist"])
def test_digits_have_the_shipped_classifier(data: str, images: Images) -> None:
    found = choose_classifier(RunConfig(data=data), images)
    assert found.classifier is not None
    assert all(map(torch.equal, found.classifier.state_dict().values(), load_classifier().state_dict().values()))


def test_images_without_labels_have_none_and_the_line_says_why(images: Images) -> None:
    found = choose_classifier(RunConfig(data="folder:cats"), images._replace(train_labels=None, held_out_labels=None))
    assert found.classifier is None
    assert "folder:cats has no labels" in found.about


def test_another_data_set_gets_one_of_its_own_once(images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_LIB_DATA", str(tmp_path))
    trained: list[int] = []

    def train(pixels: torch.Tensor, labels: torch.Tensor, epochs: int) -> Classifier:
        trained.append(len(pixels))
        return Classifier().eval()

    monkeypatch.setattr(classifier_training, "train_classifier", train)
    config = RunConfig(data="fashion-mnist")
    small = images._replace(waiting=images.held_out[:400], held_out_labels=torch.arange(400) % 10)
    first = choose_classifier(config, small)
    assert trained == [640]  # a fifth of 800 is kept to measure it by
    assert "640 labelled images of fashion-mnist" in first.about
    again = choose_classifier(config, small)
    assert trained == [640]
    assert again.about == first.about
    (weights,) = tmp_path.glob("classifiers/fashion-mnist-*.safetensors")
    weights.write_bytes(b"broken")
    assert choose_classifier(config, small).classifier is not None
    assert trained == [640] * 2  # not whole, so made anew
    choose_classifier(config, small._replace(waiting=small.held_out.flip(0)))
    assert trained == [640] * 3  # other images, another classifier
    monkeypatch.setattr(classifier_training, "_RECIPE", "another rate")
    choose_classifier(config, small)
    assert trained == [640] * 4  # another recipe, too


def test_class_folders_have_one_of_as_many_classes(images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_LIB_DATA", str(tmp_path))
    monkeypatch.setattr(classifier_training, "EPOCHS", 1)
    monkeypatch.setattr(classifier_training, "_LEARN", 160)
    labels = torch.arange(100) % 3
    few = images._replace(train=images.train[:100], train_labels=labels, waiting=images.held_out[:100], held_out_labels=labels)
    config = RunConfig(data="folder:/of/photographs")
    for _ in range(2):  # trained, then from its file
        classifier = choose_classifier(config, few).classifier
        assert classifier is not None
        probabilities = classifier.judge(few.held_out).probabilities
        assert probabilities.shape == (100, 3)
        assert probabilities.sum(dim=1).tolist() == pytest.approx([1] * 100)
    assert len([*(tmp_path / "classifiers").glob("folder-*.safetensors")]) == 1
    measured = Standard(few, classifier).measure(few.train)
    assert 1 <= measured["classifier_score"] <= 3 and {"frechet_distance", "precision"} <= measured.keys()
    assert not any(name in measured for name in DIGITS)
