"""Every error of huggingface_hub and of its HTTP client, as one of ours.

The table names the libraries' classes; a class that is not in it is judged by its nearest base. A
test walks both libraries and fails for a class that no row covers.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from json import JSONDecodeError
from typing import Any

import httpx2
from huggingface_hub import errors as hub

from tasks.core.errors import (
    BaseModelError,
    HubUnavailable,
    IntegrityError,
    PermanentError,
    ResourceError,
    RoundhouseError,
    TargetError,
    TransientError,
)

UNAUTHORIZED, FORBIDDEN, NOT_FOUND = 401, 403, 404
CONFLICTS = {409, 412}
BUSY = {408, 425, 429}
SERVER_ERROR = 500


@dataclass(frozen=True)
class Asked:
    """What was asked of the Hub, for the message and for the kind of a refusal.

    Attributes:
        what: the request in words, such as `read google/gemma-4-31B-it`.
        repo: the repository.
        denied: error to raise when the Hub says no.
        signed_in: whether a token was sent.
        url: the repository's page.
    """

    what: str
    repo: str
    denied: type[PermanentError] = BaseModelError
    signed_in: bool = False
    url: str = ""


@contextmanager
def translated(asked: Asked) -> Iterator[None]:
    """Raise our error in place of the libraries' own; others pass."""
    try:
        yield
    except COVERED as error:
        raise translate(error, asked) from error
    except RuntimeError as error:  # the library's own, around whatever ended a large file's upload
        if not isinstance(error.__cause__, COVERED):
            raise
        raise _upload_ended(error.__cause__, asked) from error


def translate(error: BaseException, asked: Asked) -> RoundhouseError:
    """Our error for one of the libraries', chosen by its nearest class in the table."""
    row = next(ROWS[kind] for kind in type(error).__mro__ if kind in ROWS)
    made: RoundhouseError = row(error, asked)
    return made


def _upload_ended(error: BaseException, asked: Asked) -> RoundhouseError:
    """A large file's upload: the Hub says 400 of bytes that do not fit the digest it was told.

    They fitted when the library sent them, since they were read for that digest; what changed them
    stands between, and they are sent again.
    """
    if not isinstance(error, hub.BadRequestError):
        return translate(error, asked)
    return TransientError(
        f"a large file did not arrive at the Hub as it was sent: {asked.what}",
        expected="the bytes that were announced",
        found=_first_line(error),
        remedy="it is sent again; if it stays so, look at what stands between here and the Hub",
    )


def _first_line(error: BaseException) -> str:
    """A library's message without its advice, which is about the library."""
    said = getattr(error, "server_message", None) or str(error)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"[:300]


def _unavailable(error: BaseException, asked: Asked) -> RoundhouseError:
    return HubUnavailable(
        f"the Hub did not answer when asked to {asked.what}",
        found=_first_line(error),
        remedy="it is tried again; if it stays so, look at the network and at HF_ENDPOINT",
    )


def _no_repo(_error: BaseException, asked: Asked) -> RoundhouseError:
    return asked.denied(
        f"the Hub has no repository {asked.repo}, or hides it",
        expected="a repository that exists and that the token may see",
        found="a token was sent" if asked.signed_in else "no token was sent",
        remedy="check the name"
        if asked.signed_in
        else "check the name; if the repository is private, set HF_TOKEN",
    )


def _gated(_error: BaseException, asked: Asked) -> RoundhouseError:
    accept = f"accept its licence at {asked.url}"
    return asked.denied(
        f"{asked.repo} is gated: its files are for those who accepted its licence",
        expected="a token of an account with access",
        found="a token without access" if asked.signed_in else "no token",
        remedy=f"{accept} with the token's account"
        if asked.signed_in
        else f"set HF_TOKEN to your token, and {accept}",
    )


def _disabled(_error: BaseException, asked: Asked) -> RoundhouseError:
    return asked.denied(f"{asked.repo} was disabled on the Hub", remedy="choose another repository")


def _no_revision(_error: BaseException, asked: Asked) -> RoundhouseError:
    return asked.denied(
        f"{asked.repo} has no such revision",
        expected="a branch, a tag or a full commit of the repository",
        found=asked.what,
        remedy=f"look at {asked.url}/commits/main",
    )


def _no_file(error: BaseException, asked: Asked) -> RoundhouseError:
    return asked.denied(
        f"{asked.repo} lacks a file that was needed to {asked.what}", found=_first_line(error)
    )


