"""Image tensors as pictures, pixel by pixel."""

import base64
import io
from pathlib import Path

import pytest
import torch
from PIL import Image

from gan_lib.runs.pictures import as_html, gif, grid, png


def plain(count: int, value: float, channels: int = 1, size: int = 4) -> torch.Tensor:
    return torch.full((count, channels, size, size), value)


@pytest.mark.parametrize(("value", "pixel"), [(-1.0, 0), (0.0, 128), (1.0, 255), (-1.1, 0), (1.1, 255), (-0.6, 51)])
def test_minus_1_is_black_and_1_is_white(value: float, pixel: int) -> None:
    assert grid(plain(1, value)).getpixel((0, 0)) == pixel


def test_nine_images_make_a_three_by_three_grid_row_by_row_with_white_gaps() -> None:
    images = torch.stack([plain(1, -1 + number * 16 / 127.5)[0] for number in range(9)])
    sheet = grid(images, gap=2)
    assert sheet.mode == "L"
    assert sheet.size == (3 * 4 + 2 * 2, 3 * 4 + 2 * 2)
    for number in range(9):
        row, column = divmod(number, 3)
        left, top = column * 6, row * 6
        assert sheet.getpixel((left, top)) == sheet.getpixel((left + 3, top + 3)) == number * 16
    assert sheet.getpixel((4, 0)) == sheet.getpixel((0, 5)) == 255


@pytest.mark.parametrize(
    ("count", "columns", "size"), [(5, None, (16, 10)), (6, 6, (34, 4)), (6, 1, (4, 34)), (1, None, (4, 4))]
)
def test_a_grid_is_nearly_square_unless_told_otherwise(count: int, columns: int | None, size: tuple[int, int]) -> None:
    assert grid(plain(count, 0), columns).size == size


def test_an_incomplete_last_row_is_filled_with_white() -> None:
    assert grid(plain(5, -1)).getpixel((15, 9)) == 255


def test_three_channels_are_red_green_and_blue() -> None:
    image = torch.stack([plain(1, value)[0, 0] for value in (1.0, -1.0, 0.0)]).unsqueeze(0)
    sheet = grid(image)
    assert sheet.mode == "RGB"
    assert sheet.getpixel((0, 0)) == (255, 0, 128)


def test_a_grid_leaves_the_images_as_they_were() -> None:
    images = plain(4, 0.25)
    grid(images)
    assert torch.equal(images, plain(4, 0.25))


def test_a_png_shows_each_pixel_enlarged_without_blurring() -> None:
    sheet = Image.new("L", (2, 1))
    sheet.putpixel((1, 0), 255)
    with Image.open(io.BytesIO(png(sheet, zoom=3))) as opened:
        assert opened.format == "PNG"
        assert opened.size == (6, 3)
        assert [opened.getpixel((x, 2)) for x in range(6)] == [0, 0, 0, 255, 255, 255]


def test_a_gif_holds_its_last_frame_and_runs_for_ever() -> None:
    frames = [Image.new("L", (4, 4), shade) for shade in (0, 100, 200, 255)]
    with Image.open(io.BytesIO(gif(frames, seconds=4, zoom=2))) as opened:
        durations, shades = [], []
        for number in range(4):
            opened.seek(number)
            durations.append(opened.info["duration"])
            shades.append(opened.convert("L").getpixel((7, 7)))
        assert (opened.n_frames, opened.size, opened.info["loop"]) == (4, (8, 8), 0)  # type: ignore[attr-defined]
    assert durations == [1000, 1000, 1000, 2000]
    assert shades == pytest.approx([0, 100, 200, 255], abs=2)  # a palette's rounding


def test_many_frames_are_not_faster_than_browsers_show() -> None:
    frames = [Image.new("L", (2, 2), number) for number in range(200)]
    with Image.open(io.BytesIO(gif(frames, seconds=1))) as opened:
        assert opened.info["duration"] >= 20


def test_one_frame_is_a_gif_too() -> None:
    with Image.open(io.BytesIO(gif([Image.new("L", (2, 2))]))) as opened:
        assert opened.size == (6, 6)


def test_a_picture_in_html_carries_its_bytes_and_an_escaped_text(tmp_path: Path) -> None:
    path = tmp_path / "progress.gif"
    path.write_bytes(gif([Image.new("L", (2, 2))]))
    shown = as_html(path, 'a "digit" <script>')
    assert base64.b64encode(path.read_bytes()).decode() in shown
    assert 'src="data:image/gif;base64,' in shown
    assert 'alt="a &quot;digit&quot; &lt;script&gt;"' in shown
    assert "<script>" not in shown
