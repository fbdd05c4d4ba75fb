"""What comes back from another machine is checked as a stranger's, and lands whole or not at all."""

import io
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeConfig, train

from gan_lib.batch import travel
from gan_lib.batch.job import Job
from gan_lib.config import RunConfig
from gan_lib.errors import RecordError
from gan_lib.presets import run_name
from gan_lib.runs.record import read_record


def job_of(config: RunConfig, results: Path) -> Job:
    return Job(config, results / "runs" / run_name(config))


@pytest.fixture
def job(tiny: MakeConfig, tmp_path: Path) -> Job:
    """A run to make, of which nothing is there."""
    return job_of(tiny(), tmp_path / "results")


@pytest.fixture
def made(job: Job, tmp_path: Path) -> Path:
    """The same run, as another machine made it."""
    folder = tmp_path / "elsewhere"
    train(job.config, folder)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def archive(entries: dict[str, bytes], mode: int = 0, compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as written:
        for name, value in entries.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr, entry.compress_type = mode << 16, compression
            written.writestr(entry, value)
    return file.getvalue()


def test_a_run_lands_whole_and_leaves_what_is_not_of_a_run(job: Job, made: Path) -> None:
    job.folder.mkdir(parents=True)
    for name in ("mine.txt", "batch.lock", "history.csv"):
        (job.folder / name).write_text("before")
    travel.land(travel.pack(made), job)
    assert content(job.folder) == {**content(made), "mine.txt": b"before", "batch.lock": b"before"}
    assert read_record(job.folder).status == "ok"
    assert list(job.folder.parent.iterdir()) == [job.folder]


@pytest.mark.parametrize(
    "strange",
    [
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole.replace(b"epoch,", b"epoxh,", 1),
        lambda whole: b"no archive",
        lambda whole: archive({"../config.json": b"{}"}),
        lambda whole: archive({"/etc/passwd": b""}),
        lambda whole: archive({"more/config.json": b"{}"}),
        lambda whole: archive({"run.lock": b""}),
        lambda whole: archive({"config.json": b"/etc/passwd"}, stat.S_IFLNK | 0o777),
        lambda whole: archive({"config.json": b""}, stat.S_IFIFO | 0o644),
        lambda whole: archive({"history.csv": b"0" * 2**22}, compression=zipfile.ZIP_DEFLATED),
        lambda whole: archive({}),
    ],
    ids=["torn", "changed", "no archive", "out", "root", "below", "lock", "link", "pipe", "bomb", "empty"],
)
def test_an_archive_that_no_worker_makes_is_refused(strange: Callable[[bytes], bytes], job: Job, made: Path) -> None:
    job.folder.mkdir(parents=True)
    (job.folder / "config.json").write_text("before")
    with pytest.raises(RecordError):
        travel.land(strange(travel.pack(made)), job)
    assert content(job.folder) == {"config.json": b"before"}
    assert list(job.folder.parent.iterdir()) == [job.folder]


def test_a_file_that_is_there_twice_is_refused(made: Path, tmp_path: Path) -> None:
    file = io.BytesIO()
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(file, "w") as written:
        written.writestr("config.json", b"{}")
        written.writestr("config.json", b"{}")
    with pytest.raises(RecordError, match="each once"):
        travel.unpack(file.getvalue(), tmp_path / "new")


def test_what_is_too_large_does_not_travel(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, size = travel.pack(made), sum(map(len, content(made).values()))
    monkeypatch.setattr(travel, "MOST_BYTES", size)
    travel.unpack(whole, tmp_path / "fits")
    monkeypatch.setattr(travel, "MOST_BYTES", size - 1)
    for refused in (lambda: travel.unpack(whole, tmp_path / "new"), lambda: travel.pack(made)):
        with pytest.raises(RecordError, match=f"at most {size - 1:,} bytes"):
            refused()
    assert not (tmp_path / "new").exists()


def test_a_link_in_a_run_folder_stays_where_it_is(made: Path, tmp_path: Path) -> None:
    (made / "run.log").symlink_to("/etc/passwd")
    travel.unpack(travel.pack(made), tmp_path / "new")
    assert (tmp_path / "new" / "config.json").exists() and not (tmp_path / "new" / "run.log").exists()


@pytest.mark.parametrize(
    ("changes", "damage", "why"),
    [
        ({"seed": 1}, None, "another run: seed differ"),
        ({"learning_rate": 0.5}, None, "learning_rate"),
        ({}, lambda folder: (folder / "summary.json").unlink(), "unfinished"),
        ({}, lambda folder: (folder / "config.json").unlink(), "config.json"),
        ({}, lambda folder: (folder / "history.csv").write_text(""), "history.csv"),
        ({}, lambda folder: shutil.copy(folder / "samples.png", folder / "generator.safetensors"), "generator"),
    ],
    ids=["seed", "configuration", "half-written", "no config", "history", "weights"],
)
def test_another_run_than_was_asked_for_does_not_land(
    changes: dict[str, Any], damage: Callable[[Path], object] | None, why: str, tiny: MakeConfig, made: Path, tmp_path: Path
) -> None:
    asked = job_of(tiny(**changes), tmp_path / "results")
    if damage:
        damage(made)
    with pytest.raises(RecordError, match=why):
        travel.land(travel.pack(made), asked)
    assert content(asked.folder) == {}
