"""Who signs a release, and who checks it: the two halves of the house's key."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import SecretStr

from tasks.core.errors import InputError, IntegrityError
from tasks.core.published import SIGNATURE
from tasks.core.settings import Settings
from tasks.sign.bundle import sign_files, signed_files
from tasks.sign.envelope import compact, opened, parse_compact, seal
from tasks.sign.keys import MAKE_ONE, PublicKey, fingerprint, read_private_key, read_public_key


class Verifier:
    """Checks signatures with a public key.

    Args:
        key: the public key.

    Attributes:
        name: the key's fingerprint.
    """

    def __init__(self, key: PublicKey) -> None:
        self._key = key
        self.name = fingerprint(key)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self | None:
        """With the public key that the environment names, or the private key's; None without one.

        Raises:
            InputError: the key cannot be read.
        """
        if settings.verify_key is not None:
            return cls(read_public_key(settings.verify_key))
        if settings.signing_key is not None:
            key = read_private_key(settings.signing_key, settings.signing_key_password)
            return cls(key.public_key())
        return None

    def files(self, signature: bytes) -> dict[str, str]:
        """The sha256 of each file that `model.sig` covers, by path.

        Raises:
            IntegrityError: it is no such signature, or not this key's.
        """
        return signed_files(signature, self._key)

    def statement(self, line: bytes, name: str) -> dict[str, Any]:
        """The in-toto statement in a signed line.

        Raises:
            IntegrityError: it is no such line, or not signed with this key.
        """
        body, end, rest = line.partition(b"\n")
        if not end or rest:
            raise IntegrityError(f"{name} is not one line")
        return opened(parse_compact(body, name), self._key, self.name, name)


class Signer:
    """Signs with a private key.

    Args:
        path: PEM file of an EC P-256 key.
        password: of the key; empty for none.

    Attributes:
        verifier: with the public half.

    Raises:
        InputError: the key cannot be read or is of another kind.
    """

    def __init__(self, path: Path, password: SecretStr) -> None:
        self._path = path
        self._password = password
        self._key = read_private_key(path, password)
        self.verifier = Verifier(self._key.public_key())

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """With the key that the environment names.

        Raises:
            InputError: it names none, or one that cannot be used.
        """
        if settings.signing_key is None:
            raise InputError(
                "there is no key to sign the release with",
                expected="the path of an EC P-256 private key in ROUNDHOUSE_SIGNING_KEY",
                found="nothing",
                remedy=MAKE_ONE,
            )
        return cls(settings.signing_key, settings.signing_key_password)

    def line(self, statement: dict[str, Any]) -> bytes:
        """An in-toto statement as one line: a DSSE envelope in compact JSON."""
        payload = json.dumps(statement, ensure_ascii=False, allow_nan=False).encode()
        return compact(seal(payload, self._key, self.verifier.name)) + b"\n"

    def sign(self, name: str, files: Mapping[str, str], folder: Path) -> None:
        """Write `model.sig` into a folder.

        Args:
            name: of the model.
            files: sha256 of each file that the signature covers, by path.
            folder: takes it.
        """
        sign_files(name, files, folder / SIGNATURE, self._path, self._password)
