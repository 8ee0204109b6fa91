"""botocore's errors as Roundhouse's: what may pass by itself, and what somebody must mend."""

from collections.abc import Iterator
from contextlib import contextmanager

from boto3.exceptions import Boto3Error, RetriesExceededError, S3UploadFailedError
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from s3transfer import exceptions as transfer

from tasks.core.errors import RoundhouseError, StoreError, StoreUnavailable

PASSING = (
    boto.HTTPClientError,
    boto.ConnectionError,
    boto.IncompleteReadError,
    boto.ChecksumError,
    boto.FlexibleChecksumError,
    boto.CapacityNotAvailableError,
    boto.MetadataRetrievalError,
    ResponseParserError,
    RetriesExceededError,
    S3UploadFailedError,
    transfer.RetriesExceededError,
    transfer.S3UploadFailedError,
    transfer.S3DownloadFailedError,
    transfer.S3ValidationError,
)
"""The server was not reached, what answered was not S3, or bytes were lost on the way."""

CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.UnknownCredentialError,
    boto.NoAuthTokenError,
    boto.TokenRetrievalError,
    boto.UnknownTokenProviderError,
    boto.RefreshWithMFAUnsupportedError,
    boto.SSOError,
    boto.LoginError,
    boto.ProfileNotFound,
)
"""There are no credentials to sign with."""

LIBRARY = (
    boto.BotoCoreError,
    boto.ClientError,
    boto.UndefinedModelAttributeError,
    Boto3Error,
    ResponseParserError,
    transfer.FatalError,
    transfer.RetriesExceededError,
    transfer.S3UploadFailedError,
    transfer.S3DownloadFailedError,
    transfer.S3CopyFailedError,
    transfer.S3ValidationError,
)
"""Everything the S3 libraries raise: the roots of their trees."""

PASSING_CODES = frozenset(
    {
        "BadDigest", "ConditionalRequestConflict", "InternalError", "OperationAborted",
        "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling", "ThrottlingException",
        "TooManyRequests", "XAmzContentChecksumMismatch",
    }
)  # fmt: skip
WRONG_KEYS = frozenset(
    {
        "AuthorizationHeaderMalformed", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken",
        "SignatureDoesNotMatch", "TokenRefreshRequired",
    }
)  # fmt: skip
WRONG_CLOCK = "RequestTimeTooSkewed"
SET_KEYS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or let the SDK find credentials"
GRANT = "grant read, write and list on the prefix"
TOO_MANY_REQUESTS = 429
SERVER_FAILED = 500


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise what the S3 libraries raise as our own errors.

    Args:
        doing: what is done, as in "reading s3://bucket/key".

    Raises:
        StoreUnavailable: it may succeed later.
        StoreError: somebody must act; says what to do.
    """
    try:
        yield
    except LIBRARY as error:
        raise translate(error, doing) from error


def translate(error: Exception, doing: str) -> RoundhouseError:
    """Our error for one of the library's."""
    if isinstance(error, boto.ClientError):
        return _answered(error, doing)
    if isinstance(error, PASSING):
        return StoreUnavailable(
            f"S3 did not answer while {doing}",
            found=str(error),
            remedy="try again; if it recurs, look at AWS_ENDPOINT_URL_S3 and the network",
        )
    if isinstance(error, CREDENTIALS):
        return StoreError(f"no S3 credentials for {doing}", found=str(error), remedy=SET_KEYS)
    return StoreError(
        f"the S3 client refused {doing}",
        found=f"{type(error).__name__}: {error}",
        remedy="mend the S3 settings (AWS_* variables, ROUNDHOUSE_ARCHIVE)",
    )


def error_code(error: boto.ClientError) -> str:
    """S3's own name of an error, such as `NoSuchKey`; the HTTP status where there is no body."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _status(error: boto.ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _answered(error: boto.ClientError, doing: str) -> RoundhouseError:
    code, status, found = error_code(error), _status(error), str(error)
    if code in PASSING_CODES or status == TOO_MANY_REQUESTS or status >= SERVER_FAILED:
        return StoreUnavailable(f"S3 failed while {doing}", found=found, remedy="try again later")
    if code == "NoSuchBucket":
        what, remedy = "the bucket does not exist", "create the bucket, or mend ROUNDHOUSE_ARCHIVE"
    elif code in WRONG_KEYS:
        what, remedy = "S3 does not accept the credentials", SET_KEYS
    elif code == WRONG_CLOCK:
        what, remedy = "this machine's clock and S3's differ too much", "set the clock (NTP)"
    elif code in {"NoSuchKey", "404"}:
        what, remedy = "there is no such object", "look at the address"
    elif code == "AccessDenied":
        what, remedy = "the credentials do not allow it", GRANT
    elif code == "403":  # the answer to HEAD has no body that would say which
        what, remedy = "the credentials are wrong or do not allow it", f"{SET_KEYS}; or {GRANT}"
    else:
        what, remedy = "S3 refused", "mend what S3 names"
    return StoreError(f"{what}: {doing}", found=found, remedy=remedy)
