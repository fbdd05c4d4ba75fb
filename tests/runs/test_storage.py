"""Files are whole or not there, and a damaged one is refused in one line."""

import errno
import json
import os
import random
import tracemalloc
from pathlib import Path

import pytest
import torch

from gan_lib.errors import RecordError
from gan_lib.runs import storage
from gan_lib.runs.storage import checksum, pack, read_bytes, read_json, unpack, write_bytes, write_json

VALUE = {"name": "é & <b>", "number": 1 / 3, "list": [1, None, True], "nested": {"b": 1e-300, "a": "x"}}


def test_json_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", VALUE)
    assert read_json(tmp_path / "a.json") == {"schema_version": 2, **VALUE}
    assert json.loads((tmp_path / "a.json").read_text())["name"] == "é & <b>"  # and people can read it


def test_a_missing_file_is_an_error_unless_something_stands_in(tmp_path: Path) -> None:
    assert read_json(tmp_path / "a.json", missing={"b": 1}) == {"b": 1}
    with pytest.raises(RecordError, match=r"a\.json does not exist"):
        read_json(tmp_path / "a.json")


def test_a_flipped_bit_in_any_byte_of_a_json_file_is_noticed_or_means_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, VALUE)
    whole = path.read_bytes()
    refused = 0
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            assert read_json(path) == {"schema_version": 2, **VALUE}  # a blank that became another kind of blank
        except RecordError as error:
            refused += 1
            assert "\n" not in str(error)
            assert str(path) in str(error)
    assert refused > 0.8 * len(whole)


def test_tensors_and_facts_come_back_to_the_last_bit(tmp_path: Path) -> None:
    tensors = {
        "a": torch.randn(3, 4).t(),  # not contiguous
        "b": torch.tensor(float("nan")),
        "c": torch.zeros(0, 2),
        "d": torch.arange(5, dtype=torch.uint8),
        "e": torch.randn(2).bfloat16(),
    }
    write_bytes(tmp_path / "t", pack(tensors, VALUE))
    back, facts = unpack(tmp_path / "t")
    assert facts == VALUE
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert back[name].dtype == tensor.dtype
        assert back[name].shape == tensor.shape
        assert torch.equal(back[name].contiguous().view(-1).view(torch.uint8), tensor.contiguous().view(-1).view(torch.uint8))


def test_the_same_tensors_make_the_same_bytes() -> None:
    tensors = {name: torch.full((3,), float(number)) for number, name in enumerate("qwertyuiop")}
    assert len({pack(tensors, VALUE) for _ in range(5)}) == 1


def test_damaged_tensors_are_refused_in_one_line(tmp_path: Path) -> None:
    path, chance = tmp_path / "t", random.Random(0)  # noqa: S311
    whole = pack({"weight": torch.randn(20, 5), "bias": torch.zeros(20)}, {"epoch": 3})
    for _ in range(100):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged[: chance.choice([len(whole), chance.randrange(len(whole))])])
        with pytest.raises(RecordError) as caught:
            unpack(path)
        assert str(caught.value).startswith(f"{path} ")
        assert "\n" not in str(caught.value)


def test_weights_from_elsewhere_have_no_checksum_and_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(2)}, tmp_path / "t")
    with pytest.raises(RecordError, match="does not match its own checksum"):
        unpack(tmp_path / "t")


def test_a_write_keeps_what_was_there_under_another_name(tmp_path: Path) -> None:
    for content in (b"one", b"two", b"three"):
        write_bytes(tmp_path / "new", content, durable=True, keep=tmp_path / "old")
    assert ((tmp_path / "new").read_bytes(), (tmp_path / "old").read_bytes()) == (b"three", b"two")
    assert len(list(tmp_path.iterdir())) == 2


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"old")
    with pytest.raises(TypeError):
        write_bytes(tmp_path / "a", "text")  # type: ignore[arg-type]
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_write_never_goes_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "a.json").symlink_to(tmp_path / "victim")
    (tmp_path / ".a.json.tmp").symlink_to(tmp_path / "victim")
    write_bytes(tmp_path / "a.json", b"ours")
    assert (tmp_path / "victim").read_text() == "precious"
    assert (tmp_path / "a.json").read_bytes() == b"ours"


def test_a_full_disk_names_the_file_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_bytes(tmp_path / "a", b"content", durable=True)
    assert caught.value.filename == str(tmp_path / "a")
    assert str(caught.value).endswith(f"No space left on device: '{tmp_path / 'a'}'")
    assert list(tmp_path.iterdir()) == []


