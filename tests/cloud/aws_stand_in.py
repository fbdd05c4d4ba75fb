"""What the lifecycle scripts use of the AWS command line, with the real SDK: s3 cp, s3 sync, stop-notebook-instance."""

import fnmatch
import sys
from pathlib import Path
from typing import Any

import boto3


def split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def copy(s3: Any, source: str, target: str) -> None:
    if source.startswith("s3://"):
        content = s3.get_object(Bucket=split(source)[0], Key=split(source)[1])["Body"].read()
        if target == "-":
            sys.stdout.buffer.write(content)
        else:
            Path(target).write_bytes(content)
    else:
        s3.put_object(Bucket=split(target)[0], Key=split(target)[1], Body=Path(source).read_bytes())


def sync(s3: Any, source: str, target: str, excluded: list[str]) -> None:
    for path in sorted(Path(source).rglob("*")):
        name = path.relative_to(source).as_posix()
        if path.is_file() and not any(fnmatch.fnmatch(name, pattern) for pattern in excluded):
            copy(s3, str(path), f"{target}/{name}")


def main(arguments: list[str]) -> None:
    plain = [item for item in arguments if item not in ("--quiet", "--only-show-errors")]
    excluded = [plain[index + 1] for index, item in enumerate(plain) if item == "--exclude"]
    if plain[:2] == ["sagemaker", "stop-notebook-instance"]:
        name = plain[plain.index("--notebook-instance-name") + 1]
        boto3.client("sagemaker").stop_notebook_instance(NotebookInstanceName=name)
    elif plain[:2] == ["s3", "cp"]:
        copy(boto3.client("s3"), plain[-2], plain[-1])
    elif plain[:2] == ["s3", "sync"]:
        sync(boto3.client("s3"), plain[-2], plain[-1], excluded)
    else:
        raise SystemExit(f"aws_stand_in: {' '.join(arguments)}")


if __name__ == "__main__":
    main(sys.argv[1:])
