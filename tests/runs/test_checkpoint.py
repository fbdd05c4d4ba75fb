"""The newest whole one, and in words what was not."""

from pathlib import Path

import pytest
import torch
from conftest import MakeConfig

from gan_lib.errors import RecordError
from gan_lib.runs import checkpoint
from gan_lib.runs.checkpoint import NEWEST, PREVIOUS
from gan_lib.runs.storage import pack


def save(folder: Path, tiny: MakeConfig, epoch: int, **changes: object) -> None:
    facts = {"trainer": {"epochs_done": epoch}}
    checkpoint.save(folder, tiny(**changes), {"weight": torch.full((3,), float(epoch))}, facts)


def test_the_newest_comes_back_and_the_one_before_is_kept(tiny: MakeConfig, tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path, tiny()) == (None, [])
    for epoch in (1, 2, 3):
        save(tmp_path, tiny, epoch)
    found, notes = checkpoint.load(tmp_path, tiny())
    assert found
    assert found.tensors["weight"].tolist() == [3, 3, 3]
    assert found.facts == {"trainer": {"epochs_done": 3}}
    assert notes == []
    assert {path.name for path in tmp_path.iterdir()} == {NEWEST, PREVIOUS}
    checkpoint.remove(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", [b"", b"torn", None])
def test_a_damaged_one_is_left_out_and_said(tiny: MakeConfig, tmp_path: Path, damage: bytes | None) -> None:
    for epoch in (1, 2):
        save(tmp_path, tiny, epoch)
    (tmp_path / NEWEST).write_bytes(pack({}, {}) if damage is None else damage)
    found, notes = checkpoint.load(tmp_path, tiny())
    assert found
    assert found.facts["trainer"]["epochs_done"] == 1
    assert len(notes) == 1
    assert notes[0].startswith(f"{tmp_path / NEWEST} ")
    assert notes[0].endswith("; left out")
    (tmp_path / PREVIOUS).write_bytes(b"torn too")
    found, notes = checkpoint.load(tmp_path, tiny())
    assert (found, len(notes)) == (None, 2)


def test_a_write_cut_off_between_its_renames_leaves_the_one_before(tiny: MakeConfig, tmp_path: Path) -> None:
    save(tmp_path, tiny, 1)
    (tmp_path / NEWEST).rename(tmp_path / PREVIOUS)
    found, notes = checkpoint.load(tmp_path, tiny())
    assert found
    assert notes == []


def test_other_parameters_are_refused_with_their_names(tiny: MakeConfig, tmp_path: Path) -> None:
    save(tmp_path, tiny, 1)
    with pytest.raises(RecordError) as caught:
        checkpoint.load(tmp_path, tiny(seed=7, dropout=0.5, checkpoint_seconds=5.0))
    assert "(dropout = 0.3 there, 0.5 here, seed = 0 there, 7 here)" in str(caught.value)
    assert "checkpoint_seconds" not in str(caught.value)


def test_where_it_stands_is_said_in_words(tiny: MakeConfig, tmp_path: Path) -> None:
    assert checkpoint.last(tmp_path, tiny()) == "there is no checkpoint yet"
    save(tmp_path, tiny, 4)
    save(tmp_path, tiny, 5)
    assert checkpoint.last(tmp_path, tiny()) == "the last good checkpoint is after epoch 5"
    (tmp_path / NEWEST).write_bytes(b"torn")
    assert checkpoint.last(tmp_path, tiny()) == "the last good checkpoint is after epoch 4"
