"""The last look before files leave the machine: none of them may hold one of our secrets."""

from collections.abc import Iterable
from pathlib import Path

from pydantic import SecretStr

from tasks.core.errors import CheckFailed
from tasks.core.settings import Settings

BINARY = frozenset({".safetensors"})
SHORTEST = 8
CHUNK = 1 << 22


def refuse_secrets(paths: Iterable[Path], settings: Settings) -> None:
    """Raise if a file that may be text holds the value of a secret setting.

    Args:
        paths: files; safetensors are passed over.
        settings: whose `SecretStr` values and signing key are looked for; values under 8
            characters are not, since they would be found by chance.

    Raises:
        CheckFailed: names the file and the setting, never the value.
    """
    secrets = {
        name: value.get_secret_value().encode()
        for name, value in settings
        if isinstance(value, SecretStr) and len(value.get_secret_value()) >= SHORTEST
    }
    secrets |= _key_lines(settings.signing_key)
    for path in paths:
        if path.suffix not in BINARY and (found := _held(path, secrets)):
            raise CheckFailed(
                f"{path} holds the value of the secret setting {found}",
                expected="files without secrets",
                remedy="find what wrote it there, delete the file, and change the secret",
            )


def _key_lines(path: Path | None) -> dict[str, bytes]:
    """The lines of a private key's file that hold the key, each a secret of its own."""
    if path is None or not path.is_file():
        return {}
    lines = [line.strip() for line in path.read_bytes().splitlines()]
    held = [line for line in lines if len(line) >= SHORTEST and not line.startswith(b"-----")]
    return {f"signing_key (line {number})": line for number, line in enumerate(held, start=1)}


def _held(path: Path, secrets: dict[str, bytes]) -> str:
    """Name of a secret that a file holds, or nothing; pieces overlap by the longest secret."""
    overlap = max(map(len, secrets.values()), default=0)
    before = b""
    with path.open("rb") as stream:
        while piece := stream.read(CHUNK):
            text = before + piece
            for name, secret in secrets.items():
                if secret in text:
                    return name
            before = text[-overlap:] if overlap else b""
    return ""
