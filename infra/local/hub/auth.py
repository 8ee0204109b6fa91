"""Who calls: access tokens and the users behind them."""

import base64
import binascii
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, TypeAdapter

from .errors import forbidden, unauthorized

# Accepted when no token file is given: the stand-in listens on the loopback address only.
DEFAULT_TOKEN = "hf_roundhouse_local"  # noqa: S105
ANY_NAMESPACE = "*"


class User(BaseModel):
    """A token's owner.

    Attributes:
        name: User name, which is also the user's own namespace.
        role: What this token may do: ``write`` includes ``read``.
        orgs: Organisations the user belongs to; ``*`` stands for all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    role: Literal["read", "write"] = "write"
    orgs: tuple[str, ...] = ()

    def belongs_to(self, namespace: str) -> bool:
        """Whether the user is a member of ``namespace``."""
        return namespace == self.name or namespace in self.orgs or ANY_NAMESPACE in self.orgs

    def require_write(self, namespace: str) -> None:
        """Raise HubError 403 unless this token may write in ``namespace``."""
        if self.role != "write":
            raise forbidden("This token has read access only; a token with write role is needed")
        if not self.belongs_to(namespace):
            raise forbidden(f"You don't have the rights to write under the namespace {namespace}")


class Tokens:
    """The accepted tokens."""

    def __init__(self, users: Mapping[str, User]) -> None:
        self._users = dict(users)

    @classmethod
    def load(cls, path: Path | None) -> Self:
        """Read a JSON object ``{token: {"name", "role", "orgs"}}``.

        Without a path DEFAULT_TOKEN alone is accepted, with the right to write everywhere.

        Raises:
            OSError: The file cannot be read.
            pydantic.ValidationError: It is not such an object.
        """
        if path is None:
            return cls({DEFAULT_TOKEN: User(name="roundhouse", orgs=(ANY_NAMESPACE,))})
        return cls(TypeAdapter(dict[str, User]).validate_python(json.loads(path.read_bytes())))

    def caller(self, authorization: str) -> User | None:
        """The user behind an ``Authorization`` header's value; None when it is empty.

        Bearer is what clients send; Basic, with the token as password, is for browsers.

        Raises:
            HubError: 401 when a token is given that is not accepted.
        """
        if not authorization:
            return None
        scheme, _, credentials = authorization.partition(" ")
        token = credentials.strip()
        if scheme.lower() == "basic":
            token = _basic_password(token)
        user = self._users.get(token)
        if user is None:
            # the client tells a bad token from a hidden repository by this very text
            raise unauthorized("Invalid credentials in Authorization header")
        return user


def _basic_password(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
