"""Classify images: features and class probabilities from a small network whose weights come with the package.

Distances between sets of images use its 100 features. Inception's features are for photographs and need a download.
"""

import hashlib
import json
import secrets
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lib.errors import DataError
from gan_lib.text import first_line

CLASSES = 10
FEATURES = 100
SIDE = 28  # pixels: images of other sizes are scaled to this one before they are judged
CONFIDENT = 0.9  # an image is recognised if one class has this probability; digits.json has the accuracy
WEIGHTS = Path(__file__).parent / "weights" / "digits.safetensors"


class Judgement(NamedTuple):
    """A classifier's features and probabilities of N images."""

    features: Tensor  # (N, 100) float64; on its training images: mean 0, and total variance 100 over all features
    probabilities: Tensor  # (N, K) float64, each row sums to 1; the probability of "no class" is divided evenly


class Classifier(nn.Module):
    """142,835 parameters: two convolutions, each halving the image, a third, and two dense layers."""

    centre: Tensor
    scale: Tensor

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 24, kernel_size=5, stride=2, padding=2),  # (N, 1, 28, 28) -> (N, 24, 14, 14)
            nn.BatchNorm2d(24),
            nn.ReLU(),
            nn.Conv2d(24, 48, kernel_size=3, padding=1),
            nn.BatchNorm2d(48),
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, 48, 7, 7)
            nn.Conv2d(48, 64, kernel_size=3, padding=1),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),  # (N, 64, 4, 4)
            nn.Flatten(),
            nn.Linear(64 * 4 * 4, FEATURES),
            nn.BatchNorm1d(FEATURES),
            nn.ReLU(),
        )
        self.head = nn.Linear(FEATURES, classes + 1)  # the last output is for images of no class
        # They scale the trace of the covariance of real digits to 100.
        self.register_buffer("centre", torch.zeros(FEATURES))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, K + 1) for images (N, C, S, S) in [-1, 1]."""
        return self.head(self.layers(_as_digits(images)))

    @torch.no_grad()
    def judge(self, images: Tensor, batch_size: int = 100) -> Judgement:
        """Return features and probabilities of images (N, C, S, S) in [-1, 1]. Runs in eval mode."""
        was_training = self.training
        self.eval()
        try:
            hidden = torch.cat([self.layers(_as_digits(part)) for part in images.split(batch_size)])
            logits = self.head(hidden)
        finally:
            self.train(was_training)
        known, unknown = logits.double().softmax(dim=1).tensor_split([-1], dim=1)
        return Judgement((hidden.double() - self.centre) / self.scale, known + unknown / known.shape[1])

    def set_scale(self, images: Tensor) -> None:
        """Centre and scale the features, so that those of the given images have mean 0 and variances that sum to 100."""
        self.centre.zero_()
        self.scale.fill_(1)
        features = self.judge(images).features
        self.centre.copy_(features.mean(dim=0))
        self.scale.copy_(features.var(dim=0).mean().sqrt())


def load_classifier(path: Path = WEIGHTS) -> Classifier:
    """Load a classifier in float32 from weights in half precision; by default the MNIST classifier of the package.

    Raises DataError, naming the file, if one is missing or broken, or its SHA-256 is not the recorded one.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    expected = classifier_facts(path)["sha256"]
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"classifier weights {path} cannot be read: {error.strerror}") from error
    if (digest := hashlib.sha256(content).hexdigest()) != expected:
        raise DataError(f"classifier weights {path} must have SHA-256 {expected}, got {digest}")
    try:
        weights = load(content)
        with torch.random.fork_rng(devices=[]):  # building the network draws random weights
            classifier = Classifier(len(weights["head.bias"]) - 1)
        return _take(classifier, weights)
    except (SafetensorError, RuntimeError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read as classifier weights: {first_line(error)}") from error


def classifier_facts(path: Path = WEIGHTS) -> dict[str, Any]:
    """Read how a classifier was trained, its accuracy on unseen images, and its file's SHA-256."""
    path = path.with_suffix(".json")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return {**facts, "sha256": str(facts["sha256"])}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"classifier facts {path} cannot be read ({first_line(error)})") from error


def save_classifier(classifier: Classifier, path: Path, **facts: Any) -> None:
    """Write a classifier in half precision, and beside it a JSON file with its SHA-256 and other facts."""
    from safetensors.torch import save

    content = save({name: _narrow(tensor) for name, tensor in classifier.state_dict().items()})
    text = json.dumps({"sha256": hashlib.sha256(content).hexdigest(), **facts}, indent=2) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    for target, data in ((path, content), (path.with_suffix(".json"), text.encode())):
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
        with temporary.open("xb") as file:  # a new file: a shared cache may contain links
            file.write(data)
        temporary.replace(target)


def round_weights(classifier: Classifier) -> Classifier:
    """Round a classifier's weights to half precision, as if read back from a file."""
    return _take(classifier, {name: _narrow(tensor) for name, tensor in classifier.state_dict().items()})


def _take(classifier: Classifier, weights: dict[str, Tensor]) -> Classifier:
    """Load weights into a classifier, channels last in memory, which is three times as fast on a CPU."""
    classifier.load_state_dict(weights)
    return classifier.to(memory_format=torch.channels_last).eval()


def _narrow(tensor: Tensor) -> Tensor:
    return tensor.half().contiguous() if tensor.is_floating_point() else tensor.contiguous()


def _as_digits(images: Tensor) -> Tensor:
    """Convert images (N, C, S, S) to grey at the classifier's size: (N, 1, 28, 28)."""
    grey = images.mean(dim=1, keepdim=True)
    if grey.shape[-2:] == (SIDE, SIDE):
        return grey
    return F.interpolate(grey, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
