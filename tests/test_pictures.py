"""Image files as pixels, and image tensors as pictures, pixel by pixel."""

import base64
import io
import os
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan_lib.errors import DataError
from gan_lib.pictures import find_images, gallery, gif, grid, png, read_images


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
    assert grid(plain(5, -1)).getpixel((15, 9)) == 255  # nothing is in the last row's last place
    assert images[1].unique().tolist() == pytest.approx([-1 + 16 / 127.5])  # as it was


@pytest.mark.parametrize(
    ("count", "columns", "size"), [(5, None, (16, 10)), (6, 6, (34, 4)), (6, 1, (4, 34)), (1, None, (4, 4))]
)
def test_a_grid_is_nearly_square_unless_told_otherwise(count: int, columns: int | None, size: tuple[int, int]) -> None:
    assert grid(plain(count, 0), columns).size == size


def test_three_channels_are_red_green_and_blue() -> None:
    image = torch.stack([plain(1, value)[0, 0] for value in (1.0, -1.0, 0.0)]).unsqueeze(0)
    sheet = grid(image)
    assert sheet.mode == "RGB"
    assert sheet.getpixel((0, 0)) == (255, 0, 128)


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


@pytest.mark.parametrize("count", [1, 200])
def test_frames_are_not_faster_than_browsers_show(count: int) -> None:
    with Image.open(io.BytesIO(gif([Image.new("L", (2, 2), number) for number in range(count)], seconds=1))) as opened:
        assert (opened.size, opened.info["duration"] >= 20) == ((6, 6), True)


def test_pictures_in_html_are_carried_along_with_an_escaped_caption() -> None:
    frame = Image.new("L", (2, 2))
    files = {'a "digit" <script>': gif([frame]), "a still": png(frame)}
    shown = gallery(files)
    for kind, content in zip(("gif", "png"), files.values(), strict=True):
        assert f'src="data:image/{kind};base64,{base64.b64encode(content).decode()}"' in shown
    assert 'alt="a &quot;digit&quot; &lt;script&gt;"' in shown
    assert "<script>" not in shown


# --- from files ------------------------------------------------------------------------------------------------------


