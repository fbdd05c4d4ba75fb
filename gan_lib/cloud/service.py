"""The way to AWS: clients from the SDK's own chain of credentials, and its errors as one line each."""

import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from gan_lib.errors import CloudError, ServiceError
from gan_lib.text import first_line

_RETRIES = 6  # attempts at a call that was throttled or met a broken connection, with growing pauses
PATIENCE = 1.0  # of what a wait may take; the tests have less
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_INVALID = {
    *("InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "SignatureDoesNotMatch"),
    *("AuthFailure", "IncompleteSignature", "InvalidSignatureException", "InvalidToken", "MissingAuthenticationToken"),
}
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "Forbidden", "403"}
_THROTTLED = {"Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown"}


class Aws:
    """Clients of the services in use, made when first asked for. They find region and credentials as every SDK does."""

    def __init__(self) -> None:
        try:
            import boto3
        except ImportError as error:
            raise CloudError("gan-lib cloud needs boto3, which is not installed: pip install 'gan-lib[aws]'") from error
        # AWS's command line knows AWS_REGION, Python's SDK only the other name
        self._session = boto3.Session(region_name=os.environ.get("AWS_REGION") or None)
        self.region = self._session.region_name or ""
        if not self.region:
            raise CloudError("region must be set (AWS_REGION, AWS_DEFAULT_REGION or `aws configure`), found none")
        known = [
            name
            for partition in self._session.get_available_partitions()
            for name in self._session.get_available_regions("sagemaker", partition)
        ]
        if self.region not in known:
            raise CloudError(f"region must be one that has SageMaker (such as us-east-1), got {self.region!r}")

    def _client(self, service: str) -> Any:
        from botocore.config import Config

        retries = {"mode": "standard", "max_attempts": _RETRIES}
        return self._session.client(service, config=Config(retries=retries, connect_timeout=10, read_timeout=60))

    @functools.cached_property
    def sagemaker(self) -> Any:
        """Notebook instances and training jobs."""
        return self._client("sagemaker")

    @functools.cached_property
    def s3(self) -> Any:
        """The bucket."""
        return self._client("s3")

    @functools.cached_property
    def cloudformation(self) -> Any:
        """The stack."""
        return self._client("cloudformation")


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn what the SDK raises into CloudError (the user can mend it) or ServiceError (the service failed), one line each."""
    try:
        yield
    except Exception as error:
        explanation = explain(error)
        if explanation is None:
            raise
        raise explanation from error


def explain(error: Exception) -> CloudError | None:
    """One line for an error of the SDK; None for any other."""
    try:
        from boto3.exceptions import Boto3Error
        from botocore import exceptions as botocore
        from botocore.parsers import ResponseParserError
    except ImportError:
        return None
    if isinstance(error, botocore.ClientError):
        return _explain_answer(error)
    if isinstance(error, (botocore.NoCredentialsError, botocore.PartialCredentialsError, botocore.CredentialRetrievalError)):
        return CloudError(f"credentials must be set (`aws configure`, AWS_PROFILE or a role), got: {first_line(error)}")
    if isinstance(error, (botocore.SSOError, botocore.TokenRetrievalError)):
        return CloudError(f"credentials have expired or were never fetched: `aws sso login` renews them ({first_line(error)})")
    if isinstance(error, (botocore.ProfileNotFound, botocore.ConfigParseError, botocore.NoRegionError)):
        return CloudError(f"the AWS configuration does not fit: {first_line(error)}")
    if isinstance(error, (botocore.HTTPClientError, botocore.ConnectionError)):
        return ServiceError(f"AWS does not answer, after {_RETRIES} attempts: {first_line(error)}")
    if isinstance(error, botocore.ParamValidationError):
        return CloudError(f"AWS would refuse this: {' '.join(str(error).split())}")
    if isinstance(error, (botocore.BotoCoreError, Boto3Error, ResponseParserError)):
        return ServiceError(f"AWS: {first_line(error)}")
    return None


def _explain_answer(error: Any) -> CloudError:
    """One line for an error that a service answered with."""
    code, text = str(error.response["Error"].get("Code", "")), str(error.response["Error"].get("Message", "")).strip()
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    what = f"{error.operation_name}: {' '.join(text.split()) or code}"
    if code in _EXPIRED:
        return CloudError(f"credentials have expired: renew them, then repeat the command ({code})")
    if code in _INVALID:
        return CloudError(f"credentials are not valid: AWS does not know them ({code})")
    if code in _DENIED:
        return CloudError(f'access denied, see "Rights" in lifecycle/README.md: {what}')
    if code == "ResourceLimitExceeded":
        return quota(what)
    if code in _THROTTLED:
        return ServiceError(f"AWS asks for fewer calls, after {_RETRIES} attempts: {what}; repeat the command in a minute")
    if code == "OptInRequired":
        return CloudError(f"the account is not enabled for this service or region: {what}")
    if is_capacity(text) or code in ("InsufficientCapacity", "CapacityError"):
        return ServiceError(f"AWS has no such instance free now: {what}; try again later or in another region")
    if status >= 500:
        return ServiceError(f"AWS failed ({code}): {what}; repeat the command")
    return CloudError(f"AWS refused ({code}): {what}")


def quota(what: str) -> CloudError:
    """The error for a limit of the account: a new one often has 0 GPU instances."""
    return CloudError(f"the account's quota is used up or 0: Service Quotas, SageMaker, raises it: {what}")


def is_capacity(text: str) -> bool:
    """Whether a failure's reason says that there is no such machine free."""
    return "capacity" in text.lower()


def is_quota(text: str) -> bool:
    """Whether a failure's reason says that the account may not have so many."""
    return "service limit" in text or "ServiceLimitExceeded" in text or "ResourceLimitExceeded" in text


def failure(what: str, reason: str) -> CloudError:
    """The error for something that AWS began and could not finish, from the reason that it gives."""
    reason = " ".join(reason.split()) or "AWS gives no reason"
    if is_quota(reason):
        return quota(f"{what}: {reason}")
    if is_capacity(reason):
        return ServiceError(f"AWS has no such instance free now: {what}: {reason}; try again later or in another region")
    return ServiceError(f"{what}: {reason}")


def wait(done: Callable[[], bool], what: str, minutes: float) -> None:
    """Ask again and again, ever less often, until done. Raises ServiceError after so many minutes."""
    pause, deadline = 0.2, time.monotonic() + minutes * 60 * PATIENCE
    while not done():
        if time.monotonic() > deadline:
            raise ServiceError(f"{what} took more than {minutes:g} minutes: look at it with gan-lib cloud status")
        time.sleep(pause)
        pause = min(10.0, pause * 1.5)
