"""EC P-256 keys in PEM files: read, told apart, and made for the embedded stack.

A key is named by the sha256 of its public half in PEM (SubjectPublicKeyInfo), which is what
model-signing writes into a signature as the key's hint.
"""

import hashlib
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr

from tasks.core.errors import InputError

PrivateKey = ec.EllipticCurvePrivateKey
PublicKey = ec.EllipticCurvePublicKey
LARGEST = 1 << 16
MAKE_ONE = (
    "make one: openssl ecparam -name prime256v1 -genkey -noout -out key.pem && "
    "openssl ec -in key.pem -pubout -out key.pub.pem"
)


def read_private_key(path: Path, password: SecretStr) -> PrivateKey:
    """The private key in a PEM file.

    Raises:
        InputError: there is none, the password is wrong, or it is no EC P-256 key.
    """
    given = password.get_secret_value().encode() or None
    try:
        key = serialization.load_pem_private_key(_read(path), given)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # its text may quote the file
        raise InputError(
            f"{path} is no private key that can be read",
            expected="an EC P-256 key in PEM, with its password in ROUNDHOUSE_SIGNING_KEY_PASSWORD",
            remedy=MAKE_ONE,
        ) from None
    if not isinstance(key, PrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _other_kind(path)
    return key


def read_public_key(path: Path) -> PublicKey:
    """The public key in a PEM file.

    Raises:
        InputError: there is none, or it is no EC P-256 key.
    """
    try:
        key = serialization.load_pem_public_key(_read(path))
    except (ValueError, UnsupportedAlgorithm):
        raise InputError(
            f"{path} is no public key that can be read",
            expected="an EC P-256 public key in PEM (-----BEGIN PUBLIC KEY-----)",
            remedy="make it from the private key: openssl ec -in key.pem -pubout",
        ) from None
    if not isinstance(key, PublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _other_kind(path)
    return key


def public_pem(key: PublicKey) -> bytes:
    """A public key as PEM."""
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def fingerprint(key: PublicKey) -> str:
    """The name of a key: sha256 of its public half in PEM, as hex."""
    return hashlib.sha256(public_pem(key)).hexdigest()


def make_key() -> tuple[bytes, bytes]:
    """A new key pair: private and public half as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private, public_pem(key.public_key())


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(LARGEST)
    except OSError as error:
        raise InputError(
            f"the key {path} cannot be read", found=error.strerror or "", remedy=MAKE_ONE
        ) from None


def _other_kind(path: Path) -> InputError:
    return InputError(
        f"{path} is a key of another kind", expected="an EC key on the curve P-256", remedy=MAKE_ONE
    )
