"""Failures as the Hub words them: a status, a message and the code that the client maps."""

import secrets
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response


class HubError(Exception):
    """A refusal that is answered with ``{"error": message}``.

    Args:
        status: HTTP status.
        message: What is wrong, for a person.
        code: ``X-Error-Code``, which ``huggingface_hub`` turns into an exception type.
    """

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


def bad_request(message: str) -> HubError:
    """400: the request makes no sense as it stands."""
    return HubError(HTTPStatus.BAD_REQUEST, message)


def unauthorized(message: str = "Invalid username or password.") -> HubError:
    """401: a token is needed."""
    return HubError(HTTPStatus.UNAUTHORIZED, message)


def forbidden(message: str) -> HubError:
    """403: this token is not enough."""
    return HubError(HTTPStatus.FORBIDDEN, message)


def conflict(message: str) -> HubError:
    """409: it is there already."""
    return HubError(HTTPStatus.CONFLICT, message)


def repo_not_found(*, anonymous: bool) -> HubError:
    """The repository does not exist or is hidden; the Hub answers 401 to callers without token."""
    status = HTTPStatus.UNAUTHORIZED if anonymous else HTTPStatus.NOT_FOUND
    return HubError(status, "Repository not found", "RepoNotFound")


def revision_not_found(revision: str) -> HubError:
    """404: no such branch, tag or commit."""
    return HubError(HTTPStatus.NOT_FOUND, f"Invalid rev id: {revision}", "RevisionNotFound")


def entry_not_found(path: str) -> HubError:
    """404: no such file or folder in this revision."""
    return HubError(HTTPStatus.NOT_FOUND, f"Entry not found: {path}", "EntryNotFound")


def gated(repo_id: str, *, anonymous: bool) -> HubError:
    """The repository's files are given only to those who were granted access."""
    status = HTTPStatus.UNAUTHORIZED if anonymous else HTTPStatus.FORBIDDEN
    message = f"Access to {repo_id} is restricted and you are not in the authorized list."
    return HubError(status, message, "GatedRepo")


def error_response(error: HubError) -> Response:
    """Word ``error`` as the Hub does, in the body and in the ``X-Error-*`` headers."""
    # a header is one ASCII line
    line = " ".join(error.message.split()).encode("ascii", "replace").decode()
    headers = {"X-Error-Message": line, "X-Request-Id": secrets.token_hex(16)}
    if error.code:
        headers["X-Error-Code"] = error.code
    return JSONResponse({"error": error.message}, error.status, headers)


def on_hub_error(_request: Request, error: Exception) -> Response:
    """Exception handler for HubError."""
    if not isinstance(error, HubError):  # registered for HubError alone
        raise error
    return error_response(error)


def on_http_exception(_request: Request, error: Exception) -> Response:
    """Exception handler for what Starlette itself refuses: unknown route, wrong method."""
    if not isinstance(error, HTTPException):  # registered for HTTPException alone
        raise error
    return error_response(HubError(error.status_code, error.detail))


def on_disconnect(_request: Request, _error: Exception) -> Response:
    """Exception handler for a caller who left in mid-upload and will not read the answer."""
    return Response(status_code=HTTPStatus.BAD_REQUEST)


def on_crash(_request: Request, _error: Exception) -> Response:
    """Exception handler for a bug of this server; the trace goes to its standard error."""
    return error_response(HubError(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal Error"))
