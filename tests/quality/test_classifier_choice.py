"""Which classifier judges which data, and that one line says so."""

from pathlib import Path

import pytest
import torch

from gan_lib.config import RunConfig
from gan_lib.data import Images, load_images
from gan_lib.quality import classifier_training
from gan_lib.quality.classifier import Classifier, load_classifier
from gan_lib.quality.classifier_training import choose_classifier


@pytest.fixture(scope="module")
def images() -> Images:
    return load_images(RunConfig(training_images=200))


@pytest.mark.parametrize("data", ["digits", "mnist"])
def test_digits_have_the_shipped_classifier(data: str, images: Images) -> None:
    found = choose_classifier(RunConfig(data=data), images)
    assert found.classifier is not None
    shipped = load_classifier().state_dict()
    assert all(torch.equal(tensor, shipped[name]) for name, tensor in found.classifier.state_dict().items())
    assert "comes with gan-lib" in found.about and "%" in found.about


def test_images_without_labels_have_none_and_the_line_says_why(images: Images) -> None:
    found = choose_classifier(RunConfig(data="folder:cats"), images._replace(train_labels=None, held_out_labels=None))
    assert found.classifier is None
    assert "folder:cats has no labels" in found.about
    assert "\n" not in found.about


def test_another_data_set_gets_one_of_its_own_once(images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_LIB_DATA", str(tmp_path))
    trained: list[int] = []

    def train(pixels: torch.Tensor, labels: torch.Tensor) -> Classifier:
        trained.append(len(pixels))
        torch.manual_seed(0)
        return Classifier().eval()

    monkeypatch.setattr(classifier_training, "train_classifier", train)
    config = RunConfig(data="fashion-mnist")
    labels = torch.arange(200) % 10
    small = images._replace(held_out=images.held_out[:200], held_out_labels=labels)
    first = choose_classifier(config, small)
    assert trained == [320]  # a fifth of 400 is kept to measure it by
    assert "320 labelled images of fashion-mnist" in first.about
    again = choose_classifier(config, small)
    assert trained == [320]
    assert again.about == first.about
    assert again.classifier is not None
    (weights,) = tmp_path.glob("classifiers/fashion-mnist-*.safetensors")
    weights.write_bytes(b"broken")
    assert choose_classifier(config, small).about == first.about
    assert trained == [320, 320]  # not whole, so made anew
    choose_classifier(config, small._replace(held_out=small.held_out.flip(0)))
    assert len(trained) == 3  # other images, another classifier
