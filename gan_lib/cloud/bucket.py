"""What lies in the results bucket: the project, requests for batches, and runs. Keys are checked before they are paths."""

import hashlib
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from gan_lib.cloud.service import Aws
from gan_lib.errors import CloudError, ConfigurationError

PREFIX = "gan-lib"  # of every key; the instances' roles reach nothing else
ARCHIVE = f"{PREFIX}/gan-lib.tar.gz"
# The files of a run that are fetched, and nothing else: a key is what somebody wrote into a bucket, not yet a path.
RUN_FILES = (
    *("config.json", "machine.json", "history.csv", "metrics.csv", "summary.json", "samples.png", "progress.gif"),
    *("generator.safetensors", "discriminator.safetensors", "notebook.ipynb", "report.html", "run.log"),
)
_RUN_KEY = re.compile(r"(?P<run>(?:gan|cgan)-(?:cpu|gpu)(?:--[a-z0-9][a-z0-9.-]{0,70})?/seed-[0-9]{1,10})/(?P<file>[^/]+)")
MAX_BYTES = 500_000_000  # of one file; the largest that a run writes has about 7 million


@dataclass(frozen=True)
class Stored:
    """One object."""

    key: str
    size: int
    changed: datetime


@dataclass
class Runs:
    """The runs below a prefix: {"gan-cpu/seed-0": {"config.json": ...}}, and the keys that are none of a run's."""

    files: dict[str, dict[str, Stored]] = field(default_factory=dict)
    strange: list[str] = field(default_factory=list)


def instance_prefix(instance: str) -> str:
    """Where an instance's hooks write."""
    return f"{PREFIX}/{instance}"


def jobs_prefix(machine: str) -> str:
    """Where the training jobs of a machine write: one folder for all of them, so that a job goes on where another ended."""
    return f"{PREFIX}/jobs/{machine}/checkpoints"


def listing(aws: Aws, bucket: str, prefix: str) -> Iterator[Stored]:
    """Every object below a prefix."""
    for page in aws.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/"):
        for item in page.get("Contents", []):
            yield Stored(item["Key"], item["Size"], item["LastModified"])


def find_runs(aws: Aws, bucket: str, prefix: str) -> Runs:
    """The runs below PREFIX/runs. What has no run's name, or is too large for one, is listed apart."""
    runs = Runs()
    below = f"{prefix}/runs/"
    for item in listing(aws, bucket, f"{prefix}/runs"):
        match = _RUN_KEY.fullmatch(item.key.removeprefix(below))
        if match and match["file"] in RUN_FILES and item.size <= MAX_BYTES:
            runs.files.setdefault(match["run"], {})[match["file"]] = item
        elif match is None or not _is_ours(match["file"]):
            runs.strange.append(item.key)
    return runs


def _is_ours(file: str) -> bool:
    """Files of a run that are not fetched: they serve the machine that wrote them."""
    return file == "run.lock" or "checkpoint" in file or file.startswith(".")


def read(aws: Aws, bucket: str, key: str) -> tuple[str, datetime] | None:
    """A small text and when it was written, or None when there is none."""
    from botocore.exceptions import ClientError

    try:
        answer = aws.s3.get_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"].get("Code") in ("NoSuchKey", "404"):
            return None
        raise
    with answer["Body"] as body:
        text: str = body.read(1_000_000).decode("utf-8", "replace")
    return text, answer["LastModified"]


def write(aws: Aws, bucket: str, key: str, content: bytes | str) -> None:
    """Write one object."""
    aws.s3.put_object(Bucket=bucket, Key=key, Body=content.encode() if isinstance(content, str) else content)


@dataclass(frozen=True)
class Project:
    """The project as it is committed: what an instance unpacks."""

    archive: bytes
    commit: str
    changes: int  # files that differ from the commit, and stay behind

    @property
    def sha256(self) -> str:
        """Of the archive, as sha256sum writes it."""
        return hashlib.sha256(self.archive).hexdigest()


def pack_project(root: Path) -> Project:
    """git archive of HEAD. Raises CloudError outside of a git checkout."""
    if not (root / ".git").exists():
        raise CloudError(f"{root} is not a git checkout: what runs in the cloud is packed by git archive")
    try:
        commit = _git(root, "rev-parse", "HEAD").decode().strip()
        changed = _git(root, "status", "--porcelain", "--untracked-files=normal").decode().splitlines()
        archive = _git(root, "archive", "--format=tar.gz", "HEAD")
    except FileNotFoundError as error:
        raise CloudError("git is not installed: what runs in the cloud is packed by git archive") from error
    except subprocess.CalledProcessError as error:
        raise CloudError(f"git cannot pack {root}: {error.stderr.decode('utf-8', 'replace').strip()[:200]}") from error
    return Project(archive, commit, len(changed))


def _git(root: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=True).stdout


def upload_project(aws: Aws, bucket: str, project: Project) -> bool:
    """Put the archive, then its checksum, into the bucket, unless they are there; returns whether it was needed."""
    there = read(aws, bucket, f"{ARCHIVE}.sha256")
    if there and there[0].split()[:1] == [project.sha256] and _size(aws, bucket, ARCHIVE) == len(project.archive):
        return False
    write(aws, bucket, ARCHIVE, project.archive)
    write(aws, bucket, f"{ARCHIVE}.sha256", f"{project.sha256}  gan-lib.tar.gz\n")
    return True


def _size(aws: Aws, bucket: str, key: str) -> int | None:
    return next((item.size for item in listing(aws, bucket, PREFIX) if item.key == key), None)


def request_text(arguments: list[str], comment: str) -> str:
    """A request for a batch: a comment, then one argument of `gan-lib run` on each line."""
    for argument in arguments:
        if not argument.strip() or argument.lstrip().startswith("#") or not argument.isprintable():
            raise ConfigurationError(f"an argument must be one line of text that does not begin with #, got {argument!r:.80}")
    return "\n".join([f"# {comment}", *arguments]) + "\n"


def empty(aws: Aws, bucket: str) -> int:
    """Delete every version of every object; returns how many there were."""
    count = 0
    for page in aws.s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        entries: list[dict[str, Any]] = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        objects = [{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in entries]
        if objects:  # at most 1,000 a page, as many as one deletion takes
            answer = aws.s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            if failed := answer.get("Errors"):
                raise CloudError(f"{len(failed)} objects of {bucket} cannot be deleted: {failed[0].get('Message', '')}")
        count += len(objects)
    return count
