"""From the paper's networks to the optimal configuration, one change at a time and at equal seconds: what each part gives.

Here are the runs; the figure and the sentences are made in notebooks/06_ablation.ipynb.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from gan_lib.batch import pages, runner
from gan_lib.batch.notebooks import NOTEBOOKS, relative
from gan_lib.batch.progress import ProgressLine
from gan_lib.config import RunConfig, differences
from gan_lib.presets import OPTIMAL, configure
from gan_lib.runs.machine import physical_cores
from gan_lib.runs.record import Record

SECONDS = 60  # of training that each run is meant to take on two cores of an AMD EPYC with bf16
SEEDS = (0, 1, 2)
# Does the augmentation help? By the number of training images, for as many steps on each.
IMAGES, AUGMENTATIONS, EPOCHS = (200, 500, 2000, 4000), ("none", "shift"), 60


class Step(NamedTuple):
    """A configuration on the way, and what sets it apart from the one before."""

    title: str
    configuration: str
    changes: Mapping[str, Any]
    epochs: int  # that take about SECONDS there; on another machine records show how far the seconds go apart


_GLOROT = {"initialisation": "glorot"}
# What the optimal configuration has besides its networks and loss, one after the other.
_PARTS = {
    "learning_rate": 0.0005,  # before: that of the loss's article, as the loss implies
    "average_decay": 0.0,
    "schedule": "constant",
    "penalty_every": 1,
    "augmentation": "none",
    "generator_noise": "fresh",
}


def _with(parts: int) -> dict[str, Any]:
    """The optimal configuration with so many of its parts."""
    return {**OPTIMAL, **dict(list(_PARTS.items())[parts:])}


STEPS = (
    Step("the paper's GAN", "gan-cpu", _GLOROT, 160),
    Step("the paper's CGAN", "cgan-cpu", _GLOROT, 18),
    Step("small networks", "small-bce-cpu", {**_GLOROT, "width": OPTIMAL["width"]}, 50),
    Step("pairs of images, R1 and R2", "optimal-cpu", _with(0), 42),
    Step("learning rate 0.003", "optimal-cpu", _with(1), 42),
    Step("average of G's weights", "optimal-cpu", _with(2), 42),
    Step("learning rate falls to 0", "optimal-cpu", _with(3), 42),
    Step("penalties every 4th step", "optimal-cpu", _with(4), 50),
    Step("D's images are shifted", "optimal-cpu", _with(5), 49),
    Step("G's step takes the images of D's: optimal", "optimal-cpu", OPTIMAL, 60),
)


def configs(seeds: Sequence[int] = SEEDS) -> list[RunConfig]:
    """The runs, every step of the first seed before the next seed."""
    return [
        configure(
            step.configuration,
            **{**step.changes, "epochs": step.epochs, "sample_every": step.epochs, "evaluate_every": step.epochs, "seed": seed},
        )
        for seed in seeds
        for step in STEPS
    ]


def configs_by_images(seeds: Sequence[int] = SEEDS) -> list[RunConfig]:
    """The runs with and without augmentation. On one thread each, because only their quality counts."""
    made = []
    for seed, images, augmentation in product(seeds, IMAGES, AUGMENTATIONS):
        changes: dict[str, Any] = {"training_images": images, "augmentation": augmentation, "threads": 1, "seed": seed}
        epochs = EPOCHS * 2000 // images
        made.append(configure("optimal-cpu", **changes, epochs=epochs, sample_every=epochs, evaluate_every=epochs))
    return made


def step_of(record: Record) -> str | None:
    """The title of the step that a run belongs to, whatever its folder is called; None for any other run."""
    of_seed = zip(STEPS, configs([record.config.seed]), strict=True)
    return next((step.title for step, config in of_seed if not differences(record.config, config)), None)


def make_ablation(folder: Path) -> str:
    """Train the runs that are not there yet, and write the page; returns one line."""
    line = ProgressLine()
    try:
        records = runner.run_batch(runner.plan(configs(), folder), show=line.show)
        workers = min(2, physical_cores())
        records += runner.run_batch(runner.plan(configs_by_images(), folder), workers=workers, show=line.show)
    finally:
        line.end()
    page = pages.report(
        "06_ablation.ipynb",
        {"runs_dir": relative(folder / "runs", NOTEBOOKS), "save_dir": relative(folder, NOTEBOOKS)},
        folder / "ablation.html",
        "What each part of the optimal configuration gives",
    )
    ok = sum(record.status == "ok" for record in records)
    return f"{ok} of {len(records)} runs are ok; wrote {page}"
