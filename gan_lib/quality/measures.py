"""Measures of image quality. They use their own random generators and download nothing."""

from typing import NamedTuple

import torch
from torch import Tensor

from gan_lib.config import RunConfig
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

IMAGES = 3000  # to measure quality on, if enough images are held out
FEWEST = 100  # with fewer, distances between sets are mostly chance
_MOST_PIXELS = 2**28  # of one set: two gigabytes in double precision, nearly 3,000 colour images of 128 x 128

FRECHET = "frechet_distance"
_LOWER, _HIGHER = "lower", "higher"


class Measure(NamedTuple):
    """The name of a measure in tables and figures."""

    name: str  # with its unit
    better: str
    scale: float = 1.0  # its value is multiplied by this: 100 for a share in percent


DIGITS = tuple(f"digit_{digit}" for digit in range(CLASSES))  # each class's share, which tables sum up in two lines
# With classes: the share of each class's images that the classifier assigns to it.
ACCURACIES = tuple(f"digit_{digit}_accuracy" for digit in range(CLASSES))
MEASURES = {
    FRECHET: Measure("Fréchet distance (variance of real features = 100)", _LOWER),
    "kernel_distance": Measure("kernel distance (same features)", _LOWER),
    "precision": Measure("precision, % of generated images", _HIGHER, 100),
    "recall": Measure("recall, % of real images", _HIGHER, 100),
    "density": Measure("density (real = 1)", _HIGHER),
    "coverage": Measure("coverage, % of real images", _HIGHER, 100),
    "classifier_score": Measure("classifier score, 1 to the number of classes", _HIGHER),
    "recognisable": Measure("recognisable, % of images", _HIGHER, 100),
    "digit_divergence": Measure("divergence of the classes' shares, bits", _LOWER),
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
    """Return the area under the ROC curve of a discriminator (AUC), which does not depend on a threshold.

    real, generated: its beliefs that images are real, (N,) and (M,) in [0, 1]. 1: every real image gets a higher belief than
    every generated one; 0.5: no better than chance.
    """
    beliefs = generated.sort().values
    lower, not_higher = (torch.searchsorted(beliefs, real, right=right).double().mean() for right in (False, True))
    return float(lower + not_higher) / 2 / len(generated)  # a tie counts as half


def evaluation_size(images: Images) -> int:
    """Return how many images to generate: 3,000, or as many as are held out. Raises DataError for fewer than 100."""
    size = min(IMAGES, len(images.waiting))
    if size < FEWEST:
        fewer = len(images.train) + len(images.waiting) - FEWEST
        smaller = f", with batch_size={fewer} or less" if fewer < RunConfig.model_fields["batch_size"].default else ""
        way_out = f": training_images={fewer} leaves as many{smaller}" if fewer > NEIGHBOURS else ""
        raise DataError(
            f"held-out images must be at least {FEWEST} (quality is measured against images that were not trained on), "
            f"got {len(images.waiting)}{way_out}"
        )
    return size


class Standard:
    """The real images that generated ones are compared with. Values of the real images are computed once per run."""

    def __init__(self, images: Images, classifier: Classifier | None) -> None:
        """classifier: None leaves out the measures that need one.

        Raises DataError for too few held-out or training images, for too many pixels to keep in memory, and if every held-out
        image is also a training image.
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
        """Return the share of held-out images that are also training images."""
        return self._real.duplicates

    def measure(self, generated: Tensor, labels: Tensor | None = None) -> dict[str, float]:
        """Measure generated images (N, C, S, S) in [-1, 1] against as many held-out ones. The keys are NAMES.

        labels: (N,), the requested classes, for networks with classes. Real features have a total variance of 100, so a set
        collapsed to the mean feature has a Fréchet distance of 100. Compare each number with its floor(). 3,000 images take
        about a second on two cores.
        """
        size = min(len(generated), self.size)
        generated, labels = _pick(generated, size), None if labels is None else _pick(labels, size)
        return self._all(generated, memorisation(generated, self.images.train, self._real), labels)

    def floor(self, with_classes: bool = False) -> dict[str, float]:
        """Measure training images in place of generated ones: real against real.

        A little better than a perfect generator: both sides have equal numbers of each digit, and the package's classifier has
        seen all of them (weights/digits.json has its accuracy on unseen digits).

        Both sides must have one size, so 2,000 training images meet 2,000 held-out ones. The Fréchet distance of two samples
        of one distribution falls with 1/N, so it is multiplied by 2,000 / 3,000 for a floor of 3,000 images
        (checked in results/quality/sanity.json); other measures do not depend on N. Memorisation uses held-out images in place
        of generated ones, because training images would all be copies.
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
        """Compute all measures that need a classifier, against as many held-out images."""
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
    """Return exp of the mean Kullback-Leibler divergence of each image's class probabilities (N, 10) from their mean.

    From 1 to 10: 10 if every image is certain and all classes are equally frequent; 1 if all images are undecided or of one
    class. The inception score of Salimans et al. 2016, with digits instead of Inception's classes.
    """
    probabilities = probabilities.double()
    entropy_of_mean = torch.special.entr(probabilities.mean(dim=0)).sum()
    mean_entropy = torch.special.entr(probabilities).sum(dim=1).mean()
    return float((entropy_of_mean - mean_entropy).exp())


def recognisable(probabilities: Tensor) -> float:
    """Return the share of images with a class probability, of (N, 10), of at least 0.9."""
    return float((probabilities.amax(dim=1) >= CONFIDENT).double().mean())


def class_accuracy(probabilities: Tensor, labels: Tensor) -> dict[str, float]:
    """Return the share of images whose most probable class, of (N, K), is the requested one, labels (N,): over all images, and
    over each of ten classes."""
    right = (probabilities.argmax(dim=1) == labels).double()
    each = {name: float(right[labels == digit].mean()) for digit, name in enumerate(ACCURACIES)}
    return {"class_accuracy": float(right.mean()), **(each if probabilities.shape[1] == CLASSES else {})}


def digit_histogram(probabilities: Tensor) -> Tensor:
    """Return the share of images (N, K) by most probable class: (K,), sums to 1."""
    return probabilities.argmax(dim=1).bincount(minlength=probabilities.shape[1]).double() / len(probabilities)


def divergence(histogram: Tensor, other: Tensor) -> float:
    """Return the Jensen-Shannon divergence of two histograms (10,), in bits: 0 if equal, 1 if disjoint."""
    from scipy.spatial.distance import jensenshannon

    return float(jensenshannon(histogram.numpy(), other.numpy(), base=2)) ** 2


def _pick(images: Tensor, count: int) -> Tensor:
    """Draw `count` images with a fixed seed, because files are often ordered by class."""
    if count == len(images):
        return images
    return images[torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:count]]
