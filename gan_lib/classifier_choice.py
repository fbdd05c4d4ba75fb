"""A data set -> the classifier that judges it: the shipped one for digits, one trained on its labels for others, or none."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import torch

from gan_lib.classifier import Classifier, classifier_facts, load_classifier, save_classifier
from gan_lib.classifier_training import EPOCHS, labelled_images, train_classifier
from gan_lib.config import RunConfig
from gan_lib.data import Images, cache_folder
from gan_lib.errors import DataError

_DIGITS = ("digits", "mnist")
_LEARN, _CHECK = 5000, 2000  # labelled images to train on, and others to measure it by


class Choice(NamedTuple):
    """A classifier, or none, and one line that says which or why."""

    classifier: Classifier | None
    about: str


def choose_classifier(config: RunConfig, images: Images) -> Choice:
    """The classifier for a run's images.

    Digits have the one that comes with the package. For another data set with labels one is trained, in about two minutes of
    one core, and kept in the cache folder for the next time. Without labels there is none, and about says so.
    """
    if config.data in _DIGITS:
        accuracy = classifier_facts()["accuracy"]
        return Choice(
            load_classifier(), f"the classifier of digits that comes with gan-lib: {accuracy:.1%} right on unseen digits"
        )
    if images.train_labels is None or images.held_out_labels is None:
        return Choice(
            None, f"no classifier: {config.data} has no labels to train one on, so what needs its features is left out"
        )
    return _trained(config, images)


def _trained(config: RunConfig, images: Images) -> Choice:
    pixels, labels = labelled_images(images)
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))
    learn, check = order[:_LEARN], order[_LEARN : _LEARN + _CHECK]
    if len(check) < _CHECK:  # a small set: a fifth of it to measure by
        learn, check = order[len(order) // 5 :], order[: len(order) // 5]
    key = hashlib.sha256(pixels[order].numpy().tobytes() + labels[order].numpy().tobytes() + bytes([EPOCHS])).hexdigest()
    path = cache_folder() / "classifiers" / f"{config.data}-{key[:16]}.safetensors"
    try:
        classifier, accuracy = load_classifier(path), float(classifier_facts(path)["accuracy"])
    except (DataError, KeyError, TypeError, ValueError):  # not there yet, or not whole: made anew
        classifier = train_classifier(pixels[learn], labels[learn])
        accuracy = (classifier.judge(pixels[check]).probabilities.argmax(dim=1) == labels[check]).double().mean().item()
        _keep(classifier, path, data=config.data, accuracy=accuracy, images=len(learn), epochs=EPOCHS)
    return Choice(
        classifier, f"a classifier trained on {len(learn):,} labelled images of {config.data}: {accuracy:.1%} right on others"
    )


def _keep(classifier: Classifier, path: Path, **facts: Any) -> None:
    try:
        save_classifier(classifier, path, **facts)
    except OSError:  # a cache that cannot be written costs time, no more
        return
