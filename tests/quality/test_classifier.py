"""The shipped classifier is the recorded one, knows digits, and a strange file is refused in one line."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gan_lib.config import RunConfig
from gan_lib.data import Images, load_images
from gan_lib.errors import DataError
from gan_lib.quality.classifier import (
    CONFIDENT,
    FEATURES,
    WEIGHTS,
    Classifier,
    classifier_facts,
    load_classifier,
    round_weights,
    save_classifier,
)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return load_classifier()


@pytest.fixture(scope="module")
def images() -> Images:
    return load_images(RunConfig())


def accuracy(classifier: Classifier, images: Tensor, labels: Tensor | None) -> float:
    assert labels is not None
    return (classifier.judge(images).probabilities.argmax(dim=1) == labels).double().mean().item()


def test_the_shipped_weights_are_small_and_their_facts_say_how_good_they_are() -> None:
    facts = classifier_facts()
    assert WEIGHTS.stat().st_size < 1_000_000
    assert facts["accuracy"] >= 0.98
    assert facts["images"] == 5000
    assert sum(facts["accuracy_of_each_fold"]) / facts["folds"] == pytest.approx(facts["accuracy"], abs=1e-5)
    assert facts["accuracy_of_recognised"] > facts["accuracy"]
    assert facts["junk_recognised"] < 0.02


def test_it_names_the_digits_it_has_learnt_whatever_their_format(classifier: Classifier, images: Images) -> None:
    digits, labels = images.train[::4], images.train_labels[::4] if images.train_labels is not None else None
    assert accuracy(classifier, digits, labels) > 0.99
    assert accuracy(classifier, digits.expand(-1, 3, -1, -1), labels) > 0.99
    twice = torch.nn.functional.interpolate(digits, (56, 56), mode="bilinear")
    assert accuracy(classifier, twice, labels) > 0.97


def test_features_have_the_scale_that_distances_are_stated_in(classifier: Classifier, images: Images) -> None:
    judged = classifier.judge(torch.cat([images.train, images.held_out]))
    assert judged.features.shape == (5000, FEATURES)
    assert judged.features.mean().item() == pytest.approx(0, abs=0.01)
    assert judged.features.var(dim=0).sum().item() == pytest.approx(100, rel=0.01)
    assert judged.probabilities.sum(dim=1).allclose(torch.ones(5000, dtype=torch.float64))


def test_what_is_no_digit_is_not_recognised(classifier: Classifier) -> None:
    draw = torch.Generator().manual_seed(1)
    strange = torch.cat([torch.rand(50, 1, 28, 28, generator=draw) * 2 - 1, torch.full((1, 1, 28, 28), 0.0)])
    assert (classifier.judge(strange).probabilities.amax(dim=1) >= CONFIDENT).double().mean() < 0.05


def test_judging_depends_on_nothing_but_the_image(classifier: Classifier, images: Images) -> None:
    digits = images.train[:30]
    before = torch.get_rng_state()
    whole, parts = classifier.judge(digits), classifier.judge(digits, batch_size=7)
    assert whole.features.allclose(parts.features, atol=1e-4)
    classifier.train()
    assert classifier.judge(digits).features.equal(whole.features)  # in eval mode all the same …
    assert classifier.training  # … and put back
    classifier.eval()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_saved_classifier_comes_back_as_it_was(tmp_path: Path, images: Images) -> None:
    path = tmp_path / "folder" / "some.safetensors"
    kept = round_weights(Classifier())
    save_classifier(kept, path, accuracy=0.5)
    assert classifier_facts(path)["accuracy"] == 0.5
    loaded = load_classifier(path)
    assert loaded.judge(images.train[:5]).features.equal(kept.judge(images.train[:5]).features)
    assert sorted(file.name for file in path.parent.iterdir()) == ["some.json", "some.safetensors"]


def test_a_file_that_is_not_the_recorded_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.safetensors"
    with pytest.raises(DataError, match=r"facts .*some\.json cannot be read"):
        load_classifier(path)
    save_classifier(Classifier(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"\x00\x00")
    with pytest.raises(DataError, match="must have SHA-256"):
        load_classifier(path)
    path.unlink()
    with pytest.raises(DataError, match="cannot be read: No such file"):
        load_classifier(path)
    path.write_bytes(b"no weights")
    digest = hashlib.sha256(b"no weights").hexdigest()
    path.with_suffix(".json").write_text(json.dumps({"sha256": digest}))
    with pytest.raises(DataError, match="cannot be read as classifier weights"):
        load_classifier(path)
