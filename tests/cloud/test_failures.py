"""Trouble with AWS: one line each, the right exit code, and no instance that runs on without the user's knowledge."""

import builtins
from typing import Any

import pytest
from botocore.exceptions import ClientError

from gan_lib.cloud import service, stack

from .conftest import STOP, Cloud, Done, client, only_bucket, running
from .fake_aws import REFUSED, FakeAws


def assert_one_line(done: Done, code: int, *parts: str) -> None:
    assert done.returncode == code, done.stderr
    about_the_rest = ("may be running", "to stop", "not committed")
    (line,) = [line for line in done.stderr.splitlines() if not any(part in line for part in about_the_rest)]
    assert line.startswith("gan-lib: ")
    for part in parts:
        assert part in line, line


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's pauses between attempts, which it makes longer and longer."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)


def test_no_credentials_no_region_an_unknown_region(cloud: Cloud, aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-9")
    assert_one_line(cloud("status"), 2, "region must be one that has SageMaker", "'us-east-9'")
    monkeypatch.delenv("AWS_REGION")
    assert_one_line(cloud("status"), 2, "region must be set")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert_one_line(cloud("status"), 2, "credentials must be set")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert_one_line(cloud("status"), 2, "nobody")


def test_without_the_sdk_the_remedy_is_named(cloud: Cloud, aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".")[0] in ("boto3", "botocore"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert_one_line(cloud("status"), 2, "pip install -e '.[aws]'")
    assert cloud("plan").returncode == 0, "which needs none"


QUOTA = (
    "Resource handler returned message: \"The account-level service limit 'ml.g4dn.xlarge for notebook instance usage' is 0 "
    'Instances, with current utilization of 0 Instances" (HandlerErrorCode: ServiceLimitExceeded)'
)
CAPACITY = "Resource handler returned message: Insufficient capacity for ml.g4dn.xlarge"


@pytest.mark.parametrize(
    ("reason", "code", "part"), [(QUOTA, 2, "quota is used up or 0"), (CAPACITY, 1, "no such instance free now")]
)
def test_a_gpu_that_cannot_be_had_leaves_the_cpu(cloud: Cloud, aws: FakeAws, reason: str, code: int, part: str) -> None:
    """The stack rolls the GPU back. The CPU instance works on its own batch: it is not stopped, the error names it."""
    cloud("up")
    REFUSED["gan-lib-gpu"] = reason
    done = cloud("run", "gan-cpu", "gan-gpu")
    assert_one_line(done, code, part)
    assert running() == ["gan-lib-cpu"]
    assert "gan-lib-cpu (ml.c5.2xlarge, 0.408 USD per hour)" in done.stderr
    assert STOP in done.stderr
    assert "gan-lib-gpu (" not in done.stderr, "it is certain that it does not run"
    keys = [item["Key"] for item in client("s3").list_objects_v2(Bucket=only_bucket())["Contents"]]
    assert "gan-lib/gan-lib-cpu/batch.txt" in keys
    assert "gan-lib/gan-lib-gpu/batch.txt" not in keys, "the request is taken back: a later start by hand must not run it"
    assert cloud("stop").returncode == 0 and running() == []
    REFUSED.clear()
    assert cloud("run", "gan-gpu").returncode == 0, "and it can be tried again"


def test_a_stopped_instance_that_cannot_be_started(cloud: Cloud, aws: FakeAws) -> None:
    cloud("up")
    cloud("run", "gan-cpu")
    cloud("stop")
    REFUSED["gan-lib-cpu"] = "Insufficient capacity"
    done = cloud("run", "gan-cpu")
    assert_one_line(done, 1, "no such instance free now", "gan-lib-cpu did not start", "Failed")
    assert "may be running" not in done.stderr
    assert running() == []


def test_credentials_that_expire_midway_leave_a_name_a_price_and_a_command(cloud: Cloud, aws: FakeAws) -> None:
    cloud("up")
    assert cloud("run", "gan-cpu").returncode == 0
    aws.fail("StopNotebookInstance", "ExpiredTokenException", "expired")
    done = cloud("stop")
    assert_one_line(done, 2, "credentials have expired")
    assert "gan-lib-cpu (ml.c5.2xlarge, 0.408 USD per hour)" in done.stderr
    assert running() == ["gan-lib-cpu"]


def test_a_stack_that_cannot_be_made_names_its_reason(cloud: Cloud, aws: FakeAws) -> None:
    """moto makes every stack, so the test writes its events: others were only cancelled, the newest come first."""
    cloud("up")
    aws.add_event("Bucket", "CREATE_FAILED", "API: s3:CreateBucket Access Denied")
    aws.add_event("CpuRole", "CREATE_FAILED", "Resource creation cancelled")
    made = stack.find(service.Aws(), "gan-lib")
    assert stack.failure_reason(service.Aws(), made.id) == "Bucket: API: s3:CreateBucket Access Denied"


def test_a_stack_from_the_console_with_another_prefix_is_seen_and_stopped(cloud: Cloud, aws: FakeAws) -> None:
    """Way 2 lets the stack and its instances have different names: what runs must not be overlooked."""
    client("cloudformation").create_stack(
        StackName="byhand",
        TemplateBody=stack.TEMPLATE.read_text(),
        Parameters=[{"ParameterKey": "Instances", "ParameterValue": "cpu"}],
        Capabilities=["CAPABILITY_IAM"],
    )
    assert "gan-lib-cpu: ml.c5.2xlarge" in cloud("status", "--name", "byhand").stdout
    assert "gan-lib-cpu stopped" in cloud("stop", "--name", "byhand").stdout
    assert cloud("run", "gan-cpu", "--name", "byhand").returncode == 0
    assert running() == ["gan-lib-cpu"]
    assert cloud("down", "--name", "byhand").returncode == 0
    assert running() == []


@pytest.mark.quick
def test_an_access_key_in_an_answer_of_aws_reaches_no_message() -> None:
    key = "AKIAEXAMPLEEXAMPLE12"
    facts = {"Code": "InvalidAccessKeyId", "Message": "It does not exist", "AWSAccessKeyId": key}
    message = str(service.explain(ClientError({"Error": facts}, "ListBuckets")))  # type: ignore[arg-type]
    assert key not in message and "credentials" in message


@pytest.mark.parametrize("command", ["up", "run", "status", "fetch", "stop", "down"])
def test_what_aws_answers_is_one_line_for_every_command(cloud: Cloud, aws: FakeAws, command: str) -> None:
    for code, status, exit_code, part in (
        ("ExpiredToken", 403, 2, "credentials have expired"),
        ("InvalidClientTokenId", 403, 2, "credentials are not valid"),
        ("AccessDenied", 403, 2, "access denied"),
        ("InternalFailure", 500, 1, "AWS failed (InternalFailure)"),
    ):
        aws.fail("DescribeStacks", code, "no", status, times=6)
        assert_one_line(cloud(command), exit_code, part)
        aws._failures.clear()


def test_throttling_and_silence_are_waited_out_and_at_last_reported(
    cloud: Cloud, aws: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.fail("DescribeStacks", "Throttling", "Rate exceeded", times=3)
    assert cloud("up").returncode == 0
    aws.fail("DescribeStacks", "Throttling", "Rate exceeded")
    assert_one_line(cloud("status"), 1, "AWS asks for fewer calls", "Rate exceeded")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert_one_line(cloud("status"), 1, "AWS does not answer")
