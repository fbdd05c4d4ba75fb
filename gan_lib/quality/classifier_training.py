"""Train a classifier on labelled images and measure its accuracy. The weights in the package were made like this."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_lib.config import RunConfig
from gan_lib.data import Images, cache_folder
from gan_lib.errors import DataError
from gan_lib.quality.classifier import (
    CONFIDENT,
    Classifier,
    classifier_facts,
    load_classifier,
    round_weights,
    save_classifier,
)
from gan_lib.quality.distances import Features, frechet_distance

EPOCHS = 15
_BATCH = 100
_PEAK_RATE = 4e-3
_WEIGHT_DECAY = 0.02
_JUNK = 20  # images of no class added to each batch
# Maximum of an image's rotation in radians, shear, change of size, shift and bend in half image sides.
_DISTORTION = {"rotation": 0.22, "shear": 0.2, "growth": 0.12, "shift": 0.14, "bend": 0.1}
_LEARN, _CHECK = 5000, 2000  # labelled images to train on, and others to measure the accuracy
_RECIPE = (EPOCHS, _BATCH, _PEAK_RATE, _WEIGHT_DECAY, _JUNK, _DISTORTION, _LEARN, _CHECK)


def train_classifier(images: Tensor, labels: Tensor, seed: int = 0, epochs: int = EPOCHS) -> Classifier:
    """Train a classifier on images (N, C, S, S) in [-1, 1] and labels (N,). Reproducible on one kind of processor.

    Every image is distorted anew each epoch. Each batch also contains images of no class (patched, shuffled, or noise), with
    a class of their own. Without it, the classifier would be confident about the output of a broken generator, and the
    features of such junk would lie near those of unusual digits. 5,000 images take about two minutes of one core.
    """
    draw = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]), _single_thread():
        torch.manual_seed(seed)
        classifier = Classifier(int(labels.max()) + 1)
        optimiser = torch.optim.AdamW(classifier.parameters(), lr=_PEAK_RATE, weight_decay=_WEIGHT_DECAY)
        size = min(_BATCH, len(images))
        steps = epochs * (len(images) // size)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _PEAK_RATE, total_steps=steps, pct_start=0.2)
        classifier.train()
        for _ in range(epochs):
            for batch in torch.randperm(len(images), generator=draw).split(size):
                if len(batch) < size:  # skip a smaller last batch; the next epoch has another order
                    continue
                optimiser.zero_grad()
                _loss(classifier, images[batch], labels[batch], draw).backward()
                optimiser.step()
                schedule.step()
        classifier.set_scale(images)
    return round_weights(classifier)


def labelled_images(images: Images) -> tuple[Tensor, Tensor]:
    """Return all images of a data set, training and held-out, (N, C, S, S), and their labels (N,). Raises DataError without."""
    if images.train_labels is None or images.held_out_labels is None:
        raise DataError("the images have no labels, which a classifier learns from")
    return torch.cat([images.train, images.held_out]), torch.cat([images.train_labels, images.held_out_labels])


def _loss(classifier: Classifier, digits: Tensor, labels: Tensor, draw: torch.Generator) -> Tensor:
    """Return the cross-entropy of digits with their labels and of junk with its own class."""
    logits = classifier(torch.cat([distort(digits, draw), junk(digits, _JUNK, draw)]))
    return F.cross_entropy(logits, torch.cat([labels, labels.new_full((_JUNK,), logits.shape[1] - 1)]))


def distort(images: Tensor, draw: torch.Generator) -> Tensor:
    """Distort each image at random (rotation, shear, size, shift, bend), like another person's handwriting."""
    count = len(images)

    def uniform(name: str, *shape: int) -> Tensor:
        return (torch.rand(count, *shape, generator=draw) * 2 - 1) * _DISTORTION[name]

    angle, shear, grow = uniform("rotation"), uniform("shear"), 1 + uniform("growth", 2)
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack([torch.stack([cos, -sin + shear], 1), torch.stack([sin, cos], 1)], 1) * grow.unsqueeze(1)  # (N, 2, 2)
    affine = torch.cat([turn, uniform("shift", 2, 1)], dim=2)  # up to 2 of 28 pixels
    grid = F.affine_grid(affine, list(images.shape), align_corners=False)  # (N, S, S, 2)
    bend = F.interpolate(uniform("bend", 2, 5, 5), images.shape[-2:], mode="bicubic", align_corners=True)
    grid = grid + bend.permute(0, 2, 3, 1)
    return F.grid_sample(images + 1, grid, align_corners=False) - 1  # pixels from outside the image are black, -1


def junk(images: Tensor, count: int, draw: torch.Generator) -> Tensor:
    """Make images of no class (count, C, S, S), count at least 4.

    Half are patched from quarters of four different images, each in a wrong place; a quarter have shuffled pixels; a quarter
    are noise of random brightness and strength.
    """
    half = images.shape[-1] // 2
    chosen = images[torch.randint(len(images), (4, count), generator=draw)]  # (4, count, C, S, S)
    made = chosen[0].roll((half, half), dims=(2, 3))
    made[..., :half, half:] = chosen[1][..., half:, :half]
    made[..., half:, :half] = chosen[2][..., :half, half:]
    made[..., half:, half:] = chosen[3][..., :half, :half]
    quarter = count // 4
    flat = made[:quarter].flatten(2)
    order = torch.rand(quarter, 1, flat.shape[-1], generator=draw).argsort(dim=-1)
    made[:quarter] = flat.gather(2, order.expand_as(flat)).view_as(made[:quarter])
    noise = torch.randn(made[quarter : 2 * quarter].shape, generator=draw)
    brightness, strength = torch.rand(2, quarter, 1, 1, 1, generator=draw)
    made[quarter : 2 * quarter] = (brightness * 2 - 1 + strength * noise).clamp(-1, 1)
    return made


