"""Pictures: image files -> pixels; image tensors in [-1, 1] -> grids and animations, and files of them."""

import base64
import functools
import html
import io
import math
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from gan_lib.errors import ConfigurationError, DataError
from gan_lib.text import first_line

_ZOOM = 3  # a 28-pixel digit is too small to judge at its real size
_NAMED = 10  # an error names at most so many broken files
_MOST_BYTES = 2**26  # of a picture in a page; a run's own have some million
_MOST_PIXELS = 4096  # a side of a picture of ours; a run's own samples.png has some 2,300 at most

# What Pillow may read a file as. Not EPS, IPTC and WMF, which start programs or open whatever is embedded, and no stubs.
_FORMATS = (
    *("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM", "ICO", "ICNS", "CUR", "DIB", "PSD", "QOI", "DDS"),
    *("PCX", "DCX", "SGI", "SUN", "FITS", "FLI", "IM", "MSP", "PCD", "PIXAR", "BLP", "FTEX", "GBR", "MCIDAS", "XBM", "XPM"),
    *("SPIDER", "IMT", "TGA"),  # last: they have no signature
)
# Folders beside images that hold copies, thumbnails or what was thrown away; so do names with a leading dot.
_COMPANIONS = {
    "__macosx",
    "@eadir",
    "@__thumb",
    "@recycle",
    "#recycle",
    "$recycle.bin",
    "lost+found",
    "system volume information",
}


def find_images(folder: Path) -> list[Path]:
    """Every image file below a folder, in the order of their paths. Links to folders are followed, each folder is read once.

    Leaves out names with a leading dot, folders of thumbnails or copies, and pipes, devices and sockets. Raises DataError if
    there is no image, or if a folder cannot be read.
    """
    suffixes, paths = _suffixes(), []
    folders: list[Path] = [folder]
    links: list[Path] = []  # read last, so that a file keeps its path without links
    try:
        if not folder.is_dir():
            raise DataError(f"data folder {folder} does not exist or is not a folder")
        seen = set(folder.resolve().parents)
        while folders or links:
            current = folders.pop() if folders else links.pop(links.index(min(links)))
            if (real := current.resolve()) in seen:
                continue
            seen.add(real)
            for entry in os.scandir(current):
                if entry.name.startswith(".") or entry.name.lower() in _COMPANIONS:
                    continue
                path = current / entry.name
                if path.is_dir():
                    (links if entry.is_symlink() else folders).append(path)
                elif path.suffix.lower() in suffixes and (path.is_file() or not path.exists()):
                    paths.append(path)  # a link that leads nowhere too: it is named when it is read
    except OSError as error:
        raise DataError(f"data folder {folder} cannot be read: {error.filename or folder}: {error.strerror}") from error
    if not paths:
        raise DataError(f"data folder {folder} holds no images that can be read (such as .png, .jpg or .webp)")
    return sorted(paths)


