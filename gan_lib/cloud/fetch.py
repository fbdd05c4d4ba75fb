"""Results from the bucket into the results folder: only files that a run writes, and no run of yours is overwritten."""

from collections.abc import Callable
from pathlib import Path

from gan_lib.cloud import bucket, stack
from gan_lib.cloud.service import Aws
from gan_lib.errors import CloudError, RecordError
from gan_lib.runs.record import lock_holder

Say = Callable[[str], None]


def fetch(aws: Aws, name: str, results: Path, *, replace: bool, say: Say) -> list[str]:
    """Download the finished runs of every instance and job; returns their names. Raises CloudError, RecordError."""
    where = stack.find_bucket(aws, name)
    begin = stack.prefix(stack.find(aws, name), name)
    prefixes = [bucket.instance_prefix(f"{begin}-{machine}") for machine in stack.MACHINES]
    prefixes += [bucket.jobs_prefix(machine) for machine in stack.MACHINES]
    fetched: list[str] = []
    for prefix in prefixes:
        runs = bucket.find_runs(aws, where, prefix)
        for key in runs.strange:
            say(f"left where it is, no run writes such a file: {key!r:.120}")
        for run, files in sorted(runs.files.items()):
            if run in fetched:
                say(f"{run}: from {prefix} left where it is, another of this name was fetched")
            elif "summary.json" not in files or "config.json" not in files:
                say(f"{run}: not finished yet, left where it is")
            elif _fetch_run(aws, where, files, results / "runs" / run, replace=replace, say=say):
                fetched.append(run)
                say(f"{run}: {len(files)} files")
    if not fetched:
        raise CloudError(f"there are no finished runs in s3://{where} to fetch: gan-lib cloud status says how far they are")
    return fetched


def _fetch_run(aws: Aws, where: str, files: dict[str, bucket.Stored], folder: Path, *, replace: bool, say: Say) -> bool:
    """Download one run, its summary last: what is cut off is not taken for finished. False when another run is in its place."""
    history = bucket.read(aws, where, files["history.csv"].key) if "history.csv" in files else None
    if not replace and not _same_run(folder, history[0] if history else ""):
        say(f"{folder.parent.name}/{folder.name}: {folder} holds another run, left as it is; --replace replaces it")
        return False
    _check_inside(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(files, key=lambda file: file == "summary.json"):
        temporary = folder / f".{file}.tmp"
        try:
            aws.s3.download_file(where, files[file].key, str(temporary))
            temporary.replace(folder / file)
        finally:
            temporary.unlink(missing_ok=True)
    for file in bucket.RUN_FILES:
        if file not in files:
            (folder / file).unlink(missing_ok=True)
    return True


def _same_run(folder: Path, history: str) -> bool:
    """Whether a folder holds nothing, or this run at an earlier moment: seconds of epochs tell any two runs apart."""
    try:
        mine = (folder / "history.csv").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return lock_holder(folder) is None  # nothing that could be lost
    except OSError as error:
        raise RecordError(f"{folder} cannot be read: {error.strerror}") from error
    return history.startswith(mine)


def _check_inside(folder: Path) -> None:
    """Raise RecordError when a link leads a run's folder out of the results folder."""
    root = folder.parents[1].resolve()
    if not folder.resolve().is_relative_to(root):
        raise RecordError(f"{folder} leads out of {root}: remove the link")
