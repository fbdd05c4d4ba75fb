"""Use a trained run: generate images, interpolate in latent space, and ask the discriminator."""

from html import escape
from pathlib import Path

import torch
from torch import Tensor, nn

from gan_lib.config import RunConfig
from gan_lib.errors import RecordError
from gan_lib.runs.record import find_records, load_weights, read_config
from gan_lib.text import counted
from gan_lib.training.models import build_pair
from gan_lib.training.sampling import fixed_latents, judge, sample, score
from gan_lib.training.steps import label_maps, with_maps


def runs_with_weights(*folders: Path) -> dict[str, Path]:
    """Return the runs with saved weights, by name: folder after folder, newest first in each.

    Raises RecordError when there are none.
    """
    runs: dict[str, Path] = {}
    for folder in folders:
        records = [
            record for record in find_records(folder, series=False)[0] if (record.path / "generator.safetensors").exists()
        ]
        for record in sorted(records, key=lambda record: str(record.summary.get("finished")), reverse=True):
            name = record.name if folder == folders[0] else f"{folder.name}: {record.name}"
            runs[name] = record.path
    if not runs:
        raise RecordError(f"no trained run in {folders[0]}: make one with 01_train.ipynb or gan-lib run")
    return runs


def load_network(config: RunConfig, folder: Path, name: str) -> nn.Module:
    """Load a run's trained "generator" or "discriminator". Raises RecordError when its weights are missing or do not fit.

    A stranger's config may ask for a network of any size: it is built only if the file is large enough for it in float16.
    """
    path = folder / f"{name}.safetensors"
    with torch.device("meta"):  # only shapes, no values
        needed = sum(2 * parameter.numel() for parameter in getattr(build_pair(config), name).parameters())
    if path.is_file() and path.stat().st_size < needed:
        size = path.stat().st_size
        raise RecordError(f"{path} cannot be read as weights: this model needs at least {needed:,} bytes, got {size:,}")
    network: nn.Module = getattr(build_pair(config), name)
    load_weights(network, path)
    return network


class Trained:
    """One run's networks, read back from its folder. A reference run keeps only its generator."""

    def __init__(self, path: Path) -> None:
        """Raises RecordError when the folder is no run, or its generator's weights are missing, or weights do not fit."""
        self.path = path
        self.config: RunConfig = read_config(path)
        self.generator = load_network(self.config, path, "generator")
        kept = (path / "discriminator.safetensors").exists()
        self.discriminator = load_network(self.config, path, "discriminator") if kept else None

    def heading(self) -> str:
        """Return the run's name, seed and length, as HTML."""
        return f"<p>{escape(self.path.parent.name)}, seed {self.config.seed}, {counted(self.config.epochs, 'epoch')}</p>"

    def latents(self, count: int, seed: int, label: int | None = None) -> Tensor:
        """Return (count, Z) latents, uniform in [-1, 1]; of one class if the run has classes and `label` is given."""
        return fixed_latents(self.config, count, seed, label)

    def draw(self, latents: Tensor) -> Tensor:
        """Generate images (N, C, S, S) in [-1, 1] from latents (N, Z)."""
        return sample(self.generator, latents)

    def judge(self, images: Tensor, labels: Tensor | int | None = None) -> Tensor:
        """Return the discriminator's belief that each image (N, C, S, S) is real, (N,) in [0, 1]; with some losses a score.

        labels: (N,) or one for all; required for a run with classes. Raises RecordError without them or the discriminator.
        """
        if self.discriminator is None:
            raise RecordError(f"{self.path / 'discriminator.safetensors'} does not exist: reference runs keep no discriminator")
        maps = None
        if self.config.classes:
            if labels is None:
                raise RecordError(f"{self.path} is a run with classes: its discriminator must be given the images' class")
            maps = label_maps(torch.as_tensor(labels).expand(len(images)), self.config.classes, images.shape[-1])
        return (score if self.config.scores else judge)(self.discriminator, with_maps(images, maps))

    def interpolate(self, rows: int, steps: int, seed: int) -> Tensor:
        """Interpolate linearly between pairs of random latents: (rows * steps, Z), row after row."""
        ends = self.latents(2 * rows, seed).view(rows, 2, 1, -1)
        share = torch.linspace(0, 1, steps).view(1, steps, 1)
        return torch.lerp(ends[:, 0], ends[:, 1], share).flatten(0, 1)  # (rows, steps, Z) -> (rows * steps, Z)

    def walk(self, value: int, steps: int, seed: int) -> Tensor:
        """Vary one value of a random latent from -1 to 1: (steps, Z)."""
        latents = self.latents(1, seed).repeat(steps, 1)
        latents[:, value] = torch.linspace(-1, 1, steps)
        return latents
