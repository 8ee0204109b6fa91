"""One JSON line per request: when, what, how it ended, how long it took."""

import json
import time
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .history import now, timestamp


class RequestLog:
    """Middleware that appends to ``path``; queries and headers, maybe secret, stay out."""

    def __init__(self, app: ASGIApp, path: Path) -> None:
        self._app = app
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", buffering=1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, noted = time.monotonic(), 0, False

        def note() -> None:
            nonlocal noted
            took = round((time.monotonic() - began) * 1000, 1)
            row = {"time": timestamp(now()), "method": scope["method"], "path": scope["path"]}
            self._file.write(json.dumps({**row, "status": status, "ms": took}) + "\n")
            noted = True

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body" and not message.get("more_body"):
                note()  # before its last message: whoever has an answer of one piece finds its line
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            if not noted:
                note()