def test_json_that_is_written_holds_what_every_reader_takes(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": float("nan"), "b": [float("inf"), {"c": float("-inf")}], "d": "x\udcff"})
    assert read_json(tmp_path / "a.json") == {"schema_version": 2, "a": None, "b": [None, {"c": None}], "d": "x\\udcff"}


@pytest.mark.parametrize("text", ['{"a": "\\ud800"}', '{"\\udcff": 1}'])
def test_half_a_character_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(RecordError, match="cannot be read as JSON"):
        read_json(tmp_path / "a.json")


@pytest.mark.usefixtures("no_hanging")
def test_a_pipe_a_device_a_folder_and_a_giant_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    with (tmp_path / "giant").open("wb") as file:
        file.truncate(2**40)
    for read in (read_bytes, read_json, unpack):
        for name in ("pipe", "zero", "folder"):
            with pytest.raises(RecordError, match="must be a regular file"):
                read(tmp_path / name)
        with pytest.raises(RecordError, match=r"must be at most [\d,]+ bytes, got 1,099,511,627,776"):
            read(tmp_path / "giant")


COLUMNS = ("epoch", "seconds")


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    """Epochs 5, 10 and 12, with a measure of each."""
    for epoch, value in ((5, 0.1), (10, 1 / 3), (12, 1e-17)):
        storage.append(tmp_path / "metrics.csv", {"epoch": epoch, "seconds": 1.5, "noise": value})
    return tmp_path / "metrics.csv"


def test_lines_come_back_to_the_last_digit_with_the_columns_that_they_have(metrics: Path) -> None:
    notes: list[str] = []
    series = storage.read_series(metrics, COLUMNS, notes, checksum(metrics.read_bytes()), more=True)
    assert {name: list(values) for name, values in series.items()} == {
        "epoch": [5, 10, 12],
        "seconds": [1.5] * 3,
        "noise": [0.1, 1 / 3, 1e-17],
    }
    assert notes == []
    before = metrics.read_bytes()
    storage.write(metrics, list(series), zip(*series.values(), strict=True))
    assert metrics.read_bytes() == before
    storage.write(metrics, list(series), [])
    assert not metrics.exists()


def test_a_file_that_is_missing_or_torn_in_its_first_line_has_no_lines(metrics: Path) -> None:
    notes: list[str] = []
    missing = storage.read_series(metrics.with_name("none.csv"), COLUMNS, notes)
    assert {name: len(values) for name, values in missing.items()} == {"epoch": 0, "seconds": 0}
    assert notes == []
    metrics.write_text("epoch,sec")
    torn = storage.read_series(metrics, COLUMNS, notes, more=True)
    assert {name: len(values) for name, values in torn.items()} == {"epoch": 0, "seconds": 0}
    assert notes == [f"{metrics}: the last line was broken and is left out"]


@pytest.mark.parametrize(
    "rest", ["15,1.5", "15,1.5,2", "12,1.5,2\n", "14.5,1,1\n", "nan,1,1\n", "15,1,1e308\n", "15,1,a\n", "15,1\n"]
)
def test_a_broken_last_line_is_left_out_and_said(metrics: Path, rest: str) -> None:
    with metrics.open("a") as file:
        file.write(rest)
    notes: list[str] = []
    assert list(storage.read_series(metrics, COLUMNS, notes, more=True)["epoch"]) == [5, 10, 12]
    assert notes == [f"{metrics}: the last line was broken and is left out"]


def test_a_line_that_is_broken_in_the_middle_is_refused_with_its_number(metrics: Path) -> None:
    metrics.write_text(metrics.read_text().replace("10,", "4,"))  # epochs rise
    with pytest.raises(RecordError, match=r"metrics\.csv: line 3 is broken"):
        storage.read_series(metrics, COLUMNS, [], more=True)


def test_without_more_every_epoch_counts_and_no_other_column_may_follow(metrics: Path) -> None:
    with pytest.raises(RecordError, match=r"metrics\.csv: the first line must be epoch,seconds$"):
        storage.read_series(metrics, COLUMNS, [])
    metrics.write_text("epoch,seconds\n1,0.5\n3,0.5\n4,0.5\n")
    with pytest.raises(RecordError, match="line 3 is broken"):
        storage.read_series(metrics, COLUMNS, [])


@pytest.mark.parametrize("head", ["epoch,noise", "epoch,seconds,noise,noise", "epoch,seconds,<b>", "", "seconds,epoch,noise"])
def test_other_first_lines_are_refused(metrics: Path, head: str) -> None:
    metrics.write_text(f"{head}\n5,1,1\n10,1,1\n")
    with pytest.raises(RecordError, match="the first line must be epoch,seconds and names of measures"):
        storage.read_series(metrics, COLUMNS, [], more=True)


@pytest.mark.parametrize(("lines", "reason"), [("\n" * 4, "one line for each of 3 epochs"), ("1" * 4097, "a line is broken")])
def test_more_than_such_a_run_writes_is_refused_before_it_is_parsed(metrics: Path, lines: str, reason: str) -> None:
    metrics.write_text(f"epoch,seconds\n{lines}\n")
    for read in (storage.read_series, storage.count_lines):
        with pytest.raises(RecordError, match=reason):
            read(metrics, COLUMNS, [], epochs=3)
    with metrics.open("r+b") as file:
        file.truncate(5 * 4096 + 1)
    with pytest.raises(RecordError, match="must be at most 20,480 bytes, got 20,481"):
        storage.read_series(metrics, COLUMNS, [], epochs=3)


def test_reading_takes_little_more_memory_than_the_file(metrics: Path) -> None:
    count = 200_000
    metrics.write_text("epoch,seconds\n" + "".join(f"{epoch},1.2345678901234567\n" for epoch in range(1, count + 1)))
    tracemalloc.start()
    try:
        storage.read_series(metrics, COLUMNS, [], epochs=count)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 * metrics.stat().st_size


def test_a_file_whose_checksum_is_another_is_refused(metrics: Path) -> None:
    with pytest.raises(RecordError, match=r"metrics\.csv does not match its checksum in summary\.json"):
        storage.read_series(metrics, COLUMNS, [], checksum(b""), more=True)
