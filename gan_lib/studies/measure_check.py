"""What does each measure of quality make of digits with known damage? Measured, as a record for results/quality/sanity.json."""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_lib.config import RunConfig
from gan_lib.data import Images, load_images
from gan_lib.quality.classifier import CLASSES, Classifier, classifier_facts, load_classifier
from gan_lib.quality.classifier_training import labelled_images
from gan_lib.quality.distances import Features, frechet_distance
from gan_lib.quality.measures import Standard
from gan_lib.quality.pixels import add_noise
from gan_lib.reporting.style import FAINT, LABEL, Chart, set_title, tidy
from gan_lib.runs.machine import Neighbours, fingerprint
from gan_lib.runs.record import RunFolder
from gan_lib.text import show

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
    images = split._replace(waiting=split.held_out[fourth], held_out_labels=labels[fourth])
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


def blur(images: Tensor, sigma: float) -> Tensor:
    """Images (N, C, S, S) under a Gaussian blur of a standard deviation of sigma pixels; 0 leaves them as they are."""
    if sigma == 0:
        return images
    reach = int(3 * sigma) + 1
    weights = torch.exp(-(torch.arange(-reach, reach + 1, dtype=images.dtype) ** 2) / (2 * sigma**2))
    weights = (weights / weights.sum()).expand(images.shape[1], 1, 1, -1)  # (C, 1, 1, 2 reach + 1)
    light = F.conv2d(images + 1, weights, padding=(0, reach), groups=len(weights))  # + 1: beyond the edge it is black
    light = F.conv2d(light, weights.mT, padding=(reach, 0), groups=len(weights))
    return (light - 1).clamp(-1, 1)


def keep_digits(images: Tensor, labels: Tensor, digits: int, count: int) -> Tensor:
    """So many images (count, C, S, S) of the first so many digits, none twice, drawn by a fixed seed."""
    kept = images[labels < digits]
    if len(kept) < count:
        raise ValueError(f"there are only {len(kept)} images of the first {digits} digits, {count} wanted")
    return kept[torch.randperm(len(kept), generator=torch.Generator().manual_seed(0))[:count]]


def with_noisy_copies(images: Tensor, sigma: float, draw: torch.Generator) -> Tensor:
    """As many images as given: the first half of them, and a noisy copy of each of these."""
    half = images[: len(images) // 2]
    return torch.cat([half, add_noise(half, sigma, draw)])


def study(classifier: Classifier) -> dict[str, Any]:
    """Every measure under every DAMAGE, its floor, two sets that precision and recall tell apart, and what the size of the sets
    does to the Fréchet distance: all from the default digits."""
    images, pool, labels = three_parts()
    standard = Standard(images, classifier)
    curves = {}
    for kind, levels in DAMAGE.items():
        lines = [_rounded(standard.measure(damaged(kind, level, images, pool, labels))) for level in levels]
        curves[kind] = {"level": list(levels), **{name: [line[name] for line in lines] for name in lines[0]}}
    return {
        "images": IMAGES,
        "floor": _rounded(standard.floor()),
        "damage": curves,
        "told_apart": told_apart(pool, labels, standard),
        "frechet_distance_by_size": {
            "as many of each digit": by_size(classifier),
            "drawn at random": by_size(classifier, balanced=False),
        },
    }


def told_apart(pool: Tensor, labels: Tensor, standard: Standard) -> dict[str, dict[str, float]]:
    """Three sets of 300: digits as they are; one digit only, drawn well; and all ten digits, half of them drawn badly."""
    digits = keep_digits(pool, labels, 10, 300)
    sets = {
        "digits": digits,
        "one digit only": keep_digits(pool, labels, 1, 300),
        "digits and noisy copies": with_noisy_copies(digits, 0.4, torch.Generator().manual_seed(1)),
    }
    return {name: _rounded(standard.measure(chosen)) for name, chosen in sets.items()}


def by_size(classifier: Classifier, sizes: Iterable[int] = _SIZES, balanced: bool = True) -> dict[str, list[float]]:
    """The Fréchet distance of real digits from other real digits by the size of both sets; and times that size, which is the
    same each time if the distance is nothing but the error of the size. balanced: as many of each class, as in a floor, or
    drawn at random, as a generator draws them."""
    images, labels = labelled_images(load_images(RunConfig()))
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    if balanced:
        order = order[labels[order].argsort(stable=True)].view(CLASSES, -1).T.flatten()  # one of each class in turn
    features = classifier.judge(images[order]).features
    distances = {size: frechet_distance(Features(features[:size]), Features(features[-size:])) for size in sizes}
    return {
        "size": list(map(float, distances)),
        "frechet_distance": [round(distance, 4) for distance in distances.values()],
        "times_size": [round(distance * size) for size, distance in distances.items()],
    }


def seconds_per_evaluation(
    classifier: Classifier, threads: Iterable[int] = (1, 2), rounds: int = 3, count: int = 3000
) -> dict[str, dict[str, list[float]]]:
    """How long one evaluation takes for so many images against as many, by the number of threads; after one round to warm up.

    wall: seconds on the clock; cpu: seconds of all threads together, which busy neighbours lengthen less.
    """
    images = load_images(RunConfig())
    standard = Standard(images, classifier)
    generated = add_noise(images.held_out[:count], 0.1, torch.Generator().manual_seed(1))
    before, seconds = torch.get_num_threads(), {}
    try:
        for number in threads:
            torch.set_num_threads(number)
            marks = []
            for _ in range(rounds + 1):
                standard.measure(generated)
                marks.append((time.perf_counter(), time.process_time()))
            columns = torch.tensor(marks, dtype=torch.float64).diff(dim=0).T.tolist()
            seconds[str(number)] = {
                name: [round(value, 2) for value in column] for name, column in zip(("wall", "cpu"), columns, strict=True)
            }
    finally:
        torch.set_num_threads(before)
    return seconds


def _rounded(values: dict[str, float]) -> dict[str, float]:
    """To six digits: the rest differs from one processor to the next."""
    return {name: float(f"{value:.6g}") for name, value in values.items()}


def publish_quality(folder: Path) -> str:
    """Measure every measure of quality under known damage: sanity.json and its figure, sanity.png. Returns one line."""
    classifier = load_classifier()
    record = study(classifier)
    neighbours = Neighbours()
    seconds = seconds_per_evaluation(classifier)
    timing = {"seconds_by_threads": seconds, "others_cpu_share": neighbours.share()}
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"classifier_sha256": classifier_facts()["sha256"], "machine": fingerprint(torch.device("cpu")), **timing}
    RunFolder(folder).write_json("sanity.json", {**facts, **record})
    RunFolder(folder).write_bytes("sanity.png", sanity_chart(record).png())
    return f"seconds per evaluation, by threads: {seconds}"


