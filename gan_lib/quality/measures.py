"""Images or judgements of images -> numbers. No random generator but its own is touched, and nothing is downloaded."""

from typing import NamedTuple

import torch
from torch import Tensor

from gan_lib.data import Images
from gan_lib.errors import DataError
from gan_lib.quality.classifier import CLASSES, CONFIDENT, Classifier
from gan_lib.quality.distances import NEIGHBOURS, Features, frechet_distance, kernel_distance, neighbourhoods
from gan_lib.quality.pixels import (
    Memorisation,
    judge_closeness,
    memorisation,
    noise_level,
    noise_scale,
    real_closeness,
    stray_pixels,
)

IMAGES = 3000  # that quality is measured on, where there are as many held-out images
FEWEST = 100  # below this, distances between sets are nothing but chance
_MOST_PIXELS = 2**28  # of one side: two gigabytes of them in double precision, as 3,000 of 128 x 128 in colour nearly are

FRECHET = "frechet_distance"
_LOWER, _HIGHER = "lower", "higher"


class Measure(NamedTuple):
    """How a measure is named in tables and figures."""

    name: str  # with its unit
    better: str
    scale: float = 1.0  # what its value is multiplied with: 100 for a share in percent


DIGITS = tuple(f"digit_{digit}" for digit in range(CLASSES))  # each class's share, which tables sum up in two lines
# With classes: the share of each class's images that the classifier takes for it.
ACCURACIES = tuple(f"digit_{digit}_accuracy" for digit in range(CLASSES))
MEASURES = {
    FRECHET: Measure("Fréchet distance (variance of real features = 100)", _LOWER),
    "kernel_distance": Measure("kernel distance (same features)", _LOWER),
    "precision": Measure("precision, % of generated images", _HIGHER, 100),
    "recall": Measure("recall, % of real images", _HIGHER, 100),
    "density": Measure("density (real = 1)", _HIGHER),
    "coverage": Measure("coverage, % of real images", _HIGHER, 100),
    "classifier_score": Measure("classifier score, 1 to 10", _HIGHER),
    "recognisable": Measure("recognisable, % of images", _HIGHER, 100),
    "digit_divergence": Measure("divergence of the digits' shares, bits", _LOWER),
    "noise_level": Measure("noise level, % of black to white", _LOWER, 100),
    "stray_pixels": Measure("stray pixels an image", _LOWER),
    "nearest_distance_ratio": Measure("distance to the nearest training image (held-out = 1)", "near 1; 0: copies"),
    "copies": Measure("copies of training images, % of images", "lower; 1 by chance", 100),
    "rarest_digit": Measure("rarest digit, % of images", "10", 100),
    "most_frequent_digit": Measure("most frequent digit, % of images", "10", 100),
    "class_accuracy": Measure("images of the class asked for, %", _HIGHER, 100),
    **{name: Measure(f"the same for class {digit}, %", _HIGHER, 100) for digit, name in enumerate(ACCURACIES)},
}
# What measure() returns, in this order; with classes also class_accuracy and ACCURACIES.
NAMES = (*(name for name in MEASURES if not name.endswith(("_digit", "_accuracy"))), *DIGITS)


def roc_auc(real: Tensor, generated: Tensor) -> float:
    """How well a discriminator tells real from generated images, whatever threshold one would take.

    real, generated: its beliefs that images are real, (N,) and (M,) in [0, 1]. 1: every real image is believed more than
    every generated one; 0.5: no better than tossing a coin.
    """
    beliefs = generated.sort().values
    lower, not_higher = (torch.searchsorted(beliefs, real, right=right).double().mean() for right in (False, True))
    return float(lower + not_higher) / 2 / len(generated)  # a tie counts as half


def evaluation_size(images: Images) -> int:
    """How many images to generate for measure(): 3,000, or as many as are held out. Raises DataError for fewer than 100."""
    size = min(IMAGES, len(images.waiting))
    if size < FEWEST:
        raise DataError(
            f"held-out images must be at least {FEWEST} (quality is measured against images that were not trained on), "
            f"got {len(images.waiting)}: choose fewer training_images"
        )
    return size


