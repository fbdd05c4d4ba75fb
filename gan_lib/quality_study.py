"""What does each measure of quality make of digits with known damage? Measured, as a record for results/quality/sanity.json."""

import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from gan_lib.classifier import CLASSES, Classifier
from gan_lib.classifier_training import labelled_images
from gan_lib.config import RunConfig
from gan_lib.damage import add_noise, blur, keep_digits, with_noisy_copies
from gan_lib.data import Images, load_images
from gan_lib.distances import frechet_distance
from gan_lib.metrics import floor, measure

IMAGES = 1000  # in each set: with four of ten digits kept there are not many more
DAMAGE: dict[str, tuple[float, ...]] = {
    "noise": (0, 0.02, 0.05, 0.1, 0.2, 0.4),  # standard deviation, black to white = 1
    "blur": (0, 0.5, 0.75, 1, 1.5, 2),  # standard deviation, pixels
    "digits removed": (0, 1, 2, 3, 4, 5, 6),  # of ten
    "copies": (0, 0.1, 0.25, 0.5, 0.75, 1),  # share of training images among them
}
_SIZES = (250, 500, 1000, 1500, 2000, 2500)


def three_parts() -> tuple[Images, Tensor, Tensor]:
    """The 5,000 digits in three parts, as many of each class: 1,000 to be the training images and 1,000 the held-out ones of an
    Images, and the other 3,000, (3000, 1, 28, 28) with their labels, to be damaged."""
    split = load_images(RunConfig(training_images=1000))
    labels = labelled_images(split)[1][len(split.train) :]
    fourth = torch.arange(len(labels)) % 4 == 0  # in the order of the file, which is that of the classes
    images = split._replace(held_out=split.held_out[fourth], held_out_labels=labels[fourth])
    return images, split.held_out[~fourth], labels[~fourth]


def damaged(kind: str, level: float, images: Images, pool: Tensor, labels: Tensor, count: int = IMAGES) -> Tensor:
    """So many digits (count, 1, 28, 28) of the pool, with one kind and level of DAMAGE. Raises ValueError for another kind."""
    if kind == "digits removed":
        return keep_digits(pool, labels, 10 - int(level), count)
    digits = keep_digits(pool, labels, 10, count)
    if kind == "noise":
        return add_noise(digits, level, torch.Generator().manual_seed(1))
    if kind == "blur":
        return blur(digits, level)
    if kind == "copies":
        copies = round(level * count)
        order = torch.randperm(len(images.train), generator=torch.Generator().manual_seed(1))
        return torch.cat([images.train[order[:copies]], digits[copies:]])
    raise ValueError(f"kind must be one of {', '.join(DAMAGE)}, got {kind!r}")


def study(classifier: Classifier) -> dict[str, Any]:
    """Every measure under every DAMAGE, its floor, two sets that precision and recall tell apart, and what the size of the sets
    does to the Fréchet distance: all from the default digits."""
    images, pool, labels = three_parts()
    curves = {}
    for kind, levels in DAMAGE.items():
        measured = [measure(damaged(kind, level, images, pool, labels), images, classifier) for level in levels]
        curves[kind] = {"level": list(levels), **_columns(measured)}
    return {
        "images": IMAGES,
        "floor": _rounded(floor(images, classifier)),
        "damage": curves,
        "told_apart": told_apart(images, pool, labels, classifier),
        "frechet_distance_by_size": {
            "as many of each digit": by_size(classifier),
            "drawn at random": by_size(classifier, balanced=False),
        },
    }


def told_apart(images: Images, pool: Tensor, labels: Tensor, classifier: Classifier) -> dict[str, dict[str, float]]:
    """Three sets of 300: digits as they are; one digit only, drawn well; and all ten digits, half of them drawn badly."""
    digits = keep_digits(pool, labels, 10, 300)
    sets = {
        "digits": digits,
        "one digit only": keep_digits(pool, labels, 1, 300),
        "digits and noisy copies": with_noisy_copies(digits, 0.4, torch.Generator().manual_seed(1)),
    }
    return {name: _rounded(measure(chosen, images, classifier)) for name, chosen in sets.items()}


def by_size(classifier: Classifier, sizes: Iterable[int] = _SIZES, balanced: bool = True) -> dict[str, list[float]]:
    """The Fréchet distance of real digits from other real digits by the size of both sets; and times that size, which is the
    same each time if the distance is nothing but the error of the size. balanced: as many of each class, as in a floor, or
    drawn at random, as a generator draws them."""
    images, labels = labelled_images(load_images(RunConfig()))
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    if balanced:
        by_class = order[labels[order].argsort(stable=True)].view(CLASSES, -1)  # (10, 500)
        order = by_class.T.flatten()  # one of each class in turn
    features = classifier.judge(images[order]).features
    sizes = list(sizes)
    distances = [frechet_distance(features[:size], features[-size:]) for size in sizes]
    return {
        "size": list(map(float, sizes)),
        "frechet_distance": [round(distance, 4) for distance in distances],
        "times_size": [round(distance * size) for distance, size in zip(distances, sizes, strict=True)],
    }


def seconds_per_evaluation(
    classifier: Classifier, threads: Iterable[int] = (1, 2), rounds: int = 3, count: int = 3000
) -> dict[str, dict[str, list[float]]]:
    """How long measure() takes for so many images against as many, by the number of threads; after one round to warm up.

    wall: seconds on the clock; cpu: seconds of all threads together, which busy neighbours lengthen less.
    """
    images = load_images(RunConfig())
    generated = add_noise(images.held_out[:count], 0.1, torch.Generator().manual_seed(1))
    before = torch.get_num_threads()
    found = {}
    try:
        for number in threads:
            torch.set_num_threads(number)
            timed = [_timed(lambda: measure(generated, images, classifier)) for _ in range(rounds + 1)][1:]
            found[str(number)] = {"wall": [wall for wall, _ in timed], "cpu": [cpu for _, cpu in timed]}
    finally:
        torch.set_num_threads(before)
    return found


def _timed(work: Callable[[], Any]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return round(time.perf_counter() - wall, 2), round(time.process_time() - cpu, 2)


def _columns(lines: list[dict[str, float]]) -> dict[str, list[float]]:
    return {name: [_rounded(line)[name] for line in lines] for name in lines[0]}


def _rounded(values: dict[str, float]) -> dict[str, float]:
    """To six digits: the rest differs from one processor to the next."""
    return {name: float(f"{value:.6g}") for name, value in values.items()}
