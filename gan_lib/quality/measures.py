"""Images or judgements of images -> numbers. No random generator but its own is touched, and nothing is downloaded."""

from typing import NamedTuple

import torch
from torch import Tensor

from gan_lib.data import Images
from gan_lib.errors import DataError
from gan_lib.quality.classifier import CLASSES, CONFIDENT, Classifier, Judgement
from gan_lib.quality.distances import NEIGHBOURS, frechet_distance, kernel_distance, neighbourhoods
from gan_lib.quality.pixels import Memorisation, compared, memorisation, noise_level, noise_scale, stray_pixels, usual

IMAGES = 3000  # that quality is measured on, where there are as many held-out images
FEWEST = 100  # below this, distances between sets are nothing but chance
_MOST_PIXELS = 2**27  # of one side: a gigabyte of them in double precision

# What measure() returns, in the order of a table: is more better (1), less (-1), or is there nothing to be ranked (0)?
DIRECTION = {
    "frechet_distance": -1,
    "kernel_distance": -1,
    "precision": 1,
    "recall": 1,
    "density": 1,
    "coverage": 1,
    "classifier_score": 1,
    "recognisable": 1,
    "digit_divergence": -1,
    "noise_level": -1,
    "stray_pixels": -1,
    "nearest_distance_ratio": 0,
    "copies": -1,
    **{f"digit_{digit}": 0 for digit in range(CLASSES)},
}


def roc_auc(real: Tensor, generated: Tensor) -> float:
    """How well a discriminator tells real from generated images, whatever threshold one would take.

    real, generated: its beliefs that images are real, (N,) and (M,) in [0, 1]. 1: every real image is believed more than
    every generated one; 0.5: no better than tossing a coin.
    """
    from torchmetrics.functional.classification import binary_auroc

    beliefs = torch.cat([real, generated])
    truth = torch.cat([torch.ones(len(real)), torch.zeros(len(generated))]).long()
    return float(binary_auroc(beliefs, truth))


def evaluation_size(images: Images) -> int:
    """How many images to generate for measure(): 3,000, or as many as are held out. Raises DataError for fewer than 100."""
    size = min(IMAGES, len(images.held_out))
    if size < FEWEST:
        raise DataError(
            f"held-out images must be at least {FEWEST} (quality is measured against images that were not trained on), "
            f"got {len(images.held_out)}: choose fewer training_images"
        )
    return size


class Standard:
    """What generated images are held against, made once for all measurements of a run: more than a quarter of each."""

    def __init__(self, images: Images, classifier: Classifier | None) -> None:
        """classifier: None leaves out what needs one. Raises DataError where evaluation_size does, for images so large that
        their distances would not fit into memory, and for so few training images that they have no floor."""
        self.size = evaluation_size(images)
        pixels = images.held_out[0].numel() * max(len(images.train), self.size)
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
        real = _pick(images.held_out, self.size)
        self._usual = usual(images.train, real)
        self._noise_scale = noise_scale(images.held_out)
        self._truths: dict[int, Judgement] = {}  # of so many held-out images

    def measure(self, generated: Tensor) -> dict[str, float]:
        """Quality of generated images (N, C, S, S) in [-1, 1], by the measure of the held-out ones.

        As many held-out images are taken as there are generated ones, or as there are, so that both sides are of one size. The
        names are those of DIRECTION. Distances are from features of real variance 100: a set collapsed to the mean feature is
        at a Fréchet distance of 100. Each number means little without its floor(). Needs no more than one thread, and 3,000
        images take a few seconds.
        """
        generated = _pick(generated, min(len(generated), self.size))
        return self._all(generated, memorisation(generated, self.images.train, self._usual))

    def floor(self) -> dict[str, float]:
        """What measure() would give for training images in the place of the generated ones, real against real.

        That is as good as can be, and a little better: there are as many of each digit on both sides, and the classifier that
        ships has seen them all (weights/digits.json has what it recognises of digits that it has not seen).

        There are 2,000 of them by default, and both sides must be of one size, so they meet 2,000 held-out ones. Most measures
        do not depend on that size. The Fréchet distance of two samples of one distribution does, and in proportion to 1/N, so
        it is multiplied by 2,000 / 3,000 to be the floor of 3,000 images (results/quality/sanity.json has the check, and says
        by how much real digits miss it when they are not as many of each class). In memorisation, held-out images take the
        generated ones' place: no training image could.
        """
        train = _pick(self.images.train, min(self.size, len(self.images.train)))
        found = self._all(train, compared(self._usual.closeness, self._usual))
        if "frechet_distance" in found:
            found["frechet_distance"] *= len(train) / self.size
        return found

    def _all(self, images: Tensor, copied: Memorisation) -> dict[str, float]:
        found = {}
        if self.classifier is not None:
            found = _compare(self._truth(self.classifier, len(images)), self.classifier.judge(images))
        found |= {
            "noise_level": noise_level(images, self._noise_scale),
            "stray_pixels": stray_pixels(images),
            "nearest_distance_ratio": copied.distance_ratio,
            "copies": copied.copies,
        }
        return {name: found[name] for name in DIRECTION if name in found}

    def _truth(self, classifier: Classifier, size: int) -> Judgement:
        if size not in self._truths:
            self._truths[size] = classifier.judge(_pick(self.images.held_out, size))
        return self._truths[size]


