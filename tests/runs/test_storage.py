"""Files are whole or not there, and a damaged one is refused in one line."""

import errno
import json
import os
import random
from pathlib import Path

import pytest
import torch

from gan_lib.errors import RecordError
from gan_lib.runs.storage import pack, read_bytes, read_json, unpack, write_bytes, write_json

VALUE = {"name": "é & <b>", "number": 1 / 3, "list": [1, None, True], "nested": {"b": 1e-300, "a": "x"}}


def test_json_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", VALUE)
    assert read_json(tmp_path / "a.json") == {"schema_version": 2, **VALUE}
    assert json.loads((tmp_path / "a.json").read_text())["name"] == "é & <b>"  # and people can read it


def test_a_missing_file_is_an_error_unless_something_stands_in(tmp_path: Path) -> None:
    assert read_json(tmp_path / "a.json", missing={"b": 1}) == {"b": 1}
    with pytest.raises(RecordError, match=r"a\.json does not exist"):
        read_json(tmp_path / "a.json")


def test_every_flipped_bit_of_a_json_file_is_noticed_or_means_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, VALUE)
    whole = path.read_bytes()
    refused = 0
    for position in range(len(whole)):
        for bit in (0, 3, 5):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            try:
                assert read_json(path) == {"schema_version": 2, **VALUE}  # a blank that became another kind of blank
            except RecordError as error:
                refused += 1
                assert "\n" not in str(error)
                assert str(path) in str(error)
    assert refused > 2.5 * len(whole)


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
    for _ in range(300):
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
    for name in ("pipe", "zero", "folder"):
        with pytest.raises(RecordError, match="must be a regular file"):
            read_bytes(tmp_path / name)
        with pytest.raises(RecordError, match="must be a regular file"):
            unpack(tmp_path / name)
        with pytest.raises(RecordError, match="must be a regular file"):
            read_json(tmp_path / name)
    with pytest.raises(RecordError, match=r"must be at most 1,048,576 bytes, got 1,099,511,627,776"):
        read_bytes(tmp_path / "giant")
    with pytest.raises(RecordError, match="giant"):
        unpack(tmp_path / "giant")