# One row of panels each: a heading, the measures drawn in it, the top of its axis (None: as high as they go).
_ROWS: tuple[tuple[str, tuple[str, ...], float | None], ...] = (
    ("Fréchet distance", ("frechet_distance",), None),
    ("kernel distance", ("kernel_distance",), None),
    ("precision,\nrecall", ("precision", "recall"), 1.05),
    ("density,\ncoverage", ("density", "coverage"), 1.3),
    ("classifier\nscore", ("classifier_score",), 10.5),
    ("recognisable,\ndivergence", ("recognisable", "digit_divergence"), 1.05),
    ("noise level", ("noise_level",), None),
    ("stray pixels\nan image", ("stray_pixels",), None),
    ("copies,\nnearest distance", ("copies", "nearest_distance_ratio"), None),
)
_AXES = {"noise": "noise, standard deviation", "blur": "blur, pixels", "digits removed": "digits removed, of ten",
         "copies": "training images among them"}  # fmt: skip
_COLOURS = ("#009E73", "#CC79A7")  # neither of the two that stand for the models


def sanity_chart(record: Mapping[str, Any]) -> Chart:
    """Each measure (rows) under each kind of damage (columns), with its floor dotted; record as study() makes it."""
    chart, damage = Chart(figsize=(9.6, 11.4), layout="constrained"), record["damage"]
    panels = chart.subplots(len(_ROWS), len(damage), sharex="col", sharey="row", squeeze=False)
    for line, (heading, names, top) in zip(panels, _ROWS, strict=True):
        line[0].set_ylabel(heading, **LABEL)
        if top is not None:
            line[0].set_ylim(-0.03 * top, top)
        labelled = line[0] if "copies" in names else line[-1]  # where there is room
        for height, (name, colour) in enumerate(zip(names, _COLOURS, strict=False)):
            for panel, curve in zip(line, damage.values(), strict=True):
                floor_colour = colour if len(names) > 1 else FAINT
                panel.axhline(record["floor"][name], color=floor_colour, linewidth=0.9, linestyle=":")
                panel.plot(curve["level"], curve[name], "o-", color=colour, markersize=3, linewidth=1.4)
            if len(names) > 1:
                place = {"transform": labelled.transAxes, "fontsize": 8}
                labelled.text(0.04, 0.45 - 0.18 * height, name.replace("_", " "), color=colour, **place)
    for panel in panels.flat:
        tidy(panel)
        panel.margins(x=0.04)
        panel.tick_params(labelsize=7.5)
    for panel, last, kind in zip(panels[0], panels[-1], damage, strict=True):
        set_title(panel, kind)
        last.set_xlabel(_AXES.get(kind, kind), **LABEL)
    panels[0, 0].text(0.04, 0.85, "dotted: the floor", color=FAINT, transform=panels[0, 0].transAxes, fontsize=8)
    words = [
        f"{kind}: from {curve['level'][0]:g} to {curve['level'][-1]:g} the Fréchet distance goes from "
        f"{show(curve['frechet_distance'][0])} to {show(curve['frechet_distance'][-1])}"
        for kind, curve in damage.items()
    ]
    chart.alt = f"Measures of quality under known damage, {record['images']:,} digits each. {'; '.join(words)}."
    return chart
