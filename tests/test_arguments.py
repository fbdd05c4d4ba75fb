"""arguments.py: what is typed becomes values, or is refused in a line."""

from pathlib import Path

import pytest

from gan_lib.arguments import parse_changes, parse_counts, parse_seeds
from gan_lib.errors import ConfigurationError


def test_numbers_of_images_are_a_list() -> None:
    assert parse_counts("2000,20000") == [2000, 20000]
    assert parse_counts("") == []
    with pytest.raises(ConfigurationError, match="images must be whole numbers from 128"):
        parse_counts("2000,many")


def test_seeds_are_lists_and_ranges() -> None:
    assert parse_seeds("0") == [0]
    assert parse_seeds("0-4") == [0, 1, 2, 3, 4]
    assert parse_seeds("0,2,5") == [0, 2, 5]
    assert parse_seeds("3,1-3") == [3, 1, 2]


@pytest.mark.parametrize("text", ["", "a", "-1", "4-1", "0-", "1,,2", "0-99999", "²"])
def test_other_seeds_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="seeds must be"):
        parse_seeds(text)


def test_changes_take_numbers_as_numbers_and_words_as_words() -> None:
    assert parse_changes(["epochs=50", "learning_rate=1e-4", "data=folder:/a=b"]) == {
        "epochs": 50,
        "learning_rate": 1e-4,
        "data": "folder:/a=b",
    }


def test_a_folder_of_images_is_named_from_where_the_user_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_changes(["data=folder:photos"]) == {"data": f"folder:{tmp_path / 'photos'}"}