def _refused(error: BaseException, asked: Asked) -> RoundhouseError:
    return asked.denied(f"the Hub refused to {asked.what}", found=_first_line(error))


def _credentials(error: BaseException, asked: Asked) -> RoundhouseError:
    return asked.denied(
        f"the Hub does not accept the token with which it was asked to {asked.what}",
        expected="a valid token in HF_TOKEN",
        found=_first_line(error),
        remedy="make a new token in the Hub's settings and set HF_TOKEN",
    )


def _forbidden(error: BaseException, asked: Asked) -> RoundhouseError:
    return asked.denied(
        f"the token may not {asked.what}",
        expected="a token with the right to write"
        if asked.denied is TargetError
        else "a token with access to the repository",
        found=_first_line(error),
        remedy="set HF_TOKEN to such a token",
    )


def _by_status(error: Any, asked: Asked) -> RoundhouseError:
    status = error.response.status_code
    if status >= SERVER_ERROR or status in BUSY:
        return _unavailable(error, asked)
    if status in CONFLICTS:
        return TransientError(
            f"somebody else changed {asked.repo} in the meantime",
            found=_first_line(error),
            remedy="it is tried again on the new state",
        )
    rows = {UNAUTHORIZED: _credentials, FORBIDDEN: _forbidden, NOT_FOUND: _no_file}
    return rows.get(status, _refused)(error, asked)


def _broken(error: BaseException, asked: Asked) -> RoundhouseError:
    return IntegrityError(f"{asked.repo} holds files that cannot be read", found=_first_line(error))


def _local(error: Any, asked: Asked) -> RoundhouseError:
    """An error of this machine's disk, or of a socket below the HTTP client."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return ResourceError(
            f"the disk is full: cannot {asked.what}", found=str(error), remedy="free some space"
        )
    if isinstance(error, ConnectionError | TimeoutError):
        return _unavailable(error, asked)
    return PermanentError(f"this machine failed to {asked.what}", found=str(error))


def _unexpected(error: BaseException, asked: Asked) -> RoundhouseError:
    """Errors of the library's parts that are not used here, and of its cache and settings."""
    return PermanentError(
        f"huggingface_hub failed to {asked.what}",
        found=_first_line(error),
        remedy="this is not expected: please report it with the command that led here",
    )


ROWS = {
    # what the Hub says
    hub.RepositoryNotFoundError: _no_repo,
    hub.GatedRepoError: _gated,
    hub.DisabledRepoError: _disabled,
    hub.RevisionNotFoundError: _no_revision,
    hub.EntryNotFoundError: _no_file,
    hub.RemoteEntryNotFoundError: _no_file,
    hub.BadRequestError: _refused,
    hub.HfHubHTTPError: _by_status,
    # what is wrong with the question
    ValueError: _refused,  # a card whose metadata are wrong, among others
    hub.HFValidationError: _refused,
    hub.HfUriError: _refused,
    hub.LocalTokenNotFoundError: _credentials,
    hub.OIDCError: _credentials,
    hub.DeviceCodeError: _credentials,
    httpx2.InvalidURL: _refused,
    httpx2.UnsupportedProtocol: _refused,
    httpx2.TooManyRedirects: _refused,
    # the way there
    JSONDecodeError: _unavailable,
    hub.OfflineModeIsEnabled: _unavailable,
    hub.RevisionResolutionError: _unavailable,
    hub.LocalEntryNotFoundError: _unavailable,
    hub.FileMetadataError: _unavailable,
    hub.XetDownloadError: _unavailable,
    hub.InferenceTimeoutError: _unavailable,
    httpx2.HTTPStatusError: _by_status,
    httpx2.HTTPError: _unavailable,
    # what lies there
    hub.SafetensorsParsingError: _broken,
    hub.NotASafetensorsRepoError: _no_file,
    hub.DDUFError: _broken,
    # this machine
    OSError: _local,
    hub.CacheNotFound: _unexpected,
    hub.CorruptedCacheException: _unexpected,
    hub.CachedRepoTreeNotFoundError: _unexpected,
    hub.DryRunError: _unexpected,
    hub.FileDuplicationError: _unexpected,
    hub.InferenceEndpointError: _unexpected,
    hub.TextGenerationError: _unexpected,
    hub.StrictDataclassError: _unexpected,
    hub.CLIError: _unexpected,
    hub.SandboxError: _unexpected,
    httpx2.CookieConflict: _unexpected,
    httpx2.StreamError: _unexpected,
}
COVERED: tuple[type[BaseException], ...] = tuple(ROWS)
