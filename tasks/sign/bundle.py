"""`model.sig`: the signature over every file of a release, in model-signing's format.

It is a Sigstore bundle (v0.3) around an in-toto statement that names each file with its sha256, so
model-signing's own command verifies it too. model-signing makes it; here it is read without that
library, which takes seconds to import, and without the files, so that the Hub and S3 can be asked
for their digests instead. Source: github.com/sigstore/model-transparency, predicate v1.0.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from tasks.core.errors import IntegrityError
from tasks.core.published import SIGNATURE
from tasks.sign.envelope import opened, parse_compact
from tasks.sign.keys import PublicKey, fingerprint

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PREDICATE = "https://model_signing/signature/v1.0"
SHA256 = re.compile(r"[0-9a-f]{64}")


def sign_files(
    name: str, files: Mapping[str, str], target: Path, key: Path, password: SecretStr
) -> None:
    """Write `model.sig` over files whose digests are known.

    Args:
        name: of the model, which becomes the subject's.
        files: sha256 of each file, by path.
        target: where the signature goes.
        key: PEM file of an EC private key.
        password: of the key.
    """
    from model_signing import signing

    from tasks.sign.known import Known

    given = password.get_secret_value().encode() or None
    signer = signing.Config()  # type: ignore[no-untyped-call]
    signer.use_elliptic_key_signer(
        private_key=key,
        password=given,  # type: ignore[arg-type] # annotated as text, wanted as bytes
    )
    signer.set_hashing_config(Known(name, files)).sign(target.parent, target)


def signed_files(data: bytes, key: PublicKey) -> dict[str, str]:
    """The sha256 of each file that a signature covers, by path.

    Args:
        data: the bytes of `model.sig`.
        key: that must have signed it.

    Raises:
        IntegrityError: it is no such signature, or not the key's.
    """
    bundle = parse_compact(data, SIGNATURE)
    expected = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": fingerprint(key)}, "tlogEntries": []},
        "dsseEnvelope": bundle.get("dsseEnvelope"),
    }
    if bundle != expected:
        raise IntegrityError(
            f"{SIGNATURE} is no bundle of this key",
            expected=f"a signature by the key {fingerprint(key)}",
            found=f"one by {_hint(bundle)}",
        )
    statement = opened(bundle["dsseEnvelope"], key, "", SIGNATURE)
    try:
        return _files(statement)
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"{SIGNATURE} names no files", found=str(error)) from None


def _hint(bundle: dict[str, Any]) -> str:
    try:
        return str(bundle["verificationMaterial"]["publicKey"]["hint"])[:64]
    except (KeyError, TypeError):
        return "no key that is named"


def _files(statement: dict[str, Any]) -> dict[str, str]:
    """Paths and digests of the predicate, whose sum the subject must be."""
    ((subject,), predicate) = statement["subject"], statement["predicate"]
    resources = predicate["resources"]
    files = {entry["name"]: entry["digest"] for entry in resources}
    whole = hashlib.sha256(b"".join(bytes.fromhex(entry["digest"]) for entry in resources))
    sound = (
        statement["predicateType"] == PREDICATE
        and subject["digest"] == {"sha256": whole.hexdigest()}
        and len(files) == len(resources)
        and all(entry["algorithm"] == "sha256" for entry in resources)
        and all(SHA256.fullmatch(digest) for digest in files.values())
    )
    if not sound:
        msg = "a statement that contradicts itself"
        raise ValueError(msg)
    return files
