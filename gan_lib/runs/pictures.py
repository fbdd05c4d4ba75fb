"""Pictures: image tensors in [-1, 1] -> grids and animations, and files of them."""

import base64
import html
import io
import math
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

_ZOOM = 3  # a 28-pixel digit is too small to judge at its real size


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


def gif(frames: list[Image.Image], seconds: float = 6.0, zoom: int = _ZOOM) -> bytes:
    """An animation's bytes: all frames in the given time, the last one held for two seconds, for ever."""
    step = max(20, round(1000 * seconds / len(frames)))  # ms; browsers slow anything under 20 down
    enlarged = [_enlarge(frame, zoom) for frame in frames]
    buffer = io.BytesIO()
    enlarged[0].save(
        buffer, "GIF", save_all=True, append_images=enlarged[1:], duration=[step] * (len(frames) - 1) + [2000], loop=0
    )
    return buffer.getvalue()


def as_html(path: Path, alt: str) -> str:
    """A PNG or GIF file as an <img> that carries it along."""
    content = base64.b64encode(path.read_bytes()).decode()
    return f'<img src="data:image/{path.suffix[1:]};base64,{content}" alt="{html.escape(alt)}" class="pixels">'


def _enlarge(picture: Image.Image, zoom: int) -> Image.Image:
    return picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)
