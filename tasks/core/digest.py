"""Digests of files and of JSON values, and the two ways JSON is written."""

import hashlib
import json
from pathlib import Path
from typing import Any


def sha256_file(path: Path) -> str:
    """The sha256 of a file's bytes, as lower-case hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no spaces, so that equal values have equal bytes."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def indented_json(value: Any) -> str:
    """JSON for people and programs, with a newline at its end; models become mappings.

    Raises:
        ValueError: a number is not finite, which JSON has no word for.
    """
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=_plain) + "\n"


def _plain(model: Any) -> Any:
    return model.model_dump(mode="json")


def sha256_json(value: Any) -> str:
    """The sha256 of a value's canonical JSON, as lower-case hex."""
    return hashlib.sha256(canonical_json(value)).hexdigest()