@functools.cache
def _formats() -> tuple[str, ...]:
    """Those of _FORMATS that this build of Pillow reads."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


@functools.cache
def _suffixes() -> set[str]:
    """The ends of the names of image files."""
    known = (*_formats(), "MPO")  # a JPEG of several pictures
    return {suffix for suffix, name in Image.registered_extensions().items() if name in known}


class Pixels(NamedTuple):
    pixels: Tensor  # (N, C, S, S) uint8
    kept: list[int]  # the indices of their paths
    broken: dict[Path, str]  # what is wrong with the others
    converted: dict[str, int]


def read_images(
    paths: Sequence[Path], order: Iterable[int], most: int, image_shape: tuple[int, int, int], background: str
) -> Pixels:
    """Read files in an order until there are so many images. Only their pixels at the size that is asked for stay in memory."""
    pixels = torch.empty((min(most, len(paths)), *image_shape), dtype=torch.uint8)
    kept: list[int] = []
    broken: dict[Path, str] = {}
    converted: Counter[str] = Counter()
    for index in order:
        if len(kept) == len(pixels):
            break
        try:
            pixels[len(kept)] = _read_image(paths[index], image_shape, background, converted)
            kept.append(index)
        except DataError as error:
            broken[paths[index]] = str(error)
    return Pixels(pixels[: len(kept)], kept, dict(sorted(broken.items())), dict(converted))


def list_broken(broken: dict[Path, str]) -> str:
    """One line that names the first ten."""
    named = [f"image {path} {problem}" for path, problem in list(broken.items())[:_NAMED]]
    more = len(broken) - len(named)
    return "; ".join(named) + (f"; and {more:,} more ({len(broken):,} in all)" if more else "")


def _read_image(path: Path, image_shape: tuple[int, int, int], background: str, converted: Counter[str]) -> Tensor:
    """One file -> (C, S, S) uint8: grey or RGB, scaled to cover the square, the middle cut out.

    Raises DataError with what is wrong with the file, without its name.
    """
    if not path.is_file():  # a pipe would never end
        raise DataError("is not a file" if path.exists() else "does not exist")
    channels, size, _ = image_shape
    done: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_formats()) as opened:
                picture = _flatten(ImageOps.exif_transpose(opened), opened.format == "PPM", background, done.append)
            mode = "L" if channels == 1 else "RGB"
            if picture.mode != mode:
                done.append("from colour to grey" if mode == "L" else f"from {picture.mode} to RGB")
            if picture.mode == "LAB":  # which Pillow turns into RGB alone
                picture = picture.convert("RGB")
            square = ImageOps.fit(picture.convert(mode), (size, size), Image.Resampling.LANCZOS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"is too large (Pillow's limit is {Image.MAX_IMAGE_PIXELS:,} pixels)") from error
    except UnidentifiedImageError as error:
        raise DataError("is corrupt or not an image" if path.stat().st_size else "is empty") from error
    except Exception as error:  # Pillow's readers raise errors of many kinds, for pixels or EXIF
        raise (
            error if isinstance(error, DataError) else DataError(f"is corrupt or not an image ({first_line(error)})")
        ) from error
    converted.update(done)
    return torch.from_numpy(np.array(square)).reshape(size, size, channels).permute(2, 0, 1)


def _flatten(picture: Image.Image, netpbm: bool, background: str, note: Callable[[str], None]) -> Image.Image:
    """A picture of 8 bits a channel without transparency. Whole numbers of 32 bits and floats have no white of their own, and
    are scaled by their smallest and largest value; netpbm: but not those of PPM, which Pillow brings to 16 bits."""
    transparent = picture.has_transparency_data
    if picture.mode.startswith("I") or picture.mode == "F":
        values = np.asarray(picture)
        if picture.mode == "F" or not (netpbm or picture.mode.startswith("I;16")):
            low, high = float(values.min()), float(values.max())
            if not np.isfinite([low, high]).all() or low == high:
                raise DataError(f"has no range to scale its values by (they go from {low:g} to {high:g})")
            shallow = ((values.astype(np.float64) - low) * (255 / (high - low))).round()
        else:
            shallow = values // 257
        note(f"from {picture.mode} to 8 bits")
        mask = Image.fromarray(((values != picture.info.get("transparency")) * 255).astype(np.uint8))
        picture = Image.fromarray(shallow.astype(np.uint8))
        if transparent:
            picture.putalpha(mask)
    if transparent:
        layer = picture.convert("RGBA")
        if layer.getchannel("A").getextrema() != (255, 255):
            note(f"transparent on {background}")
        picture = Image.new("RGBA", layer.size, background)
        picture.alpha_composite(layer)
        picture = picture.convert("RGB")
    return picture


def grid(images: Tensor, columns: int | None = None, gap: int = 2) -> Image.Image:
    """A grid of images (N, C, S, S) in [-1, 1], row by row, at their own resolution; as square as it can be by default."""
    count, channels, height, width = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), 255, dtype=np.uint8)
    pixels = images.add(1).mul(127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()  # (N, S, S, C)
    for index, picture in enumerate(pixels):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    return Image.fromarray(sheet[:, :, 0] if channels == 1 else sheet)


def png(picture: Image.Image, zoom: int = _ZOOM) -> bytes:
    """A PNG file's bytes, each pixel enlarged to zoom x zoom."""
    buffer = io.BytesIO()
    _enlarge(picture, zoom).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def format_of(path: Path) -> str:
    """The format that a picture's file name asks for. Raises ConfigurationError where there is none."""
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind is None or kind not in Image.SAVE or kind in ("PDF", "EPS"):
        raise ConfigurationError(f"output must be named after a kind of picture, such as .png or .jpg, got {path.name!r}")
    return kind


def encode(picture: Image.Image, kind: str) -> bytes:
    """A file's bytes in a format of `format_of`, each pixel enlarged. Raises OSError where the format cannot hold it."""
    buffer = io.BytesIO()
    _enlarge(picture, _ZOOM).save(buffer, kind)
    return buffer.getvalue()


def gif(frames: list[Image.Image], seconds: float = 6.0, zoom: int = _ZOOM) -> bytes:
    """An animation's bytes: all frames in the given time, the last one held for two seconds, for ever."""
    step = max(20, round(1000 * seconds / len(frames)))  # ms; browsers slow anything under 20 down
    enlarged = [_enlarge(frame, zoom) for frame in frames]
    buffer = io.BytesIO()
    enlarged[0].save(
        buffer, "GIF", save_all=True, append_images=enlarged[1:], duration=[step] * (len(frames) - 1) + [2000], loop=0
    )
    return buffer.getvalue()


def open_png(path: Path) -> Image.Image | None:
    """Open a picture of ours, which may be a stranger's: None for what is no regular file, too large or of another format."""
    if not path.is_file():
        return None
    try:
        with Image.open(path, formats=["PNG"]) as opened:
            return opened.convert("RGB") if max(opened.size) <= _MOST_PIXELS else None
    except Exception:  # Pillow's readers raise errors of many kinds
        return None


def gallery(pictures: Mapping[str, Path | bytes]) -> str:
    """Pictures side by side as HTML that carries them along: PNG or GIF files or their bytes, each above its caption.

    Raises DataError for a missing or too large file.
    """
    figures = ""
    for caption, picture in pictures.items():
        if isinstance(picture, Path) and (not picture.is_file() or picture.stat().st_size > _MOST_BYTES):
            raise DataError(f"{picture} must be a file of at most {_MOST_BYTES:,} bytes")
        content = picture.read_bytes() if isinstance(picture, Path) else picture
        kind, code = "gif" if content.startswith(b"GIF") else "png", base64.b64encode(content).decode()
        words = html.escape(caption)
        figures += f'<figure style="margin: 0"><img src="data:image/{kind};base64,{code}" alt="{words}" style="width: 264px">'
        figures += f"<figcaption>{words}</figcaption></figure>"
    return f'<div style="display: flex; flex-wrap: wrap; gap: 1rem 1.5rem">{figures}</div>'


def _enlarge(picture: Image.Image, zoom: int) -> Image.Image:
    return picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)
