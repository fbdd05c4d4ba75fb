"""Read and write the results bucket: the project, requests for batches, and runs.

Keys in a bucket are not trusted: each is checked before it becomes a path. No run of the user is overwritten.
"""

import hashlib
import re
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gan_lib.cloud import stack as stacks
from gan_lib.cloud.service import Aws, ask
from gan_lib.errors import CloudError, ConfigurationError, RecordError
from gan_lib.runs.record import lock_holder
from gan_lib.runs.storage import refuse_outside

PREFIX = "gan-lib"  # every key begins with it; the instances' roles can reach nothing else
ARCHIVE = f"{PREFIX}/gan-lib.tar.gz"
# Only these files of a run are fetched.
RUN_FILES = (
    *("config.json", "machine.json", "history.csv", "metrics.csv", "samples.png", "progress.gif"),
    *("generator.safetensors", "discriminator.safetensors", "notebook.ipynb", "report.html", "run.log", "summary.json"),
)
# The name of a run, as presets.run_name returns it.
_RUN_KEY = re.compile(r"(?P<run>(?!.*\.\.)[a-z0-9][a-z0-9.-]{0,120}/seed-[0-9]{1,10})/(?P<file>[^/]+)")
_NOT_FETCHED = re.compile(r".*\.lock|.*checkpoint.*|\..*")  # useful only to the machine that wrote them
_MAX_BYTES = 500_000_000  # per file; the largest file of a run has about 7 million
_BLOCK = 1 << 20


def jobs_prefix(machine: str) -> str:
    """Return the folder of a machine's training jobs. They share one folder, so that a job resumes where another ended."""
    return f"{PREFIX}/jobs/{machine}/checkpoints"


