"""The ASGI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect

from . import (
    api_account,
    api_commit,
    api_grants,
    api_info,
    api_lfs,
    api_refs,
    api_repos,
    api_resolve,
    api_tree,
    api_xet,
    pages,
)
from .endpoint import EncodedPaths
from .errors import HubError, on_crash, on_disconnect, on_http_exception, on_hub_error
from .hub import Hub
from .request_log import RequestLog

_ROOMS = (
    api_account,
    api_repos,
    api_info,
    api_tree,
    api_refs,
    api_commit,
    api_grants,
    api_xet,
    api_lfs,
    api_resolve,
    pages,  # last: its paths of two segments match much
)


def create_app(hub: Hub) -> Starlette:
    """The application that serves ``hub`` and closes its database at the end."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        hub.database.close()

    middleware = [Middleware(EncodedPaths)]
    if hub.settings.log_file:
        middleware.insert(0, Middleware(RequestLog, path=hub.settings.log_file))
    app = Starlette(
        routes=[route for room in _ROOMS for route in room.routes],
        middleware=middleware,
        exception_handlers={
            HubError: on_hub_error,
            HTTPException: on_http_exception,
            ClientDisconnect: on_disconnect,
            Exception: on_crash,
        },
        lifespan=lifespan,
    )
    app.state.hub = hub
    return app