def cross_validate(
    images: Tensor, labels: Tensor, folds: int = 5, seed: int = 0, epochs: int = EPOCHS
) -> dict[str, float | int | list[float]]:
    """Measure the accuracy by cross-validation: each image is classified once, by a classifier that has not seen its fold.

    accuracy: share classified correctly. recognised: share classified with confidence; accuracy_of_recognised: accuracy among
    those. junk_recognised: share of images of no class that are recognised. Last, the Fréchet distance from seen images to
    other seen ones and to unseen ones, in sets of a fold's size: it shows how much it matters that the classifier has seen the
    images. A perfect generator draws unseen images.
    """
    right, sure, junk_sure, seen_distances, unseen_distances = [], [], [], [], []
    for seen, unseen in split_folds(labels, folds, seed):
        classifier = train_classifier(images[seen], labels[seen], seed, epochs)
        features, probabilities = classifier.judge(images[unseen])
        right.append(probabilities.argmax(dim=1) == labels[unseen])
        sure.append(probabilities.amax(dim=1) >= CONFIDENT)
        draw = torch.Generator().manual_seed(seed + 1)
        strange = junk(images[unseen], len(unseen), draw)
        junk_sure.append(classifier.judge(strange).probabilities.amax(dim=1) >= CONFIDENT)
        known = classifier.judge(images[seen[torch.randperm(len(seen), generator=draw)]]).features.split(len(unseen))
        seen_distances.append(frechet_distance(Features(known[0]), Features(known[1])))
        unseen_distances.append(frechet_distance(Features(known[0]), Features(features)))
    all_right, all_sure = torch.cat(right), torch.cat(sure)
    return {
        "images": len(images),
        "folds": folds,
        "accuracy": _share(all_right),
        "accuracy_of_each_fold": [_share(fold) for fold in right],
        "recognised": _share(all_sure),
        "accuracy_of_recognised": _share(all_right[all_sure]),
        "junk_recognised": _share(torch.cat(junk_sure)),
        "frechet_distance_seen": sum(seen_distances) / folds,
        "frechet_distance_unseen": sum(unseen_distances) / folds,
    }


def _share(yes: Tensor) -> float:
    return round(yes.double().mean().item(), 6)


def split_folds(labels: Tensor, folds: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (seen, unseen) indices of each fold. Folds are stratified: each has about the same number of each class."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    order = order[labels[order].argsort(stable=True)]  # class by class, each shuffled
    fold = torch.empty(len(labels), dtype=torch.long)
    fold[order] = torch.arange(len(labels)) % folds
    for number in range(folds):
        yield (fold != number).nonzero().flatten(), (fold == number).nonzero().flatten()


@contextmanager
def _single_thread() -> Iterator[None]:
    """Use one thread, so that sums have the same order and weights are the same on every machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Choice(NamedTuple):
    """A classifier or None, and one line of explanation."""

    classifier: Classifier | None
    about: str


def choose_classifier(config: RunConfig, images: Images) -> Choice:
    """Choose the classifier for a run's images.

    The one for digits comes with the package. For another data set with labels, one is trained in two minutes of one core and
    kept in the cache folder. Without labels it is None, and `about` gives the reason.
    """
    if config.data in ("digits", "mnist"):
        accuracy = classifier_facts()["accuracy"]
        about = f"the classifier of digits that comes with gan-lib: {accuracy:.1%} right on unseen digits"
        return Choice(load_classifier(), about)
    if images.train_labels is None or images.held_out_labels is None:
        about = f"no classifier: {config.data} has no labels to train one on, so what needs its features is left out"
        return Choice(None, about)
    return _trained(config, images)


def _trained(config: RunConfig, images: Images) -> Choice:
    pixels, labels = labelled_images(images)
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))
    learn, check = order[:_LEARN], order[_LEARN : _LEARN + _CHECK]
    if len(check) < _CHECK:  # a small set: a fifth of it for the accuracy
        learn, check = order[len(order) // 5 :], order[: len(order) // 5]
    source = config.data.partition(":")[0]
    path = cache_folder() / "classifiers" / f"{source}-{cache_key(pixels[order], labels[order])}.safetensors"
    try:
        classifier, accuracy = load_classifier(path), float(classifier_facts(path)["accuracy"])
    except (DataError, KeyError, TypeError, ValueError):  # missing or damaged: trained anew
        epochs = max(EPOCHS, EPOCHS * _LEARN // len(learn))  # a small set gets more epochs, for as many steps
        classifier = train_classifier(pixels[learn], labels[learn], epochs=epochs)
        accuracy = (classifier.judge(pixels[check]).probabilities.argmax(dim=1) == labels[check]).double().mean().item()
        with suppress(OSError):  # without a cache, only time is lost
            save_classifier(classifier, path, data=source, accuracy=accuracy, images=len(learn), epochs=epochs)
    about = f"a classifier trained on {len(learn):,} labelled images of {config.data}: {accuracy:.1%} right on others"
    return Choice(classifier, about)


def cache_key(images: Tensor, labels: Tensor) -> str:
    """Return 16 hexadecimal digits that identify a classifier's images, labels, training code and network."""
    with torch.random.fork_rng(devices=[]):
        recipe = repr((_RECIPE, Classifier()))
    return hashlib.sha256(images.numpy().tobytes() + labels.numpy().tobytes() + recipe.encode()).hexdigest()[:16]
