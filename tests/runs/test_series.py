"""Numbers written line by line come back to the last digit, and what is broken is named."""

from pathlib import Path

import pytest

from gan_lib.errors import RecordError
from gan_lib.runs import storage
from gan_lib.runs.storage import checksum

COLUMNS = ("epoch", "seconds")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Epochs 5, 10 and 12, with a measure of each."""
    for epoch, value in ((5, 0.1), (10, 1 / 3), (12, 1e-17)):
        storage.append(tmp_path / "metrics.csv", {"epoch": epoch, "seconds": 1.5, "noise": value})
    return tmp_path / "metrics.csv"


def test_lines_come_back_to_the_last_digit_with_the_columns_that_they_have(path: Path) -> None:
    notes: list[str] = []
    found = storage.read_series(path, COLUMNS, notes, checksum(path.read_bytes()), more=True)
    assert found == {"epoch": [5, 10, 12], "seconds": [1.5] * 3, "noise": [0.1, 1 / 3, 1e-17]}
    assert notes == []
    before = path.read_bytes()
    storage.write(path, list(found), zip(*found.values(), strict=True))
    assert path.read_bytes() == before
    storage.write(path, list(found), [])
    assert not path.exists()


def test_a_file_that_is_missing_or_torn_in_its_first_line_has_no_lines(path: Path) -> None:
    empty: dict[str, list[float]] = {"epoch": [], "seconds": []}
    notes: list[str] = []
    assert storage.read_series(path.with_name("none.csv"), COLUMNS, notes) == empty
    assert notes == []
    path.write_text("epoch,sec")
    assert storage.read_series(path, COLUMNS, notes, more=True) == empty
    assert notes == [f"{path}: the last line was broken and is left out"]


@pytest.mark.parametrize("rest", ["15,1.5", "15,1.5,2", "12,1.5,2\n", "14.5,1,1\n", "nan,1,1\n", "15,1,a\n", "15,1\n"])
def test_a_broken_last_line_is_left_out_and_said(path: Path, rest: str) -> None:
    with path.open("a") as file:
        file.write(rest)
    notes: list[str] = []
    assert storage.read_series(path, COLUMNS, notes, more=True)["epoch"] == [5, 10, 12]
    assert notes == [f"{path}: the last line was broken and is left out"]


def test_a_line_that_is_broken_in_the_middle_is_refused_with_its_number(path: Path) -> None:
    path.write_text(path.read_text().replace("10,", "4,"))  # epochs rise
    with pytest.raises(RecordError, match=r"metrics\.csv: line 3 is broken \(3 values, epoch 4\)"):
        storage.read_series(path, COLUMNS, [], more=True)


def test_without_more_every_epoch_counts_and_no_other_column_may_follow(path: Path) -> None:
    with pytest.raises(RecordError, match=r"metrics\.csv: the first line must be epoch,seconds$"):
        storage.read_series(path, COLUMNS, [])
    path.write_text("epoch,seconds\n1,0.5\n3,0.5\n4,0.5\n")
    with pytest.raises(RecordError, match="line 3 is broken"):
        storage.read_series(path, COLUMNS, [])


@pytest.mark.parametrize("head", ["epoch,noise", "epoch,seconds,noise,noise", "epoch,seconds,<b>", "", "seconds,epoch,noise"])
def test_other_first_lines_are_refused(path: Path, head: str) -> None:
    path.write_text(f"{head}\n5,1,1\n10,1,1\n")
    with pytest.raises(RecordError, match="the first line must be epoch,seconds and names of measures"):
        storage.read_series(path, COLUMNS, [], more=True)


def test_a_file_whose_checksum_is_another_is_refused(path: Path) -> None:
    with pytest.raises(RecordError, match=r"metrics\.csv does not match its checksum in summary\.json"):
        storage.read_series(path, COLUMNS, [], checksum(b""), more=True)
