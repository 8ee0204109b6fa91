"""Random tokens and keys of the embedded stack, made once and readable by their owner alone."""

import json
import os
import secrets
from pathlib import Path

from pydantic import SecretStr

from infra.local.layout import Layout
from tasks.core.manifest import Frozen
from tasks.sign.keys import make_key

USER = "roundhouse"
PRIVATE = 0o600


class Credentials(Frozen):
    """What clients of the stack show.

    Attributes:
        hub_token: of the user `roundhouse`, who may write.
        s3_access_key: of the object store's only identity.
        s3_secret_key: its secret.
        prefect_auth: `user:password` of the Prefect API, where the stack asks for it.
    """

    hub_token: SecretStr
    s3_access_key: SecretStr
    s3_secret_key: SecretStr
    prefect_auth: SecretStr


def load_or_make(layout: Layout) -> Credentials:
    """The stack's credentials; random ones, and a signing key, are made at the first call."""
    path = layout.credentials
    kept = json.loads(path.read_bytes()) if path.is_file() else {}
    if kept.keys() != Credentials.model_fields.keys():
        kept = _random() | kept
        _write_private(path, json.dumps(kept))
    _make_signing_key(layout)
    credentials = Credentials.model_validate(kept)
    tokens = {credentials.hub_token.get_secret_value(): {"name": USER, "role": "write"}}
    _write_private(layout.hub_tokens, json.dumps(tokens))
    return credentials


def _random() -> dict[str, str]:
    return {
        "hub_token": f"hf_{secrets.token_hex(20)}",
        "s3_access_key": secrets.token_hex(10).upper(),
        "s3_secret_key": secrets.token_urlsafe(30),
        "prefect_auth": f"{USER}:{secrets.token_urlsafe(30)}",
    }


def _make_signing_key(layout: Layout) -> None:
    """A key of the stack's own; the public half is written last and vouches for both."""
    if not layout.verify_key.is_file():
        private, public = make_key()
        _write_private(layout.signing_key, private.decode())
        _write_private(layout.verify_key, public.decode())


def _write_private(path: Path, text: str) -> None:
    """Write a file that was never readable by others, whole or not at all."""
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE), "w") as out:
        out.write(text)
    temporary.replace(path)
