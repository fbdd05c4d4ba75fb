"""Connect to AWS: clients with the SDK's own credentials, its waiters, and its errors as one line each."""

import contextlib
import functools
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

from gan_lib.errors import CloudError, GanLibError, ServiceError

_ATTEMPTS = 6  # in total, for a throttled call or a broken connection, with growing pauses
POLL_SECONDS = 5.0  # between two polls of AWS
WAIT_MINUTES = 30.0  # for one change: an instance takes about five, a stack a little longer


class Aws:
    """Clients of the services in use. Region and credentials come from the SDK's own configuration."""

    def __init__(self) -> None:
        try:
            import boto3
            import tenacity  # noqa: F401, it comes with the same extra
        except ImportError as error:
            raise CloudError(f"gan-lib cloud needs {error.name or error}, not installed: pip install -e '.[aws]'") from error
        # AWS's command line knows AWS_REGION, Python's SDK only the other name
        self._session = boto3.Session(region_name=os.environ.get("AWS_REGION") or None)
        self.region = self._session.region_name or ""
        self.started: dict[str, str] = {}  # what may run because of this command, with its type: see instances.ledger
        if not self.region:
            raise CloudError("region must be set (AWS_REGION, AWS_DEFAULT_REGION or `aws configure`), got none")
        partitions = self._session.get_available_partitions()
        if not any(self.region in self._session.get_available_regions("sagemaker", name) for name in partitions):
            raise CloudError(f"region must be one that has SageMaker (such as us-east-1), got {self.region!r}")
        self.sagemaker, self.cloudformation = self._client("sagemaker"), self._client("cloudformation")

    def _client(self, service: str) -> Any:
        from botocore.config import Config

        retries = {"mode": "standard", "total_max_attempts": _ATTEMPTS}
        return self._session.client(service, config=Config(retries=retries, connect_timeout=10, read_timeout=60))

    @functools.cached_property
    def s3(self) -> Any:
        """The S3 client. It refuses every request to a bucket of the same name in another account."""
        client, account = self._client("s3"), self._client("sts").get_caller_identity()["Account"]

        def expect_owner(params: dict[str, Any], model: Any, **_: Any) -> None:
            if "ExpectedBucketOwner" in model.input_shape.members:
                params["ExpectedBucketOwner"] = account

        client.meta.events.register("provide-client-params.s3", expect_owner)
        return client


def ask(call: Callable[..., Any], *absent: str, **request: Any) -> Any:
    """Call AWS. Returns None if its error contains one of the `absent` texts, which mean that the resource does not exist."""
    from botocore.exceptions import ClientError

    try:
        return call(**request)
    except ClientError as error:
        if any(word in str(error) for word in absent):
            return None
        raise


def wait(client: Any, waiter: str, trouble: str, reason: Callable[[], str], **request: str) -> None:
    """Wait by one of the SDK's waiters.

    Raises CloudError or ServiceError when AWS ends in another state, with AWS's reason for it, or takes too long.
    """
    from botocore.exceptions import WaiterError

    pace = {"Delay": POLL_SECONDS, "MaxAttempts": max(1, round(WAIT_MINUTES * 60 / POLL_SECONDS))}
    try:
        client.get_waiter(waiter).wait(**request, WaiterConfig=pace)
    except WaiterError as error:
        if "Max attempts" in str(error):
            raise ServiceError(f"{trouble}: not done after {WAIT_MINUTES:g} minutes, see gan-lib cloud status") from error
        raise failure(trouble, reason()) from error


def failure(trouble: str, reason: str) -> CloudError:
    """Return the error for an operation that AWS could not finish, with its reason."""
    what = f"{trouble}: {' '.join(reason.split()) or 'AWS gives no reason'}"
    if any(word in reason for word in ("service limit", "ServiceLimitExceeded", "ResourceLimitExceeded")):
        return CloudError(f"the account's quota is used up or 0: Service Quotas, SageMaker, raises it: {what}")
    if "capacity" in reason.lower():
        return ServiceError(f"AWS has no such instance free now: {what}; try again later or in another region")
    return ServiceError(what)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn the SDK's errors into CloudError (the user can mend it) or ServiceError (the service failed), one line each."""
    try:
        yield
    except GanLibError:
        raise
    except Exception as error:
        if explanation := explain(error):
            raise explanation from error
        raise


def explain(error: Exception) -> CloudError | None:
    """Describe an error of the SDK in one line; None for any other error."""
    from boto3.exceptions import Boto3Error
    from botocore import exceptions as botocore
    from botocore.parsers import ResponseParserError

    credentials = (
        *(botocore.NoCredentialsError, botocore.PartialCredentialsError, botocore.CredentialRetrievalError),
        *(botocore.SSOError, botocore.TokenRetrievalError),
    )
    configuration = (botocore.ProfileNotFound, botocore.ConfigParseError, botocore.NoRegionError, botocore.ParamValidationError)
    text = " ".join(str(error).split())
    if isinstance(error, botocore.ClientError):
        return _explain_answer(error)
    if isinstance(error, credentials):
        return CloudError(f"credentials must be set (`aws configure`, `aws sso login`, AWS_PROFILE or a role), got: {text}")
    if isinstance(error, configuration):
        return CloudError(f"the AWS configuration or request does not fit: {text}")
    if isinstance(error, (botocore.HTTPClientError, botocore.ConnectionError)):
        return ServiceError(f"AWS does not answer, after {_ATTEMPTS} attempts: {text}")
    known = isinstance(error, (botocore.BotoCoreError, Boto3Error, ResponseParserError))
    return ServiceError(f"AWS: {text}") if known else None


_INVALID = (
    r"Invalid(ClientTokenId|AccessKeyId|Signature\w*|Token)|UnrecognizedClient\w*|SignatureDoesNotMatch|AuthFailure"
    r"|IncompleteSignature|MissingAuthenticationToken"
)


def _explain_answer(error: Any) -> CloudError:
    """Describe a service's error response in one line."""
    code, text = str(error.response["Error"].get("Code", "")), str(error.response["Error"].get("Message", "")).strip()
    what = f"{error.operation_name}: {' '.join(text.split()) or code}"
    if re.fullmatch(r"\w*Expired\w*|TokenRefreshRequired", code):
        return CloudError(f"credentials have expired: renew them, then repeat the command ({code})")
    if re.fullmatch(_INVALID, code):
        return CloudError(f"credentials are not valid: AWS does not know them ({code})")
    if re.fullmatch(r"AccessDenied\w*|UnauthorizedOperation|Forbidden|403", code):
        rights = 'see "Rights" in lifecycle/README.md; a bucket of another account is refused too'
        return CloudError(f"access denied, {rights}: {what}")
    if re.fullmatch(r"Throttling\w*|TooManyRequests\w*|RequestLimitExceeded|SlowDown", code):
        return ServiceError(f"AWS asks for fewer calls, after {_ATTEMPTS} attempts: {what}; repeat the command in a minute")
    if code == "ResourceLimitExceeded" or "capacity" in f"{code} {text}".lower():
        return failure(error.operation_name, f"{code}: {text}")
    if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
        return ServiceError(f"AWS failed ({code}): {what}; repeat the command")
    return CloudError(f"AWS refused ({code}): {what}")
