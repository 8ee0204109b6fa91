"""DSSE: a signed envelope around a JSON statement.

    signature = ECDSA-SHA256("DSSEv1" SP len(type) SP type SP len(payload) SP payload)

Source: github.com/secure-systems-lab/dsse, protocol v1.0. An envelope is accepted in one spelling
only, the compact JSON that is written here, so that no byte of it can change unnoticed.
"""

import base64
import json
from binascii import Error as Base64Error
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from tasks.core.errors import IntegrityError
from tasks.sign.keys import PrivateKey, PublicKey

IN_TOTO = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"


def pae(payload: bytes, kind: str = IN_TOTO) -> bytes:
    """The bytes that are signed: lengths bind payload and type to their places."""
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(payload), payload)


def seal(payload: bytes, key: PrivateKey, keyid: str) -> dict[str, Any]:
    """The envelope of an in-toto statement."""
    signature = key.sign(pae(payload), ec.ECDSA(hashes.SHA256()))
    return {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": IN_TOTO,
        "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": keyid}],
    }


def opened(envelope: Any, key: PublicKey, keyid: str, name: str) -> dict[str, Any]:
    """The statement in an envelope, if the key signed it.

    Args:
        envelope: the parsed JSON.
        key: that must have signed it.
        keyid: how the envelope names the key.
        name: of the file, for messages.

    Raises:
        IntegrityError: it is no envelope, the signature is not the key's, or there is no in-toto
            statement in it.
    """
    try:
        (signature,) = envelope["signatures"]
        payload, signed = _base64(envelope["payload"]), _base64(signature["sig"])
        kind = envelope["payloadType"]
        known = set(envelope) == {"payload", "payloadType", "signatures"}
    except (KeyError, TypeError, ValueError, Base64Error):
        raise IntegrityError(f"{name} is no signed envelope") from None
    if kind != IN_TOTO or not known or signature != {"sig": signature["sig"], "keyid": keyid}:
        raise IntegrityError(f"{name} is no envelope of an in-toto statement")
    try:
        key.verify(signed, pae(payload), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise IntegrityError(f"{name} is not signed with this key") from None
    statement = parse(payload, name)
    if statement.get("_type") != STATEMENT:
        raise IntegrityError(f"{name} holds no in-toto statement")
    return statement


def compact(value: Any) -> bytes:
    """The one spelling of an envelope."""
    return json.dumps(value, separators=(",", ":")).encode()


def parse(data: bytes, name: str) -> dict[str, Any]:
    """A JSON mapping.

    Raises:
        IntegrityError: it is something else.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise IntegrityError(f"{name} cannot be read", expected="a JSON mapping")
    return value


def parse_compact(data: bytes, name: str) -> dict[str, Any]:
    """A JSON mapping in its one spelling, as `compact` writes it.

    Raises:
        IntegrityError: it is something else, or spelled otherwise.
    """
    value = parse(data, name)
    if compact(value) != data:
        raise IntegrityError(f"{name} was spelled anew since it was signed")
    return value


def _base64(text: str) -> bytes:
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:  # unused bits of the last character
        msg = "base64 in another spelling"
        raise ValueError(msg)
    return data
