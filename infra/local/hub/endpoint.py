"""From ASGI to plain handlers: decoded path parameters, validated bodies, pages of a list."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import unquote, urlencode

from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from .errors import HubError, bad_request
from .records import KINDS

MAX_JSON_BYTES = 32 << 20
MAX_PAGE = 1000

M = TypeVar("M", bound=BaseModel)
AsyncHandler = Callable[[Request], Awaitable[Response]]


class EncodedPaths:
    """Middleware: route on the path as sent, so that ``feature%2Fx`` stays one segment."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        if scope["type"] == "http":
            scope["path"] = scope["raw_path"].decode("ascii")
        await self._app(scope, receive, send)


class KindConvertor(Convertor[str]):
    """``{kind:kind}`` in a route: one of KINDS."""

    regex = "|".join(KINDS)

    def convert(self, value: str) -> str:
        """The segment itself."""
        return value

    def to_string(self, value: str) -> str:
        """The segment itself."""
        return value


register_url_convertor("kind", KindConvertor())


def param(request: Request, name: str, default: str = "") -> str:
    """A path parameter, percent-decoded."""
    return unquote(request.path_params.get(name, default))


def flag(request: Request, name: str) -> bool:
    """Whether a query parameter is set to something true."""
    return request.query_params.get(name, "").lower() in {"1", "true"}


def base_url(request: Request) -> str:
    """This server's address as the caller wrote it, without a slash at the end."""
    return str(request.base_url).rstrip("/")


async def body_chunks(request: Request, limit: int) -> AsyncIterator[bytes]:
    """The request's body as it arrives.

    Raises:
        HubError: 413 after more than ``limit`` bytes.
    """
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > limit:
            raise HubError(413, f"The body is larger than {limit} bytes.")
        yield chunk


def with_body(model: type[M], handler: Callable[[Request, M], Response]) -> AsyncHandler:
    """An endpoint that reads a JSON body as ``model`` and answers from the thread pool."""

    async def endpoint(request: Request) -> Response:
        body = b"".join([chunk async for chunk in body_chunks(request, MAX_JSON_BYTES)])
        try:
            parsed = model.model_validate_json(body or b"{}")
        except ValidationError as error:
            raise bad_request(describe(error)) from None
        return await run_in_threadpool(handler, request, parsed)

    return endpoint


def describe(error: ValidationError) -> str:
    """A validation error in one line, without the offending input."""
    rows = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, row['loc']))}: {row['msg']}" for row in rows)


def paged(request: Request, items: Sequence[Any], default: int = MAX_PAGE) -> Response:
    """One page of ``items`` with a ``Link`` to the next; ``limit`` and ``cursor`` choose it."""
    limit = min(_count(request, "limit", default), MAX_PAGE)
    start = _count(request, "cursor", 0)
    headers = {}
    if start + limit < len(items) and limit:
        query = [(k, v) for k, v in request.query_params.multi_items() if k != "cursor"]
        query.append(("cursor", str(start + limit)))
        url = f"{base_url(request)}{request.url.path}?{urlencode(query)}"
        headers["Link"] = f'<{url}>; rel="next"'
    return JSONResponse(list(items[start : start + limit]), headers=headers)


def _count(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit():
        raise bad_request(f"{name} must be a whole number, found {text!r}.")
    return int(text)
