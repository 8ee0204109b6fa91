"""The server's parts, put together once and handed to every request."""

import secrets
import sqlite3
from dataclasses import dataclass
from typing import Self

from starlette.requests import Request

from .auth import Tokens
from .blobs import BlobStore
from .database import Database
from .settings import Settings
from .signing import Signer
from .xet import XetStore


@dataclass(frozen=True, slots=True)
class Hub:
    """Everything a request handler works with; ``xet`` is None when Xet is off."""

    settings: Settings
    tokens: Tokens
    database: Database
    blobs: BlobStore
    signer: Signer
    xet: XetStore | None

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Open the state under ``settings.root``, made when missing.

        Raises:
            OSError: The folder or the token file cannot be used.
            pydantic.ValidationError: The token file is malformed.
        """
        settings.root.mkdir(parents=True, exist_ok=True)
        tokens = Tokens.load(settings.token_file)
        database = Database(settings.root / "hub.sqlite3")
        with database.write() as db:
            secret = _link_secret(db)
        xet = XetStore(settings.root / "xet") if settings.xet else None
        return cls(settings, tokens, database, BlobStore(settings.root), Signer(secret), xet)


def hub_of(request: Request) -> Hub:
    """The hub that serves this request."""
    hub: Hub = request.app.state.hub
    return hub


def _link_secret(db: sqlite3.Connection) -> bytes:
    # kept, so that a download may go on after a restart
    query = "INSERT OR IGNORE INTO meta VALUES ('link_secret', ?)"
    db.execute(query, (secrets.token_hex(32),))
    row = db.execute("SELECT value FROM meta WHERE key = 'link_secret'").fetchone()
    return bytes.fromhex(row["value"])
