"""Whatever the source, one tensor in [-1, 1]; and every broken file is named."""

import gzip
import hashlib
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan_lib import data
from gan_lib.config import RunConfig
from gan_lib.data import Images, Reading, load_files, load_images
from gan_lib.errors import ConfigurationError, DataError

Config = Callable[..., RunConfig]


def rows(images: torch.Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


@pytest.fixture(scope="module")
def digits() -> Images:
    return load_images(RunConfig())


def test_digits_are_2000_of_the_papers_size_as_many_of_each_class_and_the_rest_is_held_out(digits: Images) -> None:
    assert digits.train.shape == (2000, 1, 28, 28)
    assert digits.held_out.shape == (3000, 1, 28, 28)
    assert digits.train_labels is not None and digits.held_out_labels is not None
    assert digits.train_labels.bincount().tolist() == [200] * 10
    assert digits.held_out_labels.bincount().tolist() == [300] * 10
    for part in (digits.train, digits.held_out):
        assert (part.dtype, part.min().item(), part.max().item()) == (torch.float32, -1.0, 1.0)
    train = rows(digits.train)
    assert len(train) == 2000 and not train & rows(digits.held_out)  # all different, so that this test can tell


def test_labels_belong_to_their_images(digits: Images) -> None:
    # A 1 has the least ink of all digits, a 0 the most or nearly so: true of MNIST, false of shuffled labels.
    assert digits.train_labels is not None
    ink = [digits.train[digits.train_labels == digit].mean().item() for digit in range(10)]
    assert min(range(10), key=ink.__getitem__) == 1
    assert ink[0] - ink[1] > 0.15


def test_the_choice_of_images_changes_with_data_seed_alone(digits: Images) -> None:
    same, other = load_images(RunConfig(seed=5)), load_images(RunConfig(data_seed=1))
    assert torch.equal(digits.train, same.train)
    assert digits.checksum == same.checksum
    assert rows(digits.train) != rows(other.train)
    assert digits.checksum != other.checksum


def test_the_first_images_are_taken_in_file_order() -> None:
    few, more = (load_images(RunConfig(selection="first", training_images=n, batch_size=10)) for n in (20, 30))
    assert torch.equal(few.train, more.train[:20])
    assert few.train_labels is not None
    assert few.train_labels.tolist() == [0] * 20  # the shipped file is sorted by class


@pytest.mark.parametrize("count", [25, 4990])
def test_classes_differ_by_one_at_most_when_the_number_does_not_divide(count: int) -> None:
    labels = load_images(RunConfig(training_images=count, batch_size=5)).train_labels
    assert labels is not None
    assert set(labels.bincount().tolist()) <= {count // 10, count // 10 + 1}


def test_images_are_resized_and_given_three_channels(digits: Images) -> None:
    large = load_images(RunConfig(image_size=32, channels=3)).train
    assert large.shape == (2000, 3, 32, 32)
    assert torch.equal(large[:, 0], large[:, 1])
    assert torch.equal(large[:, 0], large[:, 2])
    assert -1 <= large.min().item() < large.max().item() <= 1
    assert large.mean().item() == pytest.approx(digits.train.mean().item(), abs=0.01)


# --- folder:PATH -----------------------------------------------------------------------------------------------------


@pytest.fixture
def of_folder(tmp_path: Path) -> Config:
    def config(**changes: object) -> RunConfig:
        values = {"training_images": 2, "batch_size": 2, "image_size": 8, "selection": "first", **changes}
        return RunConfig(data=f"folder:{tmp_path}", **values)  # type: ignore[arg-type]

    return config


def save(path: Path, mode: str, size: tuple[int, int], colour: int | tuple[int, ...]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


def test_a_folders_images_of_any_size_become_squares(of_folder: Config, tmp_path: Path) -> None:
    save(tmp_path / "a.png", "RGB", (31, 17), (255, 0, 0))
    save(tmp_path / "deeper" / "b.BMP", "RGB", (5, 9), (255, 0, 0))
    images = load_images(of_folder())
    assert images.train.unique().tolist() == pytest.approx([76 / 127.5 - 1], abs=1e-6)  # 0.299 of red
    coloured = load_images(of_folder(channels=3))
    assert coloured.train.shape == (2, 3, 8, 8)
    assert coloured.train.amin((0, 2, 3)).tolist() == coloured.train.amax((0, 2, 3)).tolist() == [1, -1, -1]
    assert (images.train_labels, images.held_out.shape) == (None, (0, 1, 8, 8))
    assert (images.reading.found, images.reading.used, images.reading.held_out) == (2, 2, 0)
    assert images.reading.converted == {"from colour to grey": 2} and not coloured.reading.converted


def test_the_middle_of_a_wide_image_is_kept(of_folder: Config, tmp_path: Path) -> None:
    pixels = np.zeros((8, 24), dtype=np.uint8)
    pixels[:, 8:16] = 255  # white in the middle third, and only there
    for name in "ab":
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    assert load_images(of_folder()).train.unique().tolist() == [1.0]


def grey_folder(folder: Path, count: int) -> None:
    """Images that are as bright as their number."""
    for value in range(count):
        save(folder / f"{value:03}.png", "L", (8, 8), value)


def brightness(images: torch.Tensor) -> list[int]:
    return [round((image.mean().item() + 1) * 127.5) for image in images]


@pytest.mark.parametrize(("found", "batch_size", "used"), [(20, 4, 18), (17, 7, 14), (2, 2, 0), (15, 16, 0)])
def test_a_folder_without_a_number_gives_all_but_a_tenth(
    of_folder: Config, tmp_path: Path, found: int, batch_size: int, used: int
) -> None:
    grey_folder(tmp_path, found)
    config = of_folder(training_images=None, batch_size=batch_size)
    if not used:
        with pytest.raises(ConfigurationError, match=rf"has {found} images, \d to hold out: training_images must be at least"):
            load_images(config)
        return
    images = load_images(config)  # 17 of which 2 are held out leave 15, two batches of 7 and a last one of 1
    assert brightness(images.train) == list(range(used))
    assert brightness(images.held_out) == list(range(used, found))
    assert len(load_images(RunConfig(training_images="all")).train) == 4500


def test_only_what_is_used_is_read_and_what_waits_takes_a_byte_a_pixel(
    of_folder: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "MOST_HELD_OUT", 5)
    grey_folder(tmp_path, 40)
    (tmp_path / "039.png").write_bytes(b"broken, but never read")
    images = load_images(of_folder(training_images=10, batch_size=5))
    assert brightness(images.train) == list(range(10)) and brightness(images.held_out) == list(range(10, 15))
    assert (images.waiting.dtype, images.held_out.dtype) == (torch.uint8, torch.float32)
    assert images.reading == Reading(40, 10, 5, {})
    drawn = load_images(of_folder(training_images=10, batch_size=5, selection="seeded", skip_broken=1))
    assert len({*brightness(drawn.train), *brightness(drawn.held_out)}) == 15


def test_all_broken_files_are_named_at_once_and_left_out_when_that_is_asked_for(of_folder: Config, tmp_path: Path) -> None:
    grey_folder(tmp_path, 20)
    broken = [tmp_path / f"{value:03}.png" for value in range(3, 15)]
    for path in broken:
        path.write_bytes(b"")
    for allowed in (0, 11):
        with pytest.raises(DataError) as caught:
            load_images(of_folder(training_images="all", skip_broken=allowed))
        message = str(caught.value)
        assert [f"image {path.name} is empty" in message for path in broken] == [True] * 10 + [False] * 2
        assert "12 in all" in message and "--set skip_broken=12" in message and "\n" not in message
    images = load_images(of_folder(training_images="all", skip_broken=12))
    assert (brightness(images.train), brightness(images.held_out)) == ([0, 1, 2, 15, 16, 17], [18, 19])
    assert images.reading.skipped == tuple(f"{path} is empty" for path in broken)
    with pytest.raises(ConfigurationError, match="training_images must be at most 8 "):
        load_images(of_folder(training_images=10, skip_broken=12))


def test_folders_of_one_class_each_are_labels(of_folder: Config, tmp_path: Path) -> None:
    classes = {"cats": 30, "dogs": 20, "owls": 10}
    for label, (name, count) in enumerate(classes.items()):
        for number in range(count):
            save(tmp_path / name / f"{number}.png", "L", (8, 8), 100 * label)
    images = load_images(of_folder(training_images=15, batch_size=5, selection="seeded"))
    assert images.reading.classes == tuple(classes)
    assert images.train_labels is not None and images.held_out_labels is not None
    assert images.train_labels.bincount().tolist() == [5, 5, 5]
    assert images.held_out_labels.bincount().tolist() == [25, 15, 5]
    for pixels, labels in ((images.train, images.train_labels), (images.held_out, images.held_out_labels)):
        assert brightness(pixels) == (labels * 100).tolist()
    save(tmp_path / "stray.png", "L", (8, 8), 0)
    assert load_images(of_folder()).train_labels is None


def test_an_image_that_is_replaced_changes_the_checksum_wherever_it_is_used(of_folder: Config, tmp_path: Path) -> None:
    grey_folder(tmp_path, 4)
    before = load_images(of_folder()).checksum
    assert load_images(of_folder()).checksum == before
    for name in ("000.png", "003.png"):  # one is trained on, one is held out
        save(tmp_path / name, "L", (8, 8), 200)
        assert load_images(of_folder()).checksum != before
        save(tmp_path / name, "L", (8, 8), int(name[:3]))


def test_a_folder_that_is_missing_or_a_file_or_without_images_is_refused(of_folder: Config, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no images"):
        load_images(of_folder())
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(DataError, match="holds no images"):
        load_images(of_folder())
    for path in (tmp_path / "nowhere", tmp_path / "notes.txt"):
        with pytest.raises(DataError) as caught:
            load_images(RunConfig(data=f"folder:{path}"))
        assert str(caught.value) == f"data folder {path} does not exist or is not a folder"


def test_more_training_images_than_there_are_is_refused_with_their_number(of_folder: Config, tmp_path: Path) -> None:
    save(tmp_path / "only.png", "L", (8, 8), 0)
    for config, most, got in ((of_folder(), "1", "2"), (RunConfig(training_images=5002), "5,000", "5,002")):
        with pytest.raises(ConfigurationError) as caught:
            load_images(config)
        assert str(caught.value) == f"training_images must be at most {most} (all that {config.data} has), got {got}"


def test_single_files_are_read_at_a_models_shape(tmp_path: Path) -> None:
    save(tmp_path / "white.png", "RGB", (40, 20), (255, 255, 255))
    assert torch.equal(load_files([tmp_path / "white.png"] * 2, (3, 8, 8)), torch.ones(2, 3, 8, 8))
    with pytest.raises(DataError, match=r"gone\.png does not exist"):
        load_files([tmp_path / "gone.png"], (1, 8, 8))


# --- mnist and fashion-mnist, from IDX files ------------------------------------------------------------------------

FOLDERS = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}
KINDS = ("images-idx3-ubyte", "labels-idx1-ubyte")
FILES = {f"{part}-{kind}": (part, kind) for part in ("train", "t10k") for kind in KINDS}


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


@pytest.fixture
def mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """30 and 20 images, 28 x 28, of our own making; and no network: torchvision's mirrors are a closed port."""
    from torchvision import datasets

    monkeypatch.setenv("GAN_LIB_DATA", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")
    for dataset in (datasets.MNIST, datasets.FashionMNIST):
        monkeypatch.setattr(dataset, "mirrors", ["http://127.0.0.1:9/"])
    random = np.random.default_rng(0)
    counts = {"train": 30, "t10k": 20}
    return {
        name: random.integers(0, 256, (counts[part], 28, 28), dtype=np.uint8)
        if kind.startswith("images")
        else (np.arange(counts[part]) % 10).astype(np.uint8)
        for name, (part, kind) in FILES.items()
    }


def write_idx(folder: Path, arrays: dict[str, np.ndarray]) -> Path:
    raw = folder / "raw"
    raw.mkdir(parents=True)
    for name, values in arrays.items():
        (raw / name).write_bytes(idx(values))
    return raw


def of_mnist(data: str = "mnist", **changes: object) -> RunConfig:
    return RunConfig(data=data, **{"training_images": 10, "batch_size": 5, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("data", FOLDERS)
def test_idx_files_are_read_back_exactly(mnist: dict[str, np.ndarray], tmp_path: Path, data: str) -> None:
    write_idx(tmp_path / FOLDERS[data], mnist)
    images = load_images(of_mnist(data, selection="first"))
    pixels = [((part + 1) * 127.5).round().byte().squeeze(1).numpy() for part in (images.train, images.held_out)]
    assert np.array_equal(pixels[0], mnist["train-images-idx3-ubyte"][:10])
    assert np.array_equal(pixels[1], mnist["t10k-images-idx3-ubyte"])  # the test set, not the rest of the training set
    assert images.train_labels is not None and images.held_out_labels is not None
    assert images.train_labels.tolist() == list(range(10))
    assert images.held_out_labels.tolist() == list(range(10)) * 2


def test_a_downloaded_archive_is_unpacked(
    mnist: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision import datasets

    raw = write_idx(tmp_path / "MNIST", {})
    archives = {f"{name}.gz": gzip.compress(idx(values)) for name, values in mnist.items()}
    sums = {name: hashlib.md5(content, usedforsecurity=False).hexdigest() for name, content in archives.items()}
    monkeypatch.setattr(datasets.MNIST, "resources", list(sums.items()))
    for name, content in archives.items():
        (raw / name).write_bytes(content)
    assert load_images(of_mnist()).held_out.shape == (20, 1, 28, 28)


@pytest.mark.parametrize(("name", "kind"), [*zip(FILES, ("truncated", "empty", "garbage", "too long"), strict=True)])
def test_a_broken_idx_file_is_named(mnist: dict[str, np.ndarray], tmp_path: Path, name: str, kind: str) -> None:
    raw = write_idx(tmp_path / "MNIST", mnist)
    whole = (raw / name).read_bytes()
    broken = {"truncated": whole[:-3], "empty": b"", "garbage": b"garbage!" * 4, "too long": whole + b"xx"}
    (raw / name).write_bytes(broken[kind])
    with pytest.raises(DataError) as caught:
        load_images(of_mnist())
    assert str(caught.value).startswith(f"{raw / name} is corrupt or truncated")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("labels", [25, 35])
def test_labels_and_images_must_be_as_many(mnist: dict[str, np.ndarray], tmp_path: Path, labels: int) -> None:
    raw = write_idx(tmp_path / "MNIST", mnist | {"train-labels-idx1-ubyte": np.arange(labels, dtype=np.uint8) % 10})
    with pytest.raises(DataError, match=str(raw / "train-")):
        load_images(of_mnist())


def test_a_whole_file_is_not_blamed_for_a_missing_one(mnist: dict[str, np.ndarray], tmp_path: Path) -> None:
    raw = write_idx(tmp_path / "MNIST", mnist)
    (raw / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError) as caught:
        load_images(of_mnist())
    assert "corrupt" not in str(caught.value)


@pytest.mark.parametrize("data", FOLDERS)
@pytest.mark.usefixtures("mnist")
def test_without_network_the_digits_are_recommended(tmp_path: Path, data: str) -> None:
    with pytest.raises(DataError) as caught:
        load_images(of_mnist(data))
    assert str(caught.value).startswith(f"{FOLDERS[data]} could not be downloaded to {tmp_path} (")
    assert "data = digits" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_user_without_a_home_is_told_where_data_sets_could_go(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("GAN_LIB_DATA", raising=False)
    monkeypatch.setattr(Path, "home", nobody)
    with pytest.raises(DataError, match="GAN_LIB_DATA"):
        load_images(RunConfig(data="mnist"))
