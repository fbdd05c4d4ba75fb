"""Fixtures of the cloud tests."""

import functools
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("boto3", reason="gan-lib cloud needs boto3")
pytest.importorskip("moto.server", reason="these tests need moto's server")

from gan_lib.batch.progress import program
from gan_lib.cloud import service

from .fake_aws import CREDENTIALS, FakeAws

STOP = f"AWS_REGION=us-east-1 {program()} cloud stop"
Done = subprocess.CompletedProcess[str]
Cloud = Callable[..., Done]


@pytest.fixture(scope="session")
def server() -> Iterator[FakeAws]:
    """moto's server, one for all tests."""
    fake = FakeAws()
    yield fake
    fake.close()


@pytest.fixture
def aws(server: FakeAws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeAws]:
    """An empty account, found by the SDK through its own settings; nobody's real credentials are in reach."""
    server.reset()
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": server.url, "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(service, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(service, "WAIT_MINUTES", 5)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    yield server
    assert not server.broken, server.broken[0]


@pytest.fixture
def cloud(aws: FakeAws, capfd: pytest.CaptureFixture[str]) -> Cloud:
    """cloud("run", "gan-cpu"): the command line, in this process; with its exit code and what it printed."""
    return lambda *arguments: in_process(capfd, "cloud", *arguments)


def in_process(capfd: pytest.CaptureFixture[str], *arguments: object) -> Done:
    from gan_lib import cli

    capfd.readouterr()
    before = sys.argv
    sys.argv = ["gan-lib", *map(str, arguments)]
    try:
        cli.main()
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.argv = before
    out, err = capfd.readouterr()
    return subprocess.CompletedProcess(sys.argv, code, out, err)


@functools.cache
def client(service: str) -> Any:
    """The SDK itself, beside the command line."""
    import boto3

    return boto3.Session(region_name="us-east-1").client(service)


def running() -> list[str]:
    """The instances that AWS would charge for."""
    items = client("sagemaker").list_notebook_instances()["NotebookInstances"]
    return [item["NotebookInstanceName"] for item in items if item["NotebookInstanceStatus"] not in ("Stopped", "Failed")]


def only_bucket() -> str:
    """The name of the account's one bucket."""
    (bucket,) = client("s3").list_buckets()["Buckets"]
    return str(bucket["Name"])
