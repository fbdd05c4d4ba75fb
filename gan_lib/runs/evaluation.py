"""Measure a run's networks: a line of metrics.csv every evaluate_every epochs, and the quality in summary.json."""

import math
import re
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gan_lib.config import RunConfig
from gan_lib.data import Images
from gan_lib.errors import GanLibError
from gan_lib.quality.classifier import Classifier
from gan_lib.quality.classifier_training import choose_classifier
from gan_lib.quality.measures import FEWEST, FRECHET, IMAGES, Standard, evaluation_size
from gan_lib.text import one_line
from gan_lib.training.sampling import fixed_labels, fixed_latents, sample, score
from gan_lib.training.steps import label_maps, with_maps

SCORE_GAP, CHOICE = "score_gap", "choice_distance"  # columns of metrics.csv that do not measure the images
_OTHER_COLUMNS = ("epoch", "training_seconds", "evaluation_seconds", SCORE_GAP, CHOICE)
_GAP_IMAGES = 1000
_BEST = "best."  # before a weight's name in a checkpoint
NOT_ASKED_FOR = "not measured: evaluate_every is 0"


class Evaluation:
    """Measure the quality of one run while it trains, each time on images from the same latents.

    Training is not disturbed: latents have their own random generator, and networks return to their mode.
    If quality cannot be measured, `about` gives the reason, and the run continues.
    """

    def __init__(self, config: RunConfig, images: Images) -> None:
        """images: the run's. The standard, which generated images are compared with, is made at the first measurement."""
        self._config, self._images = config, images
        self._chosen_by: Standard | None = None  # with keep = "best": one half of the held-out images; the other half reports
        self._standard: Standard | None = None
        self._tried = False
        self._best: dict[str, Tensor] = {}  # with keep = "best": the best weights so far, by network/name
        self._best_epoch: int | None = None
        self.lines: list[dict[str, float]] = []  # record.METRICS_COLUMNS and the measures
        # The classifier in use, or the reason why nothing is measured.
        self.about = "not measured" if config.evaluate_every else NOT_ASKED_FOR

    def is_due(self, epoch: int) -> bool:
        """Whether quality is to be measured after this epoch: every evaluate_every, and at the end."""
        every = self._config.evaluate_every
        return bool(every) and (epoch % every == 0 or epoch == self._config.epochs)

    def measure(self, networks: Mapping[str, nn.Module], epoch: int, training_seconds: float) -> dict[str, float] | None:
        """Measure the "generator" after an epoch, and the score gap of the "discriminator" if given.

        training_seconds: up to the end of this epoch. Returns the line of metrics.csv, or None if nothing can be measured.
        """
        begun = time.perf_counter()
        standard = self._prepare()
        if standard is None:
            return None
        try:
            generated = self.draw(networks["generator"])
            measured = standard.measure(generated, fixed_labels(self._config, len(generated)))
            if self._chosen_by:
                measured[CHOICE] = self._chosen_by.measure(generated)[FRECHET]
            if "discriminator" in networks and len(self._images.waiting):
                measured[SCORE_GAP] = self._score_gap(networks["discriminator"])
        except (ValueError, ArithmeticError, RuntimeError) as error:  # a failed measurement must not end the run
            self._standard, self.about = None, f"not measured after epoch {epoch}: {one_line(error)}"
            return None
        seconds = round(time.perf_counter() - begun, 6)
        line = {"epoch": epoch, "training_seconds": training_seconds, "evaluation_seconds": seconds, **measured}
        if self.lines:  # a run begun by another version keeps its columns
            line = {name: line.get(name, math.nan) for name in self.lines[0]}
        self.lines.append(line)
        if CHOICE in line and line[CHOICE] == min(each[CHOICE] for each in self.lines):
            self._best_epoch, self._best = epoch, _copy_weights(networks)
        return line

    def draw(self, generator: nn.Module) -> Tensor:
        """Return the images to measure, (N, C, S, S) in [-1, 1], from the same latents each time."""
        return sample(generator, fixed_latents(self._config, min(IMAGES, max(FEWEST, len(self._images.waiting)))))

    def variety(self, generator: nn.Module) -> float | None:
        """Return the variance of each pixel over 100 generated images as a share of that over the training images.

        None if the training images are all alike, or the generated ones are not finite.
        """
        generated = sample(generator, fixed_latents(self._config, FEWEST))
        own, real = (float(images.var(dim=0).mean()) for images in (generated, self._images.train))
        return own / real if real > 0 and math.isfinite(own) else None

    def take_best(self, networks: Mapping[str, nn.Module]) -> int | None:
        """Load the best measured weights into the networks. Returns their epoch, or None if the last weights are kept."""
        if self._best:
            for network, module in networks.items():
                module.load_state_dict({name: self._best[f"{network}/{name}"] for name in module.state_dict()})
        return self._best_epoch

    def _score_gap(self, discriminator: nn.Module) -> float:
        """Return D's mean logit of training images minus that of held-out ones, up to 1,000 each. It grows as D overfits."""
        images, classes = self._images, self._config.classes

        def mean_score(pixels: Tensor, labels: Tensor | None) -> float:
            maps = label_maps(labels[:_GAP_IMAGES], classes, pixels.shape[-1]) if classes and labels is not None else None
            return float(score(discriminator, with_maps(pixels[:_GAP_IMAGES], maps)).mean())

        return mean_score(images.train, images.train_labels) - mean_score(images.held_out, images.held_out_labels)

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors for a checkpoint: the lines so far, (lines, columns) in float64, and the best weights."""
        lines = torch.tensor([list(line.values()) for line in self.lines], dtype=torch.float64)
        return {"metrics": lines, **{f"{_BEST}{name}": tensor for name, tensor in self._best.items()}}

    def facts(self) -> dict[str, Any]:
        """Return the JSON values for a checkpoint."""
        return {"columns": list(self.lines[0]) if self.lines else [], "best_epoch": self._best_epoch}

    def load(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Restore `tensors` and `facts`."""
        self.lines = [dict(zip(facts["columns"], line, strict=True)) for line in tensors["metrics"].tolist()]
        self._best = {name.removeprefix(_BEST): tensor for name, tensor in tensors.items() if name.startswith(_BEST)}
        self._best_epoch = facts.get("best_epoch")

    def summary(self, epoch: int | None = None) -> dict[str, Any]:
        """Return the quality of the kept weights for summary.json, its floor, and the classifier.

        epoch: of the kept weights; None: the last one.
        """
        kept = next((line for line in self.lines if line["epoch"] == (epoch or self._config.epochs)), None)
        standard = self._prepare() if kept else None
        quality = measures(kept) if kept else {}
        shares = [value for name, value in quality.items() if re.fullmatch(r"digit_\d+", name)]
        return {
            "quality": quality or None,
            "largest_class_share": max(shares, default=None),  # of the generated images; 1 if all belong to one class
            "quality_floor": standard.floor(bool(self._config.classes)) if standard else None,
            "quality_about": self.about,
            "quality_images": standard.size if standard else None,
            "quality_duplicates": standard.duplicates if standard else None,
            "evaluation_seconds": sum(line["evaluation_seconds"] for line in self.lines),
        }

    def _prepare(self) -> Standard | None:
        """Return the standard for comparison, made at first use; None if there is none, for the reason in `about`."""
        if not self._tried and self._config.evaluate_every:
            self._tried = True
            try:
                evaluation_size(self._images)  # raises for too few images, before a classifier is trained
                choice = choose_classifier(self._config, self._images)
                self._standard, self.about = self._make_standard(choice.classifier), choice.about
            except GanLibError as error:
                self.about = f"not measured: {one_line(error)}"
        return self._standard

    def _make_standard(self, classifier: Classifier | None) -> Standard:
        if self._config.keep == "last":
            return Standard(self._images, classifier)
        self._chosen_by, reports = (Standard(_half(self._images, first), classifier) for first in (0, 1))
        return reports


def _copy_weights(networks: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    return {
        f"{network}/{name}": tensor.detach().cpu().clone()
        for network, module in networks.items()
        for name, tensor in module.state_dict().items()
    }


def _half(images: Images, first: int) -> Images:
    """Return the images with only every second held-out one."""
    labels = images.held_out_labels
    return images._replace(waiting=images.waiting[first::2], held_out_labels=None if labels is None else labels[first::2])


def too_few(images: Images) -> str:
    """Return why quality cannot be measured with so few held-out images; "" if it can."""
    try:
        evaluation_size(images)
    except GanLibError as error:
        return str(error)
    return ""


def measures(line: Mapping[str, float]) -> dict[str, float]:
    """Return the quality measures in a line of metrics.csv."""
    return {name: value for name, value in line.items() if name not in _OTHER_COLUMNS}