def save(path: Path, picture: Image.Image | None = None, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (picture or Image.new("RGB", (8, 8), (9, 9, 9))).save(path, **options)  # type: ignore[arg-type]
    return path


def read(path: Path, channels: int = 1, size: int = 8, background: str = "black") -> np.ndarray:
    """An image's pixels, (S, S) or (S, S, 3). Raises DataError with what is wrong with it."""
    pixels, _, broken, _ = read_images([path], [0], 1, (channels, size, size), background)
    if broken:
        raise DataError(broken[path])
    return pixels[0].permute(1, 2, 0).numpy().squeeze()


def ramp(low: float, high: float, dtype: type, side: int = 16) -> Image.Image:
    return Image.fromarray(np.linspace(low, high, side * side).reshape(side, side).astype(dtype))


@pytest.mark.parametrize(
    ("mode", "name", "colour", "grey", "rgb"),
    [
        ("1", "a.png", 1, 255, (255, 255, 255)),
        ("L", "a.jpg", 0, 0, (0, 0, 0)),
        ("P", "a.gif", 0, 0, (0, 0, 0)),
        ("RGB", "a.png", (255, 0, 0), 76, (255, 0, 0)),  # 0.299 R + 0.587 G + 0.114 B
        ("CMYK", "a.tif", (0, 255, 255, 0), 76, (255, 0, 0)),
        ("LAB", "a.tif", (255, 128, 128), 255, (254, 255, 254)),
        ("I;16", "a.png", 128 * 257, 128, (128, 128, 128)),  # of 65,535, as scanners write it
        ("I", "a.pgm", 128 * 257, 128, (128, 128, 128)),
    ],
)
def test_every_mode_becomes_grey_or_rgb(
    tmp_path: Path, mode: str, name: str, colour: int | tuple[int, ...], grey: int, rgb: tuple[int, int, int]
) -> None:
    path = save(tmp_path / name, Image.new(mode, (31, 17), colour))
    assert np.unique(read(path)).tolist() == [grey]
    assert np.unique(read(path, channels=3).reshape(-1, 3), axis=0).tolist() == [list(rgb)]


WRITTEN = [
    *("png", "jpg", "jpe", "gif", "bmp", "dib", "tif", "webp", "avif", "jp2"),
    *("ppm", "pgm", "tga", "pcx", "sgi", "ico", "icns", "dds", "qoi"),
]


@pytest.mark.parametrize("suffix", WRITTEN)
def test_every_raster_format_is_found_in_a_folder_and_read(tmp_path: Path, suffix: str) -> None:
    try:
        path = save(tmp_path / f"a.{suffix.upper()}", Image.new("RGB", (64, 64), (40, 40, 40)))
    except (KeyError, ValueError, OSError) as error:
        pytest.skip(f"this Pillow does not write it: {error}")
    assert find_images(tmp_path) == [path]
    assert np.abs(read(path).astype(int) - 40).max() <= 2


@pytest.mark.parametrize("background", ["black", "white"])
@pytest.mark.parametrize("hidden", [0, 255])
@pytest.mark.parametrize("kind", ["RGBA", "LA", "palette", "colour key", "16 bits"])
def test_what_is_hidden_under_transparency_is_never_seen(tmp_path: Path, kind: str, hidden: int, background: str) -> None:
    shape = np.full((8, 8), hidden, np.uint8)
    shape[:, 4:] = 100
    alpha = np.zeros((8, 8), np.uint8)
    alpha[:, 4:] = 255
    options: dict[str, object] = {"transparency": hidden} if kind in ("palette", "colour key") else {}
    if kind in ("RGBA", "LA"):
        picture = Image.merge(kind, [*[Image.fromarray(shape)] * (len(kind) - 1), Image.fromarray(alpha)])
    elif kind == "16 bits":
        picture, options = Image.fromarray(shape.astype(np.uint16) * 257), {"transparency": hidden * 257}
    else:
        picture = Image.fromarray(shape).convert("P" if kind == "palette" else "L")
    pixels = read(save(tmp_path / "a.png", picture, **options), background=background)
    assert np.unique(pixels[:, 4:]).tolist() == [100]
    assert np.unique(pixels[:, :4]).tolist() == [0 if background == "black" else 255]


@pytest.mark.parametrize(
    ("low", "high", "dtype", "name"),
    [
        (0, 65_535, np.int32, "a.tif"),
        (-5, 2**31 - 1, np.int32, "a.tif"),
        (0, 1, np.float32, "a.tif"),
        (-3, 7e9, np.float32, "a.pfm"),
    ],
)
def test_deep_images_are_scaled_by_their_range_and_not_clipped(
    tmp_path: Path, low: float, high: float, dtype: type, name: str
) -> None:
    pixels = read(save(tmp_path / name, ramp(low, high, dtype)), size=16)
    assert pixels.reshape(-1).tolist() == list(range(256))


@pytest.mark.parametrize("values", [[[5.0, 5.0]], [[0.0, np.nan]], [[0.0, np.inf]]])
def test_a_deep_image_without_a_range_is_refused(tmp_path: Path, values: list[list[float]]) -> None:
    path = save(tmp_path / "a.tif", Image.fromarray(np.array(values, np.float32)))
    with pytest.raises(DataError, match="has no range to scale its values by"):
        read(path)


def test_bytes_that_would_start_a_program_are_no_image_whatever_they_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was started"))
    eps = io.BytesIO()
    Image.new("RGB", (8, 8)).save(eps, "EPS")
    for name in ("1.png", "2.eps", "3.ps"):
        (tmp_path / name).write_bytes(eps.getvalue())
        with pytest.raises(DataError, match="is corrupt or not an image"):
            read(tmp_path / name)
    assert find_images(tmp_path) == [tmp_path / "1.png"]


def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8))
    whole, photo = save(tmp_path / "whole.png", noise).read_bytes(), save(tmp_path / "whole.jpg", noise).read_bytes()
    contents = {"a.png": b"hello", "b.png": whole[:-900], "c.png": whole[100:], "d.jpg": photo[:-300]}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=r"^is corrupt or not an image.*$"):
            read(tmp_path / name)
    (tmp_path / "empty.png").write_bytes(b"")
    for name, problem in {"empty.png": "is empty", "gone.png": "does not exist", ".": "is not a file"}.items():
        with pytest.raises(DataError, match=f"^{problem}$"):
            read(tmp_path / name)
    for limit in (1000, 3000):  # above the first one Pillow only warns of 64 x 64, above twice as many it refuses
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(DataError, match=f"is too large .*{limit:,} pixels"):
            read(tmp_path / "whole.png")


def test_hidden_files_copies_and_thumbnails_are_no_images(tmp_path: Path) -> None:
    kept = [save(tmp_path / name) for name in ("a.png", "deeper/er/b.png")]
    for name in (
        *(".ipynb_checkpoints/a-checkpoint.png", "__MACOSX/a.png", "._a.png", ".hidden/a.png", "deeper/@eaDir/a.png/x.jpg"),
        *("deeper/.thumbnails/a.png", "$RECYCLE.BIN/a.png"),
    ):
        save(tmp_path / name)
    (tmp_path / "Thumbs.db").write_bytes(b"thumbs")
    assert find_images(tmp_path) == kept


def test_links_to_folders_are_followed_and_loops_end(tmp_path: Path) -> None:
    own, elsewhere = tmp_path / "own", tmp_path / "elsewhere"
    kept = [save(own / "z" / "a.png"), save(elsewhere / "b.png")]
    for name, target in {"a": own / "z", "loop": own, "up": tmp_path, "z/loop": own / "z", "self": own / "self"}.items():
        (own / name).symlink_to(target)
    (own / "more").symlink_to(elsewhere)
    assert find_images(own) == [own / "more" / "b.png", kept[0]]
    (own / "nowhere.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(DataError, match="does not exist"):
        read(find_images(own)[1])


def test_pipes_sockets_and_devices_are_never_opened(tmp_path: Path) -> None:
    kept = save(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "device.png").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(tmp_path / "s.png"))
        assert find_images(tmp_path) == [kept]
    for name in ("pipe.png", "device.png"):
        with pytest.raises(DataError, match="is not a file"):
            read(tmp_path / name)
        with pytest.raises(DataError, match="must be a file"):
            gallery({"a picture": tmp_path / name})


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0)
    with pytest.raises(DataError, match=r"locked: Permission denied"):
        find_images(tmp_path)
