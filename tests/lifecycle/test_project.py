"""How the project gets onto the volume: by hand, from a git commit, from an archive in the bucket."""

import hashlib
import subprocess
import tarfile
from pathlib import Path

import pytest

from .sandbox import LOCK, Sandbox


def git(*arguments: str, folder: Path) -> str:
    identity = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org", "-c", "init.defaultBranch=main"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path) -> str:
    git("add", "--all", folder=folder)
    git("commit", "--quiet", "--message", "a state of the project", folder=folder)
    return git("rev-parse", "HEAD", folder=folder)


@pytest.fixture
def remote(empty: Sandbox, tmp_path: Path) -> Path:
    folder = tmp_path / "remote"
    empty.make_project(folder)
    git("init", "--quiet", folder=folder)
    empty.knobs["PROJECT_GIT_URL"] = f"file://{folder}"
    empty.knobs["PROJECT_GIT_COMMIT"] = commit(folder)
    return folder


@pytest.fixture
def archive(empty: Sandbox, tmp_path: Path) -> Path:
    """The project's archive in the bucket; the returned folder is what `upload` packs."""
    folder = tmp_path / "packed"
    empty.make_project(folder)
    empty.knobs["PROJECT_ARCHIVE"] = "s3://bucket/gan-lib/gan-lib.tar.gz"
    upload(empty, folder)
    return folder


def upload(instance: Sandbox, folder: Path) -> None:
    target = instance.bucket / "bucket/gan-lib/gan-lib.tar.gz"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(target, "w:gz") as tar:
        tar.add(folder, arcname=".")
    checksum = hashlib.sha256(target.read_bytes()).hexdigest()
    Path(f"{target}.sha256").write_text(f"{checksum}  gan-lib.tar.gz\n")


def test_an_empty_volume_waits_for_the_project_and_says_how(empty: Sandbox) -> None:
    empty.start()
    assert empty.kernel_name() == "Python (gan-lib) - waiting for the project, see GAN-LIB-STATUS.txt"
    assert f"Put the project into {empty.project}, then stop and start the instance." in empty.status()
    empty.make_project(empty.project)
    empty.stop()
    empty.start()
    assert empty.ready()


def test_a_git_commit_is_fetched_once_after_hiccups(empty: Sandbox, remote: Path) -> None:
    empty.on("git", '[[ "$all" != *" fetch "* ]] || fail_times 2')
    empty.start()
    assert empty.ready()
    assert git("rev-parse", "HEAD", folder=empty.project) == empty.knobs["PROJECT_GIT_COMMIT"]
    assert git("status", "--porcelain", folder=empty.project) == "", "runs record a clean commit"
    before = empty.snapshot()
    empty.stop()
    empty.forget_calls()
    empty.start()
    assert empty.snapshot() == before
    assert empty.arguments("git") == []


def test_an_archive_is_fetched_once_after_hiccups(empty: Sandbox, archive: Path) -> None:
    empty.on("aws", "fail_times 2")
    empty.start()
    assert empty.ready()
    assert (empty.project / "requirements.lock").read_text() == LOCK
    assert not list(empty.volume.glob("*.tar.gz"))
    before = empty.snapshot()
    empty.stop()
    empty.forget_calls()
    empty.start()
    assert empty.snapshot() == before
    assert [call.split()[3] for call in empty.arguments("aws")] == ["s3://bucket/gan-lib/gan-lib.tar.gz.sha256"]


@pytest.mark.parametrize("source", ["remote", "archive"])
def test_a_new_version_loses_nothing_of_the_users(empty: Sandbox, source: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(source)
    empty.start()
    run = empty.project / "results/runs/gan-cpu/seed-0/summary.json"
    run.parent.mkdir(parents=True)
    run.write_text("a run")
    (empty.project / "environment.yml").write_text("edited by the user")
    (folder / "requirements.lock").write_text(LOCK + "zipp==3.23.0\n")
    if source == "remote":
        empty.knobs["PROJECT_GIT_COMMIT"] = commit(folder)
    else:
        upload(empty, folder)
    empty.stop()
    empty.start()
    assert empty.ready()
    assert "zipp==3.23.0" in (empty.env / "requirements.txt").read_text()
    assert run.read_text() == "a run", "the runs moved along"
    (old,) = empty.volume.glob("gan-lib.before-*")
    assert (old / "environment.yml").read_text() == "edited by the user"


@pytest.mark.parametrize("kill", ["git", "mv"])
def test_a_fetch_that_is_cut_off_heals(empty: Sandbox, remote: Path, kill: str) -> None:
    empty.start()
    run = empty.project / "results/runs/gan-cpu/seed-0/summary.json"
    run.parent.mkdir(parents=True)
    run.write_text("a run")
    (remote / "requirements.lock").write_text(LOCK + "zipp==3.23.0\n")
    empty.knobs["PROJECT_GIT_COMMIT"] = commit(remote)
    empty.stop()
    if kill == "mv":
        (empty.root / "usr/bin/mv").symlink_to(empty.root / "stand_in.sh")
        empty.on("mv", '[[ "$all" != *gan-lib.new* ]] || power_cut')  # the old folder is aside, the new not in place
    else:
        empty.on("git", '[[ "$all" != *checkout* ]] || power_cut')
    assert empty.hook("on-start").returncode == 0
    empty.wait()
    empty.stop()
    empty.heal()
    empty.start()
    assert empty.ready()
    assert run.read_text() == "a run"
    assert "zipp==3.23.0" in (empty.project / "requirements.lock").read_text()


def test_an_archive_with_another_checksum_is_refused(empty: Sandbox, archive: Path) -> None:
    (empty.bucket / "bucket/gan-lib/gan-lib.tar.gz").write_bytes(b"something else")
    empty.start()
    assert not empty.project.exists()
    assert "wrong checksum: s3://bucket/gan-lib/gan-lib.tar.gz" in empty.status()
    assert "waiting for the project" in empty.kernel_name()


@pytest.mark.parametrize("name", ["main", "v1.0", "0123abc", ""])
def test_a_branch_or_tag_is_refused(empty: Sandbox, remote: Path, name: str) -> None:
    empty.knobs["PROJECT_GIT_COMMIT"] = name
    empty.start()
    assert not empty.project.exists()
    assert "PROJECT_GIT_COMMIT must be a commit id of 40 hex digits" in empty.status()


def test_without_a_network_the_copy_that_is_there_serves(empty: Sandbox, archive: Path) -> None:
    empty.start()
    empty.stop()
    empty.on("aws", "echo 'Could not connect to the endpoint URL' >&2; exit 255")
    empty.start()
    assert empty.kernel_name() == "Python (gan-lib) - project not refreshed, see GAN-LIB-STATUS.txt"
    argv = empty.kernel()["argv"]
    assert isinstance(argv, list) and argv[0] == f"{empty.env}/bin/python", "the environment is usable"
    assert "Could not connect to the endpoint URL. The copy that was there is used." in empty.status()
