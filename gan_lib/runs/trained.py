"""A trained run to play with: images from any latents, ways through latent space, the discriminator's judgement."""

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
    """The runs whose weights are there, by name: those of the first folder first, in each the newest first.

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
    """A run's trained "generator" or "discriminator". Raises RecordError when its weights are missing or do not fit.

    A stranger's config may ask for a network of any size: it is built only if the file is large enough for it in float16.
    """
    path = folder / f"{name}.safetensors"
    with torch.device("meta"):  # shapes alone
        needed = sum(2 * parameter.numel() for parameter in getattr(build_pair(config), name).parameters())
    if path.is_file() and path.stat().st_size < needed:
        size = path.stat().st_size
        raise RecordError(f"{path} cannot be read as weights: this model needs at least {needed:,} bytes, got {size:,}")
    network: nn.Module = getattr(build_pair(config), name)
    load_weights(network, path)
    return network


class Trained:
    """One run's networks, read back from its folder. A reference run keeps its generator alone."""

    def __init__(self, path: Path) -> None:
        """Raises RecordError when the folder is no run, or its generator's weights are missing, or weights do not fit."""
        self.path = path
        self.config: RunConfig = read_config(path)
        self.generator = load_network(self.config, path, "generator")
        kept = (path / "discriminator.safetensors").exists()
        self.discriminator = load_network(self.config, path, "discriminator") if kept else None

    def heading(self) -> str:
        """What was loaded, as HTML."""
        return f"<p>{escape(self.path.parent.name)}, seed {self.config.seed}, {counted(self.config.epochs, 'epoch')}</p>"

    def latents(self, count: int, seed: int, label: int | None = None) -> Tensor:
        """(count, Z) latents, uniform in [-1, 1]; of one class, where the run was conditioned on classes."""
        return fixed_latents(self.config, count, seed, label)

    def draw(self, latents: Tensor) -> Tensor:
        """Latents (N, Z) -> images (N, C, S, S) in [-1, 1]."""
        return sample(self.generator, latents)

    def judge(self, images: Tensor, labels: Tensor | int | None = None) -> Tensor:
        """Images (N, C, S, S) -> the discriminator's belief that each is real, (N,) in [0, 1]; with some losses a score.

        labels: (N,) or one for all, needed by a run with classes. Raises RecordError without them or the discriminator.
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
        """Straight ways between random latents: (rows * steps, Z), row after row."""
        ends = self.latents(2 * rows, seed).view(rows, 2, 1, -1)
        share = torch.linspace(0, 1, steps).view(1, steps, 1)
        return torch.lerp(ends[:, 0], ends[:, 1], share).flatten(0, 1)  # (rows, steps, Z) -> (rows * steps, Z)

    def walk(self, value: int, steps: int, seed: int) -> Tensor:
        """One latent of which a single value goes from -1 to 1: (steps, Z)."""
        latents = self.latents(1, seed).repeat(steps, 1)
        latents[:, value] = torch.linspace(-1, 1, steps)
        return latents
