"""Links that carry their own permission, like a storage provider's signed URLs."""

import hashlib
import hmac
import time
from urllib.parse import urlencode

from starlette.requests import Request

from .errors import forbidden

LIFETIME_S = 24 * 3600


class Signer:
    """Signs paths with ``secret`` and checks the signatures."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, path: str) -> str:
        """``path`` with a query that lets anyone use it for LIFETIME_S seconds."""
        expires = int(time.time()) + LIFETIME_S
        return f"{path}?{urlencode({'expires': expires, 'signature': self._mac(path, expires)})}"

    def check(self, request: Request) -> None:
        """Raise HubError 403 unless the request's own URL was signed and has not expired."""
        expires = request.query_params.get("expires", "")
        given = request.query_params.get("signature", "")
        if not expires.isascii() or not expires.isdigit() or int(expires) < time.time():
            raise forbidden("This link has expired")
        if not hmac.compare_digest(
            given.encode(), self._mac(request.url.path, int(expires)).encode()
        ):
            raise forbidden("This link's signature is wrong")

    def _mac(self, path: str, expires: int) -> str:
        return hmac.new(self._secret, f"{path}\n{expires}".encode(), hashlib.sha256).hexdigest()
