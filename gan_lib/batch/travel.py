"""Run folders between two machines: pack into bytes, check like a stranger's folder, replace as a whole or not at all."""

import io
import stat
import tempfile
import zipfile
from pathlib import Path

from gan_lib.batch.job import Job
from gan_lib.config import differences
from gan_lib.errors import RecordError
from gan_lib.runs import storage
from gan_lib.runs.record import FILES, read_record
from gan_lib.text import first_line, shorten

NAMES = (*FILES, "notebook.ipynb", "report.html", "run.log")
MOST_BYTES = 2**30  # of a run folder; that of the paper's GAN has 18 million


def pack(folder: Path) -> bytes:
    """Return a run's files as an archive, or b"" without files. Not compressed: most of it is weights and pictures.

    Raises RecordError where they are too large.
    """
    paths = [path for name in NAMES if (path := folder / name).is_file() and not path.is_symlink()]
    if (size := sum(path.stat().st_size for path in paths)) > MOST_BYTES:
        raise RecordError(
            f"{folder} must have at most {MOST_BYTES:,} bytes to travel (a shared folder has no limit), got {size:,}"
        )
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", strict_timestamps=False) as archive:
        for path in paths:
            archive.write(path, path.name)
    return content.getvalue() if paths else b""


def unpack(content: bytes, folder: Path) -> None:
    """Write an archive's files into a new folder. Raises RecordError for one that `pack` did not make."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            _check(entries)
            folder.mkdir(parents=True)
            for entry in entries:
                (folder / entry.filename).write_bytes(archive.read(entry))  # compared with its checksum
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise RecordError(f"the archive of a run cannot be read: {first_line(error)}") from error


def _check(entries: list[zipfile.ZipInfo]) -> None:
    """Raise RecordError unless these are plain files of a run, each once, not compressed, and not too large."""
    names = [entry.filename for entry in entries]
    for entry in entries:
        if entry.filename not in NAMES or names.count(entry.filename) > 1:  # so that none leads out of the folder
            raise RecordError(f"the archive of a run must hold its files, each once, got {shorten(entry.filename)}")
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG) or entry.compress_type != zipfile.ZIP_STORED:
            raise RecordError(f"the archive of a run must hold plain files, which {entry.filename} is not")
    if (size := sum(entry.file_size for entry in entries)) > MOST_BYTES:
        raise RecordError(f"the archive of a run must hold at most {MOST_BYTES:,} bytes, got {size:,}")


def land(content: bytes, job: Job) -> None:
    """Replace a run's files by those that came back. Other files in the folder, and locks, stay.

    Raises RecordError where it is damaged, unfinished, or another run than the one that was asked for.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".landing-", dir=job.folder.parent) as beside:
        new, old = Path(beside, job.folder.name), Path(beside, "old")
        unpack(content, new)
        record = read_record(new)
        if changed := differences(record.config, job.config, ignore=()):
            raise RecordError(f"{job.name} came back as another run: {', '.join(changed)} differ")
        if not record.summary or (record.status == "ok" and record.epochs_done != job.config.epochs):
            raise RecordError(f"{job.name} came back unfinished, after {record.epochs_done} of {job.config.epochs} epochs")
        for path in new.glob("*.safetensors"):
            storage.unpack(path)
        for path in job.folder.iterdir():
            if path.name not in NAMES:
                path.rename(new / path.name)
        job.folder.rename(old)
        new.rename(job.folder)
