"""The signature inside an archive's manifest: an in-toto statement about the rest of it."""

from typing import Any

from tasks.core.archived import Manifest
from tasks.core.errors import IntegrityError
from tasks.sign.envelope import STATEMENT
from tasks.sign.signer import Signer, Verifier

PREDICATE = "urn:roundhouse:archive:v1"


def sign_manifest(manifest: Manifest, signer: Signer) -> Manifest:
    """The manifest with its signature."""
    line = signer.line(_statement(manifest))
    return manifest.model_copy(update={"signature": line.decode()})


def check_manifest(manifest: Manifest, data: bytes, verifier: Verifier, where: str) -> None:
    """Raise unless a manifest is signed with the key, and spelled as it was written.

    Args:
        manifest: what was read.
        data: the bytes it was read from.
        verifier: with the key.
        where: it lies, for messages.

    Raises:
        IntegrityError: it is not.
    """
    if not manifest.signature:
        raise IntegrityError(f"{where} is not signed")
    if manifest.to_json() != data:
        raise IntegrityError(f"{where} was spelled anew since it was written")
    statement = verifier.statement(manifest.signature.encode(), where)
    if statement != _statement(manifest):
        raise IntegrityError(f"{where} is not what was signed")


def _statement(manifest: Manifest) -> dict[str, Any]:
    subject = {"name": "manifest", "digest": {"sha256": manifest.content_digest}}
    return {
        "_type": STATEMENT,
        "subject": [subject],
        "predicateType": PREDICATE,
        "predicate": {"repo": manifest.origin.repo, "release": manifest.origin.release_id},
    }