class Standard:
    """What generated images are held against: all that depends on the real images alone is worked out once for a run."""

    def __init__(self, images: Images, classifier: Classifier | None) -> None:
        """classifier: None leaves out what needs one.

        Raises DataError for too few held-out or training images, for images whose distances would not fit into memory, and
        where every held-out image is a training image too.
        """
        self.size = evaluation_size(images)
        pixels = images.train[0].numel() * max(len(images.train), self.size)
        if pixels > _MOST_PIXELS:
            raise DataError(
                f"images to be measured must have at most {_MOST_PIXELS:,} pixels in all (their distances are held in memory), "
                f"got {pixels:,}: choose fewer or smaller ones"
            )
        if len(images.train) <= NEIGHBOURS:
            raise DataError(
                f"training_images must be more than {NEIGHBOURS} for quality to be measured (its floor is what their nearest "
                f"neighbours say), got {len(images.train)}"
            )
        self.images, self.classifier = images, classifier
        held_out = images.held_out
        self._real = real_closeness(images.train, _pick(held_out, self.size))
        self._noise_scale = noise_scale(held_out)
        self._held_out: dict[int, tuple[Features, Tensor]] = {}  # features and histogram of so many held-out images

    @property
    def duplicates(self) -> float:
        """The share of held-out images that are training images too."""
        return self._real.duplicates

    def measure(self, generated: Tensor, labels: Tensor | None = None) -> dict[str, float]:
        """Quality of generated images (N, C, S, S) in [-1, 1], against as many held-out ones, under NAMES.

        labels: (N,), the classes that were asked for, of networks with classes. Distances are from features of real variance
        100: a set collapsed to the mean feature is at a Fréchet distance of 100. Each number means little without its floor().
        3,000 images take about a second on two cores.
        """
        size = min(len(generated), self.size)
        generated, labels = _pick(generated, size), None if labels is None else _pick(labels, size)
        return self._all(generated, memorisation(generated, self.images.train, self._real), labels)

    def floor(self, with_classes: bool = False) -> dict[str, float]:
        """What measure() would give for training images in the place of the generated ones, real against real.

        A little better than the best generator: there are as many of each digit on both sides, and the classifier that ships
        has seen them all (weights/digits.json has what it recognises of digits that it has not seen).

        Both sides must be of one size, so 2,000 training images meet 2,000 held-out ones. The Fréchet distance of two samples
        of one distribution falls with 1/N, so it is multiplied by 2,000 / 3,000 to be the floor of 3,000 images
        (results/quality/sanity.json has the check); other measures do not depend on N. In memorisation, held-out images take
        the generated ones' place: no training image could.
        """
        size, labels = min(self.size, len(self.images.train)), self.images.train_labels
        train, labels = _pick(self.images.train, size), _pick(labels, size) if with_classes and labels is not None else None
        values = self._all(train, judge_closeness(self._real.closeness, self._real), labels)
        if FRECHET in values:
            values[FRECHET] *= size / self.size
        return values

    def _all(self, images: Tensor, copied: Memorisation, labels: Tensor | None) -> dict[str, float]:
        values = self._judge(self.classifier, images, labels) if self.classifier is not None else {}
        values |= {
            "noise_level": noise_level(images, self._noise_scale),
            "stray_pixels": stray_pixels(images),
            "nearest_distance_ratio": copied.distance_ratio,
            "copies": copied.copies,
        }
        return {name: values[name] for name in (*NAMES, "class_accuracy", *ACCURACIES) if name in values}

    def _judge(self, classifier: Classifier, images: Tensor, labels: Tensor | None) -> dict[str, float]:
        """All that a classifier's features and probabilities say of images, beside as many held-out ones."""
        if len(images) not in self._held_out:
            features, probabilities = classifier.judge(_pick(self.images.held_out, len(images)))
            self._held_out[len(images)] = Features(features), digit_histogram(probabilities)
        real, real_histogram = self._held_out[len(images)]
        features, probabilities = classifier.judge(images)
        generated, histogram = Features(features), digit_histogram(probabilities)
        return {
            FRECHET: frechet_distance(real, generated),
            "kernel_distance": kernel_distance(real, generated),
            **neighbourhoods(real, generated)._asdict(),
            "classifier_score": classifier_score(probabilities),
            "recognisable": recognisable(probabilities),
            "digit_divergence": divergence(histogram, real_histogram),
            **(dict(zip(DIGITS, histogram.tolist(), strict=True)) if len(histogram) == CLASSES else {}),
            **(class_accuracy(probabilities, labels) if labels is not None else {}),
        }


def classifier_score(probabilities: Tensor) -> float:
    """exp of the mean Kullback-Leibler divergence of each image's class probabilities (N, 10) from their mean.

    From 1 to 10: every image certain and all classes as frequent gives 10; undecided images, or one class only, give 1.
    Salimans et al. 2016, there with Inception's classes.
    """
    probabilities = probabilities.double()
    entropy_of_mean = torch.special.entr(probabilities.mean(dim=0)).sum()
    mean_entropy = torch.special.entr(probabilities).sum(dim=1).mean()
    return float((entropy_of_mean - mean_entropy).exp())


def recognisable(probabilities: Tensor) -> float:
    """Share of images, by their class probabilities (N, 10), that one class has at least nine tenths of."""
    return float((probabilities.amax(dim=1) >= CONFIDENT).double().mean())


def class_accuracy(probabilities: Tensor, labels: Tensor) -> dict[str, float]:
    """Share of images, by their class probabilities (N, K), that are most like the class asked for, labels (N,): of all
    images, and of those of each of ten classes."""
    right = (probabilities.argmax(dim=1) == labels).double()
    each = {name: float(right[labels == digit].mean()) for digit, name in enumerate(ACCURACIES)}
    return {"class_accuracy": float(right.mean()), **(each if probabilities.shape[1] == CLASSES else {})}


def digit_histogram(probabilities: Tensor) -> Tensor:
    """Share of the images (N, K) that are most like each class: (K,), sums to 1."""
    return probabilities.argmax(dim=1).bincount(minlength=probabilities.shape[1]).double() / len(probabilities)


def divergence(histogram: Tensor, other: Tensor) -> float:
    """The Jensen-Shannon divergence of two histograms (10,), in bits: 0 when they are equal, 1 when they share nothing."""
    from scipy.spatial.distance import jensenshannon

    return float(jensenshannon(histogram.numpy(), other.numpy(), base=2)) ** 2


def _pick(images: Tensor, count: int) -> Tensor:
    """So many of the images, drawn by a fixed seed: files are often in the order of their classes."""
    if count == len(images):
        return images
    return images[torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:count]]