def find_runs(aws: Aws, bucket: str, prefix: str) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return the runs below PREFIX/runs, {"gan-cpu/seed-0": {"config.json": its key}}, and all keys that belong to no run."""
    runs: dict[str, dict[str, str]] = {}
    strange, below = [], f"{prefix}/runs/"
    for page in aws.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=below):
        for item in page.get("Contents", []):
            match = _RUN_KEY.fullmatch(item["Key"].removeprefix(below))
            if match and match["file"] in RUN_FILES and item["Size"] <= _MAX_BYTES:
                runs.setdefault(match["run"], {})[match["file"]] = item["Key"]
            elif not (match and _NOT_FETCHED.fullmatch(match["file"])):
                strange.append(item["Key"])
    return runs, strange


def read(aws: Aws, bucket: str, key: str) -> tuple[str, datetime] | None:
    """Return a small text and the time of its last change, or None."""
    if (answer := ask(aws.s3.get_object, "NoSuchKey", "(404)", Bucket=bucket, Key=key)) is None:
        return None
    with answer["Body"] as body:
        text: str = body.read(20_000_000).decode("utf-8", "replace")
    return text, answer["LastModified"]


@dataclass(frozen=True)
class Project:
    """The committed project, as an archive that an instance unpacks."""

    archive: bytes
    sha256: str  # of the archive, as sha256sum writes it
    commit: str
    changes: int  # files that differ from the commit; they are not uploaded


def pack_project(root: Path) -> Project:
    """Pack HEAD with git archive. Raises CloudError outside of a git checkout."""
    if not (root / ".git").exists():
        raise CloudError(f"{root} is not a git checkout: what runs in the cloud is packed by git archive")

    def git(*arguments: str) -> bytes:
        return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=True).stdout

    try:
        changed = git("status", "--porcelain", "--untracked-files=normal").splitlines()
        archive, commit = git("archive", "--format=tar.gz", "HEAD"), git("rev-parse", "HEAD").decode().strip()
        return Project(archive, hashlib.sha256(archive).hexdigest(), commit, len(changed))
    except FileNotFoundError as error:
        raise CloudError("git is not installed: what runs in the cloud is packed by git archive") from error
    except subprocess.CalledProcessError as error:
        raise CloudError(f"git cannot pack {root}: {error.stderr.decode('utf-8', 'replace').strip()[:200]}") from error


def upload_project(aws: Aws, bucket: str, project: Project) -> bool:
    """Put the archive, then its checksum, into the bucket, unless it has them. Returns whether an upload was needed."""
    checksum = read(aws, bucket, f"{ARCHIVE}.sha256")
    objects = aws.s3.list_objects_v2(Bucket=bucket, Prefix=ARCHIVE).get("Contents", [])
    whole = (ARCHIVE, len(project.archive))
    if checksum and checksum[0].split()[:1] == [project.sha256] and whole in [(item["Key"], item["Size"]) for item in objects]:
        return False
    write_project(aws, bucket, ARCHIVE, project)
    return True


def write_project(aws: Aws, bucket: str, key: str, project: Project) -> None:
    """Write the archive, then its checksum beside it."""
    aws.s3.put_object(Bucket=bucket, Key=key, Body=project.archive)
    aws.s3.put_object(Bucket=bucket, Key=f"{key}.sha256", Body=f"{project.sha256}  gan-lib.tar.gz\n".encode())


def request_text(arguments: list[str], comment: str) -> str:
    """Return a request for a batch: a comment, then one argument of `gan-lib run` on each line."""
    for argument in arguments:
        if argument != argument.strip() or not argument or argument.startswith("#") or not argument.isprintable():
            wanted = "one line of text, without blanks around it, that does not begin with #"
            raise ConfigurationError(f"an argument must be {wanted}, got {argument!r:.80}")
    return "\n".join([f"# {comment}", *arguments]) + "\n"


def fetch(aws: Aws, name: str, results: Path, *, replace: bool, say: Callable[[str], None]) -> list[str]:
    """Download the finished runs of every instance and job; returns their names. Raises CloudError, RecordError."""
    stack = stacks.find(aws, name)
    if not (bucket := stacks.find_bucket(aws, stack)):
        raise CloudError(f"this account has no bucket of {name}: gan-lib cloud up makes one")
    prefixes = [f"{PREFIX}/{stack.instance(machine)}" for machine in stacks.MACHINES]
    fetched: list[str] = []
    for prefix in [*prefixes, *(jobs_prefix(machine) for machine in stacks.MACHINES)]:
        runs, strange = find_runs(aws, bucket, prefix)
        for key in strange:
            say(f"left where it is, no run writes such a file: {key!r:.120}")
        for run, files in sorted(runs.items()):
            if run in fetched:
                say(f"{run}: from {prefix} left where it is, another of this name was fetched")
            elif "summary.json" not in files or "config.json" not in files:
                say(f"{run}: not finished yet, left where it is")
            elif _fetch_run(aws, bucket, files, results / "runs" / run, replace=replace):
                fetched.append(run)
                say(f"{run}: {len(files)} files")
            else:
                say(f"{run}: {results / 'runs' / run} holds another run, left as it is; --replace replaces it")
    if not fetched:
        raise CloudError(f"no finished runs in s3://{bucket} to fetch: gan-lib cloud status says how far they are")
    return fetched


def _fetch_run(aws: Aws, bucket: str, files: dict[str, str], folder: Path, *, replace: bool) -> bool:
    """Download one run. Returns False when the folder contains another run.

    The summary comes last, so that an interrupted download does not look like a finished run.
    """
    root = folder.parents[1]
    refuse_outside(folder, root.parent)
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=root) as staged:
        history = Path(staged, "history.csv")
        history.touch()
        for file in sorted(files, key="history.csv".__ne__):  # history.csv first: it shows whether this is another run
            aws.s3.download_file(bucket, files[file], f"{staged}/{file}")
            if not replace and not _continues(history, folder):
                return False
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "summary.json").unlink(missing_ok=True)
        for file in RUN_FILES:
            if file in files:
                Path(staged, file).replace(folder / file)
            else:
                (folder / file).unlink(missing_ok=True)
    return True


def _continues(history: Path, folder: Path) -> bool:
    """Whether a folder is empty, or contains an earlier state of the same run. Runs differ in the seconds of their epochs."""
    try:
        with history.open("rb") as fetched, (folder / "history.csv").open("rb") as local:
            return all(fetched.read(len(block)) == block for block in iter(lambda: local.read(_BLOCK), b""))
    except FileNotFoundError:
        return lock_holder(folder) is None  # no data that could be lost
    except OSError as error:
        raise RecordError(f"{folder} cannot be read: {error.strerror}") from error


def empty(aws: Aws, bucket: str) -> int:
    """Delete every version of every object. Returns their number."""
    count = 0
    for page in aws.s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        entries = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        objects = [{key: entry[key] for key in ("Key", "VersionId")} for entry in entries]
        if objects:  # a page has at most 1,000, the limit of one deletion
            answer = aws.s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            if failed := answer.get("Errors"):
                raise CloudError(f"{len(failed)} objects of {bucket} cannot be deleted: {failed[0].get('Message', '')}")
        count += len(objects)
    return count