def measure(generated: Tensor, images: Images, classifier: Classifier | None) -> dict[str, float]:
    """One measurement, as Standard(images, classifier).measure(generated) makes it."""
    return Standard(images, classifier).measure(generated)


def floor(images: Images, classifier: Classifier | None) -> dict[str, float]:
    """The measures of perfect images, as Standard(images, classifier).floor() makes them."""
    return Standard(images, classifier).floor()


def classifier_score(probabilities: Tensor) -> float:
    """exp of the mean Kullback-Leibler divergence of each image's class probabilities (N, 10) from their mean.

    From 1 to 10: every image certain and all classes as frequent gives 10; undecided images, or one class only, give 1.
    Salimans et al. 2016, there with Inception's classes.
    """
    probabilities = probabilities.double()
    mean = probabilities.mean(dim=0, keepdim=True)
    divergence = torch.xlogy(probabilities, probabilities) - torch.xlogy(probabilities, mean)
    return float(divergence.sum(dim=1).mean().exp())


def recognisable(probabilities: Tensor, confident: float = CONFIDENT) -> float:
    """Share of images, by their class probabilities (N, 10), that one class has at least so much of."""
    return float((probabilities.amax(dim=1) >= confident).double().mean())


def digit_histogram(probabilities: Tensor) -> Tensor:
    """Share of the images (N, 10) that are most like each class: (10,), sums to 1."""
    return probabilities.argmax(dim=1).bincount(minlength=CLASSES).double() / len(probabilities)


def divergence(histogram: Tensor, other: Tensor) -> float:
    """The Jensen-Shannon divergence of two histograms (10,), in bits: 0 when they are equal, 1 when they share nothing."""
    middle = (histogram + other) / 2
    parts = [(torch.xlogy(one, one) - torch.xlogy(one, middle)).sum() for one in (histogram, other)]
    return float(sum(parts)) / 2 / torch.log(torch.tensor(2.0, dtype=torch.float64)).item()


def _compare(truth: Judgement, drawn: Judgement) -> dict[str, float]:
    """All that a classifier's features and probabilities say of two sets of one size, real ones and generated ones."""
    histogram = digit_histogram(drawn.probabilities)
    return {
        "frechet_distance": frechet_distance(truth.features, drawn.features),
        "kernel_distance": kernel_distance(truth.features, drawn.features),
        **neighbourhoods(truth.features, drawn.features)._asdict(),
        "classifier_score": classifier_score(drawn.probabilities),
        "recognisable": recognisable(drawn.probabilities),
        "digit_divergence": divergence(histogram, digit_histogram(truth.probabilities)),
        **{f"digit_{digit}": float(share) for digit, share in enumerate(histogram)},
    }


def _pick(images: Tensor, count: int) -> Tensor:
    """So many of the images, drawn by a fixed seed: files are often in the order of their classes."""
    if count == len(images):
        return images
    return images[torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:count]]


FRECHET = "frechet_distance"


class Measure(NamedTuple):
    """How a measure is told to people."""

    name: str  # with its unit
    better: str
    scale: float = 1.0  # what its value is multiplied with: 100 for a share in percent


_LOWER, _HIGHER = "lower", "higher"
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
}
