"""Tell clients where the Xet store is."""

import time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .access import downloadable_repo, writable_repo
from .errors import HubError
from .hub import hub_of
from .xet import XetStore

_LIFETIME_S = 3600


def read_token(request: Request) -> Response:
    """The address of a store for a caller who may download."""
    with hub_of(request).database.read() as db:
        downloadable_repo(request, db)
    return _connection(_enabled(request).open_for_reading())


def write_token(request: Request) -> Response:
    """The address of a store for a caller who may write."""
    with hub_of(request).database.read() as db:
        writable_repo(request, db)
    return _connection(_enabled(request).open_for_writing())


def _enabled(request: Request) -> XetStore:
    xet = hub_of(request).xet
    if xet is None:
        raise HubError(404, "Xet is not enabled on this server.")
    return xet


def _connection(url: str) -> Response:
    # the store is a folder: whoever can open it needs no token, but the client wants one
    token, expires = "local", int(time.time()) + _LIFETIME_S
    headers = {"X-Xet-Cas-Url": url, "X-Xet-Access-Token": token}
    headers["X-Xet-Token-Expiration"] = str(expires)
    body = {"casUrl": url, "accessToken": token, "exp": expires}
    return JSONResponse(body, headers=headers)


_REPO = "/api/{kind:kind}/{namespace}/{name}"
routes = [
    Route(f"{_REPO}/xet-read-token/{{revision}}", read_token),
    Route(f"{_REPO}/xet-write-token/{{revision}}", write_token),
]
